//! Limits: how much peers may ask of one host at a time.
//!
//! Owns the defaults, and the check of what is asked for. Never counts, and never
//! refuses anybody: `gate.rs` does.

use virtnet_core::Failure;

/// How much peers may ask of one host at a time. Past each limit peers are refused
/// or have to wait, and are counted ([`Stats`](crate::Stats)); those that are within
/// it do not notice.
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
    /// QUIC handshakes under way; default 512. What comes beyond is refused.
    pub handshakes: usize,
    /// QUIC handshakes under way from one IP address, or from one /64 network of IPv6;
    /// default 256. What comes beyond is refused.
    pub handshakes_per_address: usize,
    /// With so many QUIC handshakes under way, who begins another one must first prove
    /// its address, by a round trip that costs this side nothing (a Retry of RFC 9000,
    /// section 8.1.2); default 32. With 0 everybody must.
    pub handshakes_unproved: usize,
    /// QUIC connections; default 16,384. A host that is dialed by another one has one
    /// from it, however many virtual connections there are. What comes beyond is
    /// refused.
    pub connections: usize,
    /// QUIC connections of peers with one certificate; default 256. With a secret,
    /// each host has a certificate of its own. What comes beyond is closed.
    pub connections_per_peer: usize,
    /// Streams of peers with one certificate whose first frame has not come yet;
    /// default 1,024. Those beyond wait until these have one, or ran into the
    /// [`handshake_timeout`](crate::QuicConfig::handshake_timeout).
    pub unopened_per_peer: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            // A handshake that goes no further costs some 30 kB for 3 s.
            handshakes: 512,
            // Many hosts of one machine may dial at once. One machine alone must not
            // take all there is.
            handshakes_per_address: 256,
            // Members do not notice; made up addresses cost 1 MB at most.
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
