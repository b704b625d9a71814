//! virtnet in memory: no socket, no registry server, no encryption.
//!
//! Owns the one network of this process. Never leaves the process.

use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use virtnet::pipe::PipeNetwork;
use virtnet::{Conn, Host, Listener, SubNetwork};

use super::{Client, Contender, Server};
use crate::service::Service;
use crate::spec::Spec;

pub struct Pipe;

impl Contender for Pipe {
    type Server = PipeServer;
    type Client = PipeClient;
}

/// Tickets are text, and this can't be.
static NETWORK: OnceLock<PipeNetwork> = OnceLock::new();

pub struct PipeServer {
    /// Closed with the last handle.
    _held: (SubNetwork, Host),
    listener: Listener,
}

impl Server for PipeServer {
    type Conn = Conn;

    async fn start(spec: &Spec) -> Result<(PipeServer, String)> {
        let made = PipeNetwork::new(&spec.network)?;
        let net = NETWORK.get_or_init(|| made).subnetwork();
        let host = net.new_host("server").await?;
        let listener = host.listen("server:1")?;
        let server = PipeServer {
            _held: (net, host),
            listener,
        };
        Ok((server, String::new()))
    }

    async fn serve(self, service: Arc<Service<Conn>>) -> Result<()> {
        loop {
            let (conn, _) = self.listener.accept().await?;
            let service = Arc::clone(&service);
            tokio::spawn(async move { service.handle(conn).await });
        }
    }
}

pub struct PipeClient {
    net: Arc<SubNetwork>,
    host: Host,
}

impl Client for PipeClient {
    type Conn = Conn;

    async fn join(_: &Spec, _: &str) -> Result<PipeClient> {
        let network = NETWORK.get().context("the server is started first")?;
        let net = Arc::new(network.subnetwork());
        let host = net.new_host("client").await?;
        Ok(PipeClient { net, host })
    }

    async fn dial(&self) -> Result<Conn> {
        Ok(self.host.dial("server:1").await?)
    }

    async fn another(&self, number: usize) -> Result<PipeClient> {
        let net = Arc::clone(&self.net);
        let host = net.new_host(&format!("c{number}")).await?;
        Ok(PipeClient { net, host })
    }
}
