//! virtnet as its users have it: QUIC between hosts, names in Redis.
//!
//! Owns the two joins. Never changes a default of virtnet's.

use std::sync::Arc;

use anyhow::Result;
use virtnet::quic::Secret;
use virtnet::{Config, Conn, Host, Listener, SubNetwork};

use super::{Client, Contender, Peers, Server, Stream};
use crate::service::Service;
use crate::spec::Spec;

/// With that many accepts waiting at a time: one is the loop that users write
/// first.
pub struct Virtnet<const ACCEPTS: usize = 1>;

impl<const ACCEPTS: usize> Contender for Virtnet<ACCEPTS> {
    type Server = VirtServer<ACCEPTS>;
    type Client = VirtClient;
}

impl Stream for Conn {
    const CONFIRMS: bool = true;
}

/// Joins the network of the measurement; all members share the secret.
pub async fn join(spec: &Spec, secret: &str) -> Result<SubNetwork> {
    let config = Config::new(&spec.network).registry(&spec.redis);
    Ok(config.secret(secret.parse::<Secret>()?).open().await?)
}

pub struct VirtServer<const ACCEPTS: usize> {
    /// Closed with the last handle.
    held: (SubNetwork, Host),
    listener: Listener,
}

impl<const ACCEPTS: usize> VirtServer<ACCEPTS> {
    pub fn net(&self) -> &SubNetwork {
        &self.held.0
    }
}

impl<const ACCEPTS: usize> Server for VirtServer<ACCEPTS> {
    type Conn = Conn;

    async fn start(spec: &Spec) -> Result<(Self, String)> {
        let secret = Secret::random().reveal();
        let net = join(spec, &secret).await?;
        let host = net.new_host("server").await?;
        let listener = host.listen("server:1")?;
        let server = VirtServer {
            held: (net, host),
            listener,
        };
        Ok((server, secret))
    }

    async fn serve(self, service: Arc<Service<Conn>>) -> Result<()> {
        let server = Arc::new(self);
        let mut loops = tokio::task::JoinSet::new();
        for _ in 0..ACCEPTS {
            loops.spawn(accept(Arc::clone(&server), Arc::clone(&service)));
        }
        match loops.join_next().await {
            Some(ended) => ended?,
            None => Ok(()),
        }
    }
}

async fn accept<const ACCEPTS: usize>(
    server: Arc<VirtServer<ACCEPTS>>,
    service: Arc<Service<Conn>>,
) -> Result<()> {
    loop {
        let (conn, _) = server.listener.accept().await?;
        let service = Arc::clone(&service);
        tokio::spawn(async move { service.handle(conn).await });
    }
}

pub struct VirtClient {
    net: Arc<SubNetwork>,
    host: Host,
}

impl VirtClient {
    pub fn net(&self) -> &SubNetwork {
        &self.net
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    async fn new(net: Arc<SubNetwork>, name: &str) -> Result<VirtClient> {
        let host = net.new_host(name).await?;
        Ok(VirtClient { net, host })
    }
}

impl Client for VirtClient {
    type Conn = Conn;

    async fn join(spec: &Spec, ticket: &str) -> Result<VirtClient> {
        let net = Arc::new(join(spec, ticket).await?);
        VirtClient::new(net, "client").await
    }

    async fn dial(&self) -> Result<Conn> {
        Ok(self.host.dial("server:1").await?)
    }

    async fn another(&self, number: usize) -> Result<VirtClient> {
        VirtClient::new(Arc::clone(&self.net), &format!("c{number}")).await
    }
}

/// Hosts of one subnetwork.
pub struct VirtPeers {
    hosts: Vec<Host>,
    /// Closed with the last handle.
    _net: SubNetwork,
}

impl Peers for VirtPeers {
    type Conn = Conn;

    async fn start(spec: &Spec, count: usize, service: Arc<Service<Conn>>) -> Result<VirtPeers> {
        let net = join(spec, &Secret::random().reveal()).await?;
        let mut hosts = Vec::new();
        for number in 0..count {
            let host = net.new_host(&format!("h{number}")).await?;
            let (listener, service) = (host.listen(":1")?, Arc::clone(&service));
            hosts.push(host);
            tokio::spawn(async move {
                while let Ok((conn, _)) = listener.accept().await {
                    let service = Arc::clone(&service);
                    tokio::spawn(async move { service.handle(conn).await });
                }
            });
        }
        Ok(VirtPeers { hosts, _net: net })
    }

    async fn dial(&self, from: usize, to: usize) -> Result<Conn> {
        Ok(self.hosts[from].dial(&format!("h{to}:1")).await?)
    }
}
