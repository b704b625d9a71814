//! The Redis server of a run.
//!
//! Owns its process: it ends with the run. Never touches a server that is there
//! already.

use std::net::{IpAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A redis-server with nothing in it; dropping it kills it.
pub struct RedisServer {
    _process: Child,
    _dir: TempDir,
    pub url: String,
}

impl RedisServer {
    /// Starts one on a free port of the loopback address.
    pub async fn start() -> Result<RedisServer> {
        let ip = IpAddr::from([127, 0, 0, 1]);
        // Another process could take it in between; then the start fails.
        let port = TcpListener::bind((ip, 0))?.local_addr()?.port();
        RedisServer::start_behind(&[], ip, port).await
    }

    /// The same behind a command that runs it elsewhere.
    pub async fn start_behind(before: &[&str], ip: IpAddr, port: u16) -> Result<RedisServer> {
        let dir = tempfile::tempdir()?;
        let command = [before, &["redis-server"]].concat();
        let mut process = Command::new(command[0])
            .args(&command[1..])
            .args(["--bind", &ip.to_string(), "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(dir.path())
            .args(["--protected-mode", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start redis-server, which keeps virtnet's names")?;
        let log = process.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(log).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if line.contains("Ready to accept connections") {
                    return anyhow::Ok(());
                }
            }
            bail!("redis-server ended")
        };
        timeout(Duration::from_secs(10), ready)
            .await
            .context("redis-server is not ready")??;
        // It must be able to go on logging.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(RedisServer {
            _process: process,
            _dir: dir,
            url: format!("redis://{ip}:{port}"),
        })
    }
}
