//! Exposing: connections to a virtual address lead to a program of this machine.
//!
//! Owns the accepting. Never knows how the program is found: [`Endpoint`] does.

use std::sync::Arc;

use tokio::time::timeout;
use virtnet_core::{Addr, IncomingDial, Listener, OpError};

use super::accept::{Carried, Tasks, checked};
use super::endpoint::Endpoint;
use super::forward::{CONNECT_WITHIN, Limit, report};
use super::links::Links;
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
            let dial = match links.unless_paused(expose.listener.next_dial()).await {
                Ok(dial) => dial,
                Err(err) => return err,
            };
            while let Some(done) = tasks.try_join_next() {
                if let Err(err) = checked(done) {
                    return err;
                }
            }
            let limit = &expose.limit;
            let Some(permit) = limit.take(&expose.shown, "refused", dial.peer_addr()) else {
                dial.refuse();
                continue;
            };
            let (expose, links) = (Arc::clone(&expose), links.clone());
            let carried: Carried = Box::pin(async move {
                let _permit = permit;
                links.unless_paused(expose.carry(dial, &links)).await;
                Ok(())
            });
            tasks.spawn(carried);
        }
    }

    /// Accepts the dial once the program is connected; else refuses it.
    async fn carry(&self, mut dial: IncomingDial, links: &Links) {
        let dialer = format!(
            "{}: {}->{}",
            self.shown,
            dial.peer_addr(),
            dial.dialed_addr()
        );
        let connected = tokio::select! {
            connected = timeout(CONNECT_WITHIN, LocalStream::connect(&self.to)) => connected,
            () = dial.given_up() => {
                tracing::debug!("{dialer}: given up");
                return;
            }
        };
        let why = match connected {
            Ok(Ok(local)) => return self.connected(dial, local, links).await,
            Ok(Err(err)) => err.to_string(),
            Err(_) => format!("no answer within {CONNECT_WITHIN:?}"),
        };
        dial.refuse();
        tracing::warn!(
            "{dialer}: refused, as {} cannot be connected to: {why}",
            self.to
        );
    }

    async fn connected(&self, dial: IncomingDial, local: LocalStream, links: &Links) {
        let peer = dial.peer_addr().clone();
        let conn = match dial.accept().await {
            Ok(conn) => conn,
            // The drop resets the program's connection.
            Err(err) => return tracing::debug!("{}: {peer}: {err}", self.shown),
        };
        let ends = format!("{}: {peer}->{}", self.shown, conn.local_addr());
        tracing::debug!("{ends}: connected");
        let first = match self.proxy_protocol {
            true => proxy_protocol::header(&peer, conn.local_addr()),
            false => Vec::new(),
        };
        let link = links.add(conn);
        report(&ends, link.pump(local, Vec::new(), first).await);
    }
}
