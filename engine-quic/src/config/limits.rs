//! Limits on what peers may use of one host at a time.
//!
//! Owns the defaults and the validation. Never counts or refuses anything:
//! `endpoint/admission.rs` does.

use virtnet_core::Failure;

/// Limits on what peers may use of one host at a time.
///
/// Beyond a limit, peers are refused or have to wait, and [`Stats`](crate::Stats)
/// counts them. Peers within the limits are not affected. Every limit except
/// [`handshakes_unproved`](Limits::handshakes_unproved) must be at least 1.
///
/// ```
/// use virtnet_engine_quic::{Identity, Limits, QuicConfig, Secret};
///
/// let mut limits = Limits::default();
/// // Hundreds of hosts that share one certificate dial this host.
/// limits.connections_per_peer = 1_000;
/// let config = QuicConfig::new(Identity::secret(Secret::random())).limits(limits);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// QUIC handshakes in progress; default 512. Further ones are refused.
    pub handshakes: usize,
    /// QUIC handshakes in progress from one IPv4 address or one IPv6 /64 network;
    /// default 256. Further ones are refused.
    pub handshakes_per_address: usize,
    /// QUIC handshakes in progress from which on a new peer must first prove its
    /// address; default 32. The proof is one more round trip, which needs no memory on
    /// this side (Retry, RFC 9000, section 8.1.2). With 0, every peer must prove it.
    pub handshakes_unproved: usize,
    /// QUIC connections; default 16,384. Each host that dials this one usually has one,
    /// for any number of virtual connections. Further ones are refused.
    pub connections: usize,
    /// QUIC connections of peers that use the same certificate; default 256. With a
    /// secret, each host has its own certificate. Further ones are closed.
    pub connections_per_peer: usize,
    /// Streams without a first frame yet, of peers that use the same certificate;
    /// default 1,024. Further streams wait until the first frames of these arrive or
    /// the [`handshake_timeout`](crate::QuicConfig::handshake_timeout) ends them.
    pub unopened_per_peer: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            // A stalled handshake costs about 30 kB for 3 s.
            handshakes: 512,
            // Many hosts of one machine may dial at once, but one machine must not use up
            // the whole limit.
            handshakes_per_address: 256,
            // Rarely reached by members; forged addresses cost at most 1 MB.
            handshakes_unproved: 32,
            connections: 16_384,
            connections_per_peer: 256,
            unopened_per_peer: 1_024,
        }
    }
}

impl Limits {
    pub(crate) fn check(&self) -> Result<(), Failure> {
        for (name, most) in [
            ("handshakes", self.handshakes),
            ("handshakes_per_address", self.handshakes_per_address),
            ("connections", self.connections),
            ("connections_per_peer", self.connections_per_peer),
            ("unopened_per_peer", self.unopened_per_peer),
        ] {
            if most == 0 {
                let problem = format!("limit {name:?} must be at least 1");
                return Err(Failure::other(problem));
            }
        }
        Ok(())
    }
}
