//! virtnet while both ends record what happens: in memory, or also live, to Redis.
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

pub struct Traced<const LIVE: bool>;

impl<const LIVE: bool> Contender for Traced<LIVE> {
    type Server = TracedServer<LIVE>;
    type Client = TracedClient<LIVE>;
}

fn recording<const LIVE: bool>() -> Recording {
    let recording = Recording::new().events(EVENTS);
    match LIVE {
        true => recording.live(),
        false => recording,
    }
}

pub struct TracedServer<const LIVE: bool>(VirtServer<1>);

impl<const LIVE: bool> Server for TracedServer<LIVE> {
    type Conn = virtnet::Conn;

    async fn start(spec: &Spec) -> Result<(Self, String)> {
        let (server, ticket) = VirtServer::start(spec).await?;
        server.net().record_with(&recording::<LIVE>())?;
        Ok((TracedServer(server), ticket))
    }

    async fn serve(self, service: Arc<Service<virtnet::Conn>>) -> Result<()> {
        self.0.serve(service).await
    }
}

pub struct TracedClient<const LIVE: bool>(VirtClient);

impl<const LIVE: bool> Client for TracedClient<LIVE> {
    type Conn = virtnet::Conn;

    async fn join(spec: &Spec, ticket: &str) -> Result<TracedClient<LIVE>> {
        let client = VirtClient::join(spec, ticket).await?;
        client.net().record_with(&recording::<LIVE>())?;
        Ok(TracedClient(client))
    }

    async fn dial(&self) -> Result<virtnet::Conn> {
        self.0.dial().await
    }

    async fn another(&self, number: usize) -> Result<TracedClient<LIVE>> {
        Ok(TracedClient(self.0.another(number).await?))
    }
}
