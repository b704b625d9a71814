//! virtnet while both ends record what happens.
//!
//! Owns how much is recorded. Never changes what is done meanwhile: `virt.rs` does that.

use std::sync::Arc;

use anyhow::Result;
use virtnet::trace::Recording;

use super::virt::{VirtClient, VirtServer};
use super::{Client, Contender, Server};
use crate::service::Service;
use crate::spec::Spec;

/// So many that nothing is dropped: a full record costs less.
const EVENTS: usize = 1 << 24;

pub struct Traced;

impl Contender for Traced {
    type Server = TracedServer;
    type Client = TracedClient;
}

pub struct TracedServer(VirtServer<1>);

impl Server for TracedServer {
    type Conn = virtnet::Conn;

    async fn start(spec: &Spec) -> Result<(Self, String)> {
        let (server, ticket) = VirtServer::start(spec).await?;
        server.net().record_with(&Recording::new().events(EVENTS))?;
        Ok((TracedServer(server), ticket))
    }

    async fn serve(self, service: Arc<Service<virtnet::Conn>>) -> Result<()> {
        self.0.serve(service).await
    }
}

pub struct TracedClient(VirtClient);

impl Client for TracedClient {
    type Conn = virtnet::Conn;

    async fn join(spec: &Spec, ticket: &str) -> Result<TracedClient> {
        let client = VirtClient::join(spec, ticket).await?;
        client.net().record_with(&Recording::new().events(EVENTS))?;
        Ok(TracedClient(client))
    }

    async fn dial(&self) -> Result<virtnet::Conn> {
        self.0.dial().await
    }

    async fn another(&self, number: usize) -> Result<TracedClient> {
        Ok(TracedClient(self.0.another(number).await?))
    }
}
