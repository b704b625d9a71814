//! QUIC's transport settings: windows, limits, timers, and application error codes.
//!
//! Owns the transport configurations. Never decides which peers to trust or what a
//! stream carries.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt};

use crate::QuicConfig;
use crate::identity::{IdentityKind, MAX_CHAIN};
use crate::udp::faults::recovery::{Recovery, UNI_STREAMS};
use crate::udp::mtu::{self, Route};

/// How many streams a peer may have open at first. Each allowed stream costs
/// memory at once, so the limit grows with use ([`crate::endpoint::stream_limits`]).
pub(crate) const FIRST_STREAMS: u32 = 32;

/// How many streams of a peer may have full windows at first; this grows with use, too.
pub(crate) const FIRST_WINDOWS: u32 = 8;

/// How many streams a peer may ever have open: one for each port of its host,
/// so that the limit never blocks a connection.
pub(crate) const MAX_STREAMS: u32 = 1 << 16;

/// How many handshakes may wait for the accept loop, which takes them at once, and how
/// many bytes each of them and all of them may buffer.
const MAX_INCOMING: usize = 256;
const INCOMING_BUFFER: u64 = 16 << 10;
const INCOMING_BUFFERS: u64 = 1 << 20;

/// How much of a TLS handshake may wait behind a lost datagram, with certificates of the user's own: the largest chain, and
/// the messages around it. With quinn's 16 KiB, a loss ends the handshake if a chain is larger.
const HANDSHAKE: usize = MAX_CHAIN + (16 << 10);

fn transport(
    config: &QuicConfig,
    peer: SocketAddr,
    route: Option<Route>,
    recovery: &Recovery,
) -> TransportConfig {
    let tuning = &config.tuning;
    // QUIC restarts its idle timer also when it sends the first ack-eliciting packet after
    // the last one received (RFC 9000, section 10.1), and a keep-alive is one.
    let silence = config.idle_timeout - config.keep_alive;
    let idle = u32::try_from(silence.as_millis()).unwrap_or(u32::MAX);
    let search = mtu::discovery_config(peer, route, tuning.largest_datagram);
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        // The empty stream before a close; nobody reads it ([`crate::endpoint::flush`]).
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS))
        .datagram_receive_buffer_size(None)
        // Limited per stream only: this side opened each of them.
        .receive_window(VarInt::MAX)
        .stream_receive_window(VarInt::from_u32(tuning.stream_window))
        .send_window(tuning.send_window)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle))))
        .keep_alive_interval(Some(config.keep_alive))
        .mtu_discovery_config(Some(search))
        .congestion_controller_factory(Arc::new(recovery.clone()));
    if let IdentityKind::Pki(_) = config.identity.0 {
        transport.crypto_buffer_size(HANDSHAKE);
    }
    transport
}

/// For a connection that `host`, of this side, opens to `peer` over `route`. Only `host`
/// opens streams on it.
pub(crate) fn client(
    tls: Arc<QuicClientConfig>,
    config: &QuicConfig,
    host: &str,
    (peer, route): (SocketAddr, Option<Route>),
    recovery: &Recovery,
) -> ClientConfig {
    let mut transport = transport(config, peer, route, recovery);
    config.qlog.record(&mut transport, (host, "dials", peer));
    let mut client = ClientConfig::new(tls);
    client.transport_config(Arc::new(transport));
    client
}

/// For connections that peers open: the settings that are the same for all peers.
pub(crate) fn server(tls: Arc<QuicServerConfig>) -> ServerConfig {
    let mut server = ServerConfig::with_crypto(tls);
    server
        .migration(false)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BUFFER)
        .incoming_buffer_size_total(INCOMING_BUFFERS);
    server
}

/// For a connection that `peer` opens to `host`.
pub(crate) fn server_to(
    server: &ServerConfig,
    config: &QuicConfig,
    host: &str,
    (peer, recovery): (SocketAddr, &Recovery),
) -> ServerConfig {
    // If there is no route back to the peer, QUIC's timeout ends the handshake.
    let route = mtu::route(config.bind.first.ip(), peer).ok().flatten();
    let mut transport = transport(config, peer, route, recovery);
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(FIRST_STREAMS))
        .receive_window(receive_window(FIRST_WINDOWS, config.tuning.stream_window));
    config
        .qlog
        .record(&mut transport, (host, "is dialed by", peer));
    let mut server = server.clone();
    server.transport_config(Arc::new(transport));
    server
}

/// How many unread bytes of one connection this side buffers.
pub(crate) fn receive_window(streams: u32, stream_window: u32) -> VarInt {
    let bytes = u64::from(streams) * u64::from(stream_window);
    VarInt::from_u64(bytes).unwrap_or(VarInt::MAX)
}

/// How long a close waits for each step of telling the peers.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Application error codes of RESET_STREAM and STOP_SENDING frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum StreamCode {
    /// The acceptor's answer to a dial that was given up, or that it cannot reply to.
    Abandoned = 1,
    /// The peer was silent for too long.
    Silent = 2,
    /// The host is going down.
    Closing = 4,
    /// Written data could not be delivered before the host went down.
    Undelivered = 5,
    /// The connection was aborted, or was never handed to a user.
    Aborted = 6,
    /// The dialer gave up its dial, or its dial failed.
    GivenUp = 7,
}

/// Application error codes of CONNECTION_CLOSE frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum CloseCode {
    /// The host went down.
    Bye = 1,
    /// No virtual connection used it for some time.
    Idle = 2,
    /// The peer claimed a name that its certificate does not prove.
    SourceNotProved = 3,
    /// The peer has too many connections already.
    TooMany = 4,
}

impl From<StreamCode> for VarInt {
    fn from(code: StreamCode) -> VarInt {
        VarInt::from_u32(code as u32)
    }
}

impl From<CloseCode> for VarInt {
    fn from(code: CloseCode) -> VarInt {
        VarInt::from_u32(code as u32)
    }
}
