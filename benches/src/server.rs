//! The Redis server of a run.
//!
//! Owns its process: it ends with the run. Never touches a server that is there
//! already.

use std::net::{IpAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

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
        let server = RedisServer::spawn(&[], ip, port)?;
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            let connect = timeout(Duration::from_secs(1), TcpStream::connect((ip, port)));
            if let Ok(Ok(_)) = connect.await {
                return Ok(server);
            }
            ensure!(Instant::now() < until, "redis-server does not answer");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// The same behind a command that runs it elsewhere, not waited for.
    pub fn spawn(before: &[&str], ip: IpAddr, port: u16) -> Result<RedisServer> {
        let dir = tempfile::tempdir()?;
        let command = [before, &["redis-server"]].concat();
        let process = Command::new(command[0])
            .args(&command[1..])
            .args(["--bind", &ip.to_string(), "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(dir.path())
            .args(["--protected-mode", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start redis-server, which virtnet's names are kept in")?;
        Ok(RedisServer {
            _process: process,
            _dir: dir,
            url: format!("redis://{ip}:{port}"),
        })
    }
}
