//! Exposing: connections to a virtual address lead to a program of this machine.
//!
//! Owns the accepting. Never knows how the program is found: [`Endpoint`] does.

use std::sync::Arc;

use tokio::time::timeout;
use virtnet_core::{Addr, Listener, OpError};

use super::accept::{Carried, Tasks, checked};
use super::endpoint::Endpoint;
use super::forward::{CONNECT_WITHIN, Limit, report};
use super::links::{Link, Links};
use super::local::LocalStream;
use super::proxy_protocol;

/// A virtual address that leads to a program.
pub(super) struct Expose {
    pub(super) listener: Listener,
    pub(super) to: Endpoint,
    pub(super) limit: Limit,
    pub(super) proxy_protocol: bool,
    pub(super) shown: String,
}

impl Expose {
    pub(super) fn shown(at: &Addr, to: &Endpoint) -> String {
        format!("expose {at} -> {to}")
    }

    /// Accepts until it cannot any more.
    pub(super) async fn serve(self, links: Links) -> OpError {
        let expose = Arc::new(self);
        let mut tasks = Tasks::new();
        loop {
            // Not in a select!: dropping an accept loses the connection that it was accepting.
            let accepting = links.unless_paused(expose.listener.accept());
            let (conn, peer) = match accepting.await {
                Ok(accepted) => accepted,
                Err(err) => return err,
            };
            while let Some(done) = tasks.try_join_next() {
                if let Err(err) = checked(done) {
                    return err;
                }
            }
            let Some(permit) = expose.limit.take(&expose.shown, &peer) else {
                conn.abort();
                continue;
            };
            let ends = format!("{}: {peer}->{}", expose.shown, conn.local_addr());
            let first = match expose.proxy_protocol {
                true => proxy_protocol::header(&peer, conn.local_addr()),
                false => Vec::new(),
            };
            let link = links.add(conn);
            let (expose, links) = (Arc::clone(&expose), links.clone());
            let carried: Carried = Box::pin(async move {
                let _permit = permit;
                links.unless_paused(expose.carry(link, &ends, first)).await;
                Ok(())
            });
            tasks.spawn(carried);
        }
    }

    async fn carry(&self, link: Link, ends: &str, first: Vec<u8>) {
        let connecting = timeout(CONNECT_WITHIN, LocalStream::connect(&self.to));
        let why = match connecting.await {
            Ok(Ok(local)) => {
                tracing::debug!("{ends}: connected");
                return report(ends, link.pump(local, Vec::new(), first).await);
            }
            Ok(Err(err)) => err.to_string(),
            Err(_) => format!("no answer within {CONNECT_WITHIN:?}"),
        };
        drop(link);
        tracing::warn!(
            "{ends}: reset, as {} cannot be connected to: {why}",
            self.to
        );
    }
}
