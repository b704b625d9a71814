//! Counters of refused handshakes, connections and streams, by reason.
//!
//! Owns the counters. Never decides to refuse.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use crate::wire::frame::{FrameError, Refusal};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        #[derive(Debug, Default)]
        pub(crate) struct CountersInner {
            $(pub(crate) $name: AtomicU64,)*
            socket_buffers: OnceLock<SocketBuffers>,
        }

        /// What an engine has refused since it started, by reason.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Stats {
            /// All counts, by name.
            pub fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }

        impl Counters {
            /// The current counts.
            pub fn stats(&self) -> Stats {
                Stats {
                    $($name: self.0.$name.load(Relaxed),)*
                }
            }
        }
    };
}

/// The counters of an engine. Clones share them, and outlive the engine.
///
/// Give a clone to [`QuicConfig::counters`](crate::QuicConfig::counters), and read the
/// other with [`stats`](Counters::stats).
#[derive(Debug, Clone, Default)]
pub struct Counters(pub(crate) Arc<CountersInner>);

/// The sizes of a UDP socket's buffers that the kernel granted, in bytes.
///
/// Linux grants no more than `net.core.rmem_max` and `net.core.wmem_max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketBuffers {
    /// The requested size, for each direction.
    pub asked: usize,
    /// The receive buffer.
    pub receive: usize,
    /// The send buffer.
    pub send: usize,
}

impl Counters {
    /// The buffers of the first host's UDP socket; `None` before there is one. If they are
    /// smaller than requested, that is also logged, once.
    pub fn socket_buffers(&self) -> Option<SocketBuffers> {
        self.0.socket_buffers.get().copied()
    }

    pub(crate) fn granted(&self, buffers: SocketBuffers) {
        let SocketBuffers {
            asked,
            receive,
            send,
        } = buffers;
        if self.0.socket_buffers.set(buffers).is_ok() && receive.min(send) < asked {
            tracing::info!(
                asked,
                receive,
                send,
                "small UDP buffers: bursts may lose datagrams; \
                 net.core.rmem_max and net.core.wmem_max allow larger ones"
            );
        }
    }
}

counters! {
    /// QUIC handshakes refused because too many were in progress, in total or from one
    /// address.
    handshakes_refused,
    /// Retry packets sent to validate the peer's address, because many handshakes were in
    /// progress.
    handshakes_retried,
    /// QUIC handshakes that failed: the peer has no secret or another one, is of another
    /// network, uses another protocol, or did not answer any more.
    handshakes_failed,
    /// QUIC connections refused or closed because there were too many, in total or of one
    /// peer.
    connections_refused,
    /// How often a stream had to wait because its peer had too many streams without a first
    /// frame.
    unopened_held_back,
    /// Streams whose first frame did not arrive in time.
    no_first_frame,
    /// Streams whose first frame could not be read.
    malformed,
    /// Streams of another version of the protocol.
    other_version,
    /// Streams for another host than the one that they reached.
    wrong_host,
    /// Streams for another network.
    wrong_network,
    /// Connections closed because the peer claimed a name that its certificate
    /// does not prove.
    source_not_proved,
    /// Datagrams that were lost because those which fault rules delay use too much memory: over
    /// 64 MiB of one host.
    fault_queue_full,
}

impl CountersInner {
    pub(crate) fn refused(&self, refusal: Refusal) {
        match refusal {
            Refusal::WrongHost => count(&self.wrong_host),
            Refusal::WrongNetwork => count(&self.wrong_network),
            Refusal::SourceNotProved => count(&self.source_not_proved),
            // Refusals of the subnetwork are counted there.
            _ => {}
        }
    }

    pub(crate) fn malformed(&self, err: &FrameError) {
        match err {
            FrameError::Version(_) => count(&self.other_version),
            _ => count(&self.malformed),
        }
    }
}

/// Counts one more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
