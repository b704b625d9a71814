//! Incoming connections and streams of a host.
//!
//! Owns the accept loop, its limits, and the checks of a first frame. Never decides
//! whether a port has a listener: the notifier does.

use std::sync::{Arc, OnceLock};

use quinn::{Connection, Incoming};
use rustls::pki_types::CertificateDer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::future::FutureExt;
use tracing::Instrument;
use virtnet_core::Failure;

use crate::config::transport::{self, CloseCode, StreamCode};
use crate::endpoint::EndpointInner;
use crate::endpoint::admission::{Admission, HandshakePermit, NotAdmitted};
use crate::endpoint::reply::ReplyWriter;
use crate::endpoint::stream::{HandshakeStream, StreamGuard};
use crate::endpoint::stream_limits::{StreamLimits, StreamPermit};
use crate::identity::tls::{dns_name_of, proves};
use crate::observe::stats::{CountersInner, count};
use crate::udp::faults::name::PeerName;
use crate::udp::faults::recovery::Recovery;
use crate::wire::frame::{Hello, Refusal};
use crate::wire::handshake::{self, AcceptOutcome};

/// Accepts connections until the endpoint is closed. If its socket fails, reports that
/// the network is down.
pub(crate) async fn accept_loop(host: Arc<EndpointInner>) {
    let admission = Admission::new(host.config.limits);
    while let Some(incoming) = host.quinn.accept().await {
        // Continues while the host closes, so that dials are refused at once.
        if host.tasks.closing().is_cancelled() {
            incoming.refuse();
            continue;
        }
        let (from, proved) = (
            incoming.remote_address(),
            incoming.remote_address_validated(),
        );
        let handshake = match admission.handshake(from.ip(), proved) {
            Ok(handshake) => handshake,
            Err(why) => {
                refuse(incoming, why, &host.counters.0);
                continue;
            }
        };
        let served = serve(
            Arc::clone(&host),
            incoming,
            Arc::clone(&admission),
            handshake,
        );
        let span = tracing::debug_span!(parent: None, "quic", host = &*host.hostname, from = %from);
        host.tasks.spawn(served.instrument(span));
    }
    if !host.tasks.closing().is_cancelled() {
        let hostname = &host.hostname;
        let problem = format!("the UDP socket of host {hostname:?} failed");
        host.notifier.vnet_down(Failure::other(problem));
    }
}

fn refuse(incoming: Incoming, why: NotAdmitted, counters: &CountersInner) {
    match why {
        NotAdmitted::Unproved => {
            count(&counters.handshakes_retried);
            // Fails only where the address was validated.
            let _ = incoming.retry();
            return;
        }
        NotAdmitted::Handshakes => count(&counters.handshakes_refused),
        NotAdmitted::Connections => count(&counters.connections_refused),
    }
    incoming.refuse();
}

/// Completes one peer's handshake, then accepts its streams until the connection is
/// closed.
async fn serve(
    host: Arc<EndpointInner>,
    incoming: Incoming,
    admission: Arc<Admission>,
    handshake: HandshakePermit,
) {
    let from = incoming.remote_address();
    let recovery = Recovery::default();
    let path = (from, &recovery);
    let config = transport::server_to(&host.server, &host.config, &host.hostname, path);
    let connected = async { incoming.accept_with(Arc::new(config))?.await };
    let conn = match timeout(host.config.handshake_timeout, connected).await {
        Ok(Ok(conn)) => conn,
        failed => {
            count(&host.counters.0.handshakes_failed);
            match failed {
                Ok(Err(err)) => tracing::debug!(%from, %err, "QUIC handshake failed"),
                _ => tracing::debug!(%from, "QUIC handshake took too long"),
            }
            return;
        }
    };
    drop(handshake);
    let certificates = certificates(&conn);
    let counters = &host.counters.0;
    let Ok(connection_permit) = admission.connection(certificates.first().map(|leaf| &**leaf))
    else {
        count(&counters.connections_refused);
        tracing::debug!("too many QUIC connections");
        conn.close(CloseCode::TooMany.into(), b"too many connections");
        return;
    };
    tracing::debug!("QUIC connection accepted");
    let peer = Arc::new(PeerConnection {
        certificates,
        stream_limits: StreamLimits::new(conn.clone(), host.config.tuning.stream_window),
        proved: OnceLock::new(),
        recovery,
        conn,
        host: Arc::clone(&host),
    });
    // Continues while the host closes, so that dials are refused at once.
    while let Ok(halves) = peer.conn.accept_bi().await {
        let stream = HandshakeStream::new(halves, StreamCode::Closing);
        let Some(unopened) = acquire_unopened(&connection_permit.unopened, counters).await else {
            break;
        };
        let closing = peer.host.tasks.closing();
        if !closing.is_cancelled() {
            let accepting = accept_stream(Arc::clone(&peer), stream, unopened);
            // Boxed: quinn keeps the waker of a task that waited on the stream, and so the memory of the
            // task, until the next read. What the task did is in the box, and gone by then.
            peer.host.tasks.spawn(Box::pin(accepting.in_current_span()));
        }
    }
    peer.host.unflushed.remove(&peer.conn);
}

/// Waits for a permit for one more stream without a first frame.
async fn acquire_unopened(
    unopened: &Arc<Semaphore>,
    counters: &CountersInner,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(unopened).try_acquire_owned() {
        return Some(permit);
    }
    count(&counters.unopened_held_back);
    // Never `None`: the semaphore is never closed.
    Arc::clone(unopened).acquire_owned().await.ok()
}

fn certificates(conn: &Connection) -> Vec<CertificateDer<'static>> {
    conn.peer_identity()
        .and_then(|identity| identity.downcast().ok())
        .map_or_else(Vec::new, |certificates| *certificates)
}

/// The QUIC connection of a peer that proved to be a member of the network.
struct PeerConnection {
    host: Arc<EndpointInner>,
    conn: Connection,
    certificates: Vec<CertificateDer<'static>>,
    stream_limits: Arc<StreamLimits>,
    /// The first name that its certificate was found to prove.
    proved: OnceLock<(Arc<str>, PeerName)>,
    recovery: Recovery,
}

impl PeerConnection {
    /// Checks that the stream is for this host, and that its source is proved.
    fn check(&self, hello: &Hello) -> Result<(), Refusal> {
        if hello.dst.network() != &*self.host.network {
            return Err(Refusal::WrongNetwork);
        }
        if hello.dst.host() != &*self.host.hostname {
            return Err(Refusal::WrongHost);
        }
        let src = hello.src.host();
        if self
            .proved
            .get()
            .is_some_and(|(proved, _)| **proved == *src)
        {
            return Ok(());
        }
        if !proves(&self.certificates, &dns_name_of(&hello.src)) {
            return Err(Refusal::SourceNotProved);
        }
        // A certificate made elsewhere may prove several names: the first is kept.
        self.proved.get_or_init(|| {
            let from = self.conn.remote_address();
            let peer = self.host.faults.name(from, src, &self.recovery);
            peer.prove(&self.conn);
            (src.into(), peer)
        });
        Ok(())
    }
}

/// The handshake on one stream.
async fn accept_stream(
    peer: Arc<PeerConnection>,
    mut stream: HandshakeStream,
    unopened: OwnedSemaphorePermit,
) {
    let host = &peer.host;
    let counters = &host.counters.0;
    let mut permit = None;
    let _ending = host.tasks.ending_token();
    let outcome = {
        let (reader, send) = stream.halves();
        let mut writer = ReplyWriter {
            send,
            conn: &peer.conn,
            send_window: host.config.tuning.send_window,
        };
        let check = |hello: &Hello| {
            drop(unopened);
            peer.check(hello)?;
            permit = Some(peer.stream_limits.take(hello.src.port()));
            Ok(())
        };
        let decide = |hello: Hello| async move {
            let decided = host.notifier.vnet_accept(&hello.src, &hello.dst).await;
            decided
                .map(|accept| (accept.addr().port(), accept))
                .map_err(|failure| Refusal::from_failure(&failure))
        };
        let bound = host.config.handshake_timeout;
        let proved = peer.proved.get();
        let src = proved.map_or(&host.network, |(src, _)| src);
        let known = [&host.network, &host.hostname, src].map(Arc::clone);
        let handshake = handshake::accept(reader, &mut writer, bound, &known, check, decide);
        handshake
            .with_cancellation_token(host.tasks.closing())
            .await
    };
    let guard =
        |permit: Option<StreamPermit>| permit.map_or(StreamGuard::Uncounted, StreamGuard::Accepted);
    match outcome {
        Some(AcceptOutcome::Connected(accept)) => {
            let permit = permit.map(StreamPermit::accepted);
            accept.ack(stream.into_byte_stream(false, guard(permit), host));
        }
        Some(AcceptOutcome::Refused(refusal, told)) => {
            counters.refused(refusal);
            tracing::debug!(?refusal, told, "refused");
            if refusal == Refusal::SourceNotProved {
                let code = CloseCode::SourceNotProved;
                peer.conn.close(code.into(), b"source not proved");
            }
            finish_refusal(stream, told, guard(permit), host);
        }
        Some(AcceptOutcome::Malformed(err, told)) => {
            counters.malformed(&err);
            tracing::debug!(from = %peer.conn.remote_address(), %err, "bad first frame");
            finish_refusal(stream, told, guard(permit), host);
        }
        Some(AcceptOutcome::NoFirstFrame) => {
            tracing::debug!("no first frame came");
            count(&counters.no_first_frame);
            stream.reset(StreamCode::Silent);
        }
        Some(AcceptOutcome::NotTold) => {
            tracing::debug!("the reply could not be written in time");
            // The dialer may still have its end.
            if let Some(permit) = &permit {
                permit.keep_counted();
            }
            stream.reset(StreamCode::Silent);
        }
        Some(AcceptOutcome::Abandoned) => {
            tracing::debug!("the dialer gave up");
            stream.reset(StreamCode::Abandoned);
        }
        // The host closes. Dropping the stream resets it with that code.
        None => {}
    }
}

/// Delivers a refusal if it was written; otherwise resets the stream.
fn finish_refusal(stream: HandshakeStream, told: bool, guard: StreamGuard, host: &EndpointInner) {
    match told {
        true => stream.finish(guard, host),
        false => stream.reset(StreamCode::Abandoned),
    }
}
