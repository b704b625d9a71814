//! Limits: how much peers may use of one host at a time.
//!
//! Owns the defaults, and the check of each value. Never counts and never refuses:
//! `endpoint/admission.rs` does.

use virtnet_core::Failure;

/// How much peers may use of one host at a time. Beyond a limit, peers are refused or
/// wait, and are counted ([`Stats`](crate::Stats)). Other peers are not affected.
///
/// ```
/// use virtnet_engine_quic::{Identity, Limits, QuicConfig, Secret};
///
/// let mut limits = Limits::default();
/// // A host that hundreds of others dial, all with one certificate.
/// limits.connections_per_peer = 1_000;
/// let config = QuicConfig::new(Identity::secret(Secret::random())).limits(limits);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// QUIC handshakes in progress; default 512. More are refused.
    pub handshakes: usize,
    /// QUIC handshakes in progress from one IPv4 address, or from one /64 network of
    /// IPv6; default 256. More are refused.
    pub handshakes_per_address: usize,
    /// When so many QUIC handshakes are in progress, a peer that starts another one must
    /// first validate its address with a Retry packet (RFC 9000, section 8.1.2): one more
    /// round trip, for which this side keeps no state. Default 32; with 0 each peer must.
    pub handshakes_unproved: usize,
    /// QUIC connections; default 16,384. More are refused. One QUIC connection carries
    /// all virtual connections that one host dials to another.
    pub connections: usize,
    /// QUIC connections of peers with the same certificate; default 256. More are closed.
    /// With a secret, each host has its own certificate.
    pub connections_per_peer: usize,
    /// Streams without a first frame, of peers with the same certificate; default 1,024.
    /// More streams wait until the first frame of one of these arrives, or its
    /// [`handshake_timeout`](crate::QuicConfig::handshake_timeout) ends.
    pub unopened_per_peer: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            // A handshake that the peer does not continue costs about 30 kB for 3 s.
            handshakes: 512,
            // Many hosts of one machine may dial at once, but one machine alone must not
            // use up all handshakes.
            handshakes_per_address: 256,
            // Enough for members; spoofed addresses cost 1 MB at most.
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
                let problem = format!("limit {name:?} must be at least 1, got 0");
                return Err(Failure::other(problem));
            }
        }
        Ok(())
    }
}
