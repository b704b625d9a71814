//! Two network namespaces with a veth pair between them, MTU 1500.
//!
//! Owns their making and their end, and the Redis server in one of them. Never
//! touches an interface of the machine's own.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::server::RedisServer;

/// Addresses that exist in the namespaces alone.
pub const SERVER: [u8; 4] = [10, 77, 0, 2];
pub const CLIENT: [u8; 4] = [10, 77, 0, 1];

/// The two namespaces; dropping it removes them.
pub struct Namespaces {
    names: Names,
    pub redis: RedisServer,
}

struct Names {
    server: String,
    client: String,
}

impl Drop for Names {
    fn drop(&mut self) {
        for name in [&self.server, &self.client] {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

fn ip(arguments: &str) -> Result<()> {
    let done = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .context("ip, of iproute2")?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "ip {arguments}: {}", said.trim());
    Ok(())
}

impl Namespaces {
    /// Makes them, which needs root.
    pub async fn make() -> Result<Namespaces> {
        let pid = std::process::id();
        let names = Names {
            server: format!("bench{pid}s"),
            client: format!("bench{pid}c"),
        };
        let Names { server, client } = &names;
        ip(&format!("netns add {server}"))?;
        ip(&format!("netns add {client}"))?;
        // Made within, so the machine's own namespace never sees the pair.
        ip(&format!(
            "-n {server} link add veth0 mtu 1500 type veth peer name veth0 mtu 1500 netns {client}"
        ))?;
        for (name, [a, b, c, d]) in [(server, SERVER), (client, CLIENT)] {
            ip(&format!("-n {name} addr add {a}.{b}.{c}.{d}/24 dev veth0"))?;
            ip(&format!("-n {name} link set veth0 up"))?;
            ip(&format!("-n {name} link set lo up"))?;
        }
        let before = ["ip", "netns", "exec", server.as_str()];
        let redis = RedisServer::start_behind(&before, SERVER.into(), 6379).await?;
        Ok(Namespaces { names, redis })
    }

    /// What a command is put behind to run at the server's end.
    pub fn at_server(&self) -> Vec<&str> {
        vec!["ip", "netns", "exec", &self.names.server]
    }

    /// The same for the client's end.
    pub fn at_client(&self) -> Vec<&str> {
        vec!["ip", "netns", "exec", &self.names.client]
    }
}
