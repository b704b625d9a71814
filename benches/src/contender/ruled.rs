//! virtnet under a plan of a thousand rules, none of which is for the hosts that are measured.
//!
//! Owns the plan. Never changes what is done under it: `virt.rs` does that.

use std::time::Duration;

use anyhow::Result;
use virtnet::faults::{Plan, Rule};

use super::virt::{VirtClient, VirtServer};
use super::{Client, Contender};
use crate::spec::Spec;

/// Rules for datagrams and for dials, in equal parts.
const RULES: usize = 1_000;

pub struct Ruled;

impl Contender for Ruled {
    type Server = VirtServer<1>;
    type Client = RuledClient;
}

pub struct RuledClient(VirtClient);

impl Client for RuledClient {
    type Conn = virtnet::Conn;

    async fn join(spec: &Spec, ticket: &str) -> Result<RuledClient> {
        let client = VirtClient::join(spec, ticket).await?;
        let rules = (0..RULES).map(|number| {
            let (from, to) = (format!("other{number}"), format!("another{number}"));
            match number % 2 {
                0 => Rule::delay(&from, &to, Duration::from_millis(10)),
                _ => Rule::refuse(&from, &to),
            }
        });
        let plan = rules.fold(Plan::new(), Plan::with);
        client.net().faults().apply_until_healed(plan).await?;
        Ok(RuledClient(client))
    }

    async fn dial(&self) -> Result<virtnet::Conn> {
        self.0.dial().await
    }

    async fn another(&self, number: usize) -> Result<RuledClient> {
        Ok(RuledClient(self.0.another(number).await?))
    }
}
