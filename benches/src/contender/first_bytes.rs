//! virtnet where the request goes with the dial.
//!
//! Owns that choice. Never changes what else a client does: `virt.rs` does that.

use anyhow::Result;

use super::virt::{VirtClient, VirtServer, Virtnet};
use super::{Client, Contender};
use crate::service::{replied, request_of};
use crate::spec::Spec;

pub struct FirstBytes;

impl Contender for FirstBytes {
    type Server = VirtServer<1>;
    type Client = FirstBytesClient;
}

pub struct FirstBytesClient(VirtClient);

impl Client for FirstBytesClient {
    type Conn = virtnet::Conn;

    async fn join(spec: &Spec, ticket: &str) -> Result<FirstBytesClient> {
        let joined = <Virtnet as Contender>::Client::join(spec, ticket);
        Ok(FirstBytesClient(joined.await?))
    }

    async fn dial(&self) -> Result<virtnet::Conn> {
        self.0.dial().await
    }

    async fn exchange(&self, seed: usize) -> Result<virtnet::Conn> {
        let request = request_of(seed);
        let mut conn = self.0.host().dial_with("server:1", &request).await?;
        replied(&mut conn, request).await?;
        Ok(conn)
    }

    async fn another(&self, number: usize) -> Result<FirstBytesClient> {
        Ok(FirstBytesClient(self.0.another(number).await?))
    }
}
