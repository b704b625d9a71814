//! Incoming: the connections and streams that peers open to a host.
//!
//! Owns the accept loop, its bounds, and what is checked of a first frame.
//! Never decides whether a port is listened on: the notifier does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use quinn::{Connection, Incoming};
use rustls::pki_types::CertificateDer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::future::FutureExt;
use virtnet_core::{Accept, Failure};

use crate::endpoint::Inner;
use crate::frame::{Hello, Refusal};
use crate::handshake::{self, Met};
use crate::slots::{Slot, Slots};
use crate::stats::count;
use crate::stream::{Held, Unsettled};
use crate::tls::{dns_name_of, proves};
use crate::transport::{self, CloseCode, StreamCode};

/// Takes what comes in until the endpoint is closed. When it ends by itself,
/// which is when its socket fails, the network is down.
pub(crate) async fn accept_loop(host: Arc<Inner>) {
    let most = host.config.max_handshakes;
    let handshakes = Arc::new(Semaphore::new(most));
    let counters = &host.stats.0;
    while let Some(incoming) = host.quinn.accept().await {
        // While the host closes, so that dials are refused at once.
        if host.tasks.closing().is_cancelled() {
            incoming.refuse();
            continue;
        }
        let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() else {
            count(&counters.handshakes_refused);
            incoming.refuse();
            continue;
        };
        // With this many under way some may come from addresses that are made
        // up, and are to cost nothing.
        let busy = handshakes.available_permits() < most - most.div_ceil(8);
        if busy && !incoming.remote_address_validated() {
            count(&counters.handshakes_retried);
            // Fails only where the address was validated.
            let _ = incoming.retry();
            continue;
        }
        host.tasks.work(serve(Arc::clone(&host), incoming, permit));
    }
    if !host.tasks.closing().is_cancelled() {
        let hostname = &host.hostname;
        let gone = format!("the UDP socket of host {hostname:?} failed");
        host.notifier.vnet_down(Failure::other(gone));
    }
}

/// Carries on one peer's handshake, and then takes its streams until the
/// connection is closed.
async fn serve(host: Arc<Inner>, incoming: Incoming, permit: OwnedSemaphorePermit) {
    let from = incoming.remote_address();
    let config = transport::server_to(&host.server, &host.config, from);
    let connected = async { incoming.accept_with(Arc::new(config))?.await };
    let conn = match timeout(host.config.handshake_timeout, connected).await {
        Ok(Ok(conn)) => conn,
        failed => {
            count(&host.stats.0.handshakes_failed);
            match failed {
                Ok(Err(err)) => tracing::debug!(%from, %err, "QUIC handshake failed"),
                _ => tracing::debug!(%from, "QUIC handshake took too long"),
            }
            return;
        }
    };
    drop(permit);
    let peer = Arc::new(Peer {
        certificates: certificates(&conn),
        slots: Slots::new(conn.clone()),
        proved: OnceLock::new(),
        conn,
        host,
    });
    // While the host closes this goes on, so that dials are refused at once.
    while let Ok(halves) = peer.conn.accept_bi().await {
        let stream = Unsettled::new(halves, StreamCode::Closing);
        let closing = peer.host.tasks.closing();
        if !closing.is_cancelled() {
            peer.host.tasks.work(meet(Arc::clone(&peer), stream));
        }
    }
    peer.host.clogged.forget(&peer.conn);
}

fn certificates(conn: &Connection) -> Vec<CertificateDer<'static>> {
    conn.peer_identity()
        .and_then(|identity| identity.downcast().ok())
        .map_or_else(Vec::new, |certificates| *certificates)
}

/// A peer that proved to be a member of the network.
struct Peer {
    host: Arc<Inner>,
    conn: Connection,
    certificates: Vec<CertificateDer<'static>>,
    slots: Arc<Slots>,
    /// The name that its certificate was found to prove.
    proved: OnceLock<Arc<str>>,
}

impl Peer {
    /// Checks that the stream is for this host, from whom it says.
    fn check(&self, hello: &Hello) -> Result<(), Refusal> {
        if hello.dst.network() != &*self.host.network {
            return Err(Refusal::WrongNetwork);
        }
        if hello.dst.host() != &*self.host.hostname {
            return Err(Refusal::WrongHost);
        }
        let src = hello.src.host();
        if self.proved.get().is_some_and(|proved| **proved == *src) {
            return Ok(());
        }
        if !proves(&self.certificates, &dns_name_of(&hello.src)) {
            return Err(Refusal::SourceNotProved);
        }
        // A given certificate may prove several names: the first is kept.
        let _ = self.proved.set(src.into());
        Ok(())
    }
}

/// The handshake on one stream.
async fn meet(peer: Arc<Peer>, mut stream: Unsettled) {
    let host = &peer.host;
    let counters = &host.stats.0;
    let mut slot = None;
    let _will_end = host.tasks.will_end();
    let accepted = AtomicBool::new(false);
    let met = {
        let (reader, writer) = stream.halves();
        let check = |hello: &Hello| {
            peer.check(hello)?;
            slot = Some(peer.slots.take(hello.src.port()));
            Ok(())
        };
        let accepted = &accepted;
        let decide = |hello: Hello| async move {
            let decided = host.notifier.vnet_accept(&hello.src, &hello.dst).await;
            accepted.store(decided.is_ok(), Ordering::Relaxed);
            decided.map_err(|failure| Refusal::of(&failure))
        };
        let bound = host.config.handshake_timeout;
        let meeting = handshake::accept(reader, writer, bound, check, decide);
        meeting.with_cancellation_token(host.tasks.closing()).await
    };
    let held = |slot: Option<Slot>| slot.map_or(Held::Nothing, Held::Accepted);
    match met {
        Some(Met::Connected(accept)) => {
            let accept: Accept = accept;
            accept.ack(stream.settle(held(slot), host));
        }
        Some(Met::Orphaned) => drop(stream.settle(held(slot), host)),
        Some(Met::Refused(refusal)) => {
            counters.refused(refusal);
            if refusal == Refusal::SourceNotProved {
                let code = CloseCode::SourceNotProved;
                peer.conn.close(code.into(), b"source not proved");
            }
            drop(stream.settle(held(slot), host));
        }
        Some(Met::Malformed(err)) => {
            counters.malformed(&err);
            drop(stream.settle(held(slot), host));
        }
        Some(Met::Violation) => {
            count(&counters.out_of_turn);
            leave(&slot);
            stream.reset(StreamCode::Violation);
        }
        Some(Met::NoFirstFrame) => {
            count(&counters.no_first_frame);
            stream.reset(StreamCode::Silent);
        }
        Some(Met::NotConfirmed) => {
            count(&counters.not_confirmed);
            leave(&slot);
            stream.reset(StreamCode::Silent);
        }
        Some(Met::Abandoned) => stream.reset(StreamCode::Abandoned),
        // The host closes. A dialer that may hold its end by now is to see it
        // closed, not cut; to another, dropping the stream says it.
        None if accepted.into_inner() => stream.hang_up(held(slot), host),
        None => {}
    }
}

/// The dialer may hold its end of the stream, and never write to it.
fn leave(slot: &Option<Slot>) {
    if let Some(slot) = slot {
        slot.leave();
    }
}
