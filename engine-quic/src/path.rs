//! The way to a peer: how large its datagrams may be.
//!
//! Owns what the kernel is asked, and how QUIC searches from there. Never sends a
//! datagram: QUIC does, and finds out by itself when the way gets narrower.
//!
//! A search is not free: a datagram that is tried is as large as it says, and the
//! peer looks at each byte of it. So its steps are as few as the path allows.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use quinn::MtuDiscoveryConfig;

/// What every path takes, and where the search begins (RFC 9000, section 14).
pub(crate) const SMALLEST: u16 = 1200;

/// The most that an interface with links to other machines has, of what is in
/// use: jumbo frames, in bytes. More has only what leads to this machine itself.
const LARGEST_LINK: u32 = 9_216;

/// How QUIC is to search for the largest datagrams that get to `peer`, none of
/// them over `most` bytes.
pub(crate) fn search(peer: SocketAddr, most: u16) -> MtuDiscoveryConfig {
    steps(peer, link(peer).ok(), most)
}

fn steps(peer: SocketAddr, link: Option<u32>, most: u16) -> MtuDiscoveryConfig {
    let headers = if peer.ip().to_canonical().is_ipv4() {
        20 + 8
    } else {
        40 + 8
    };
    let fits = link.map_or(most.into(), |link| link.saturating_sub(headers));
    let upper = most.min(fits.try_into().unwrap_or(u16::MAX)).max(SMALLEST);
    // QUIC halves what is left until a step would be smaller than this, and then
    // tries the upper bound.
    let step = match link {
        // Nothing on the way is narrower: the upper bound at once.
        Some(link) if link > LARGEST_LINK => upper - SMALLEST,
        // ½, ¾, all of it; something narrower on the way costs 5 % at most.
        Some(link) if link <= 1500 => (upper - SMALLEST) / 4,
        // Jumbo frames end at the edge of a cloud. Halving 8,972 and less by steps
        // of this size comes to 1,441 where 1,472 get through.
        _ => 240,
    };
    let mut search = MtuDiscoveryConfig::default();
    search.upper_bound(upper).minimum_change(step.max(1));
    search
}

/// The size of the packets that the kernel would send to `peer`, headers included:
/// what the interface takes, or less where it has learned so.
#[cfg(target_os = "linux")]
fn link(peer: SocketAddr) -> std::io::Result<u32> {
    use rustix::net::sockopt;
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    // Nothing is sent: connecting looks up the route.
    let socket = match peer {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
    }?;
    socket.connect(peer)?;
    Ok(match peer {
        SocketAddr::V4(_) => sockopt::ip_mtu(&socket),
        SocketAddr::V6(_) => sockopt::ipv6_mtu(&socket),
    }?)
}

#[cfg(not(target_os = "linux"))]
fn link(_: SocketAddr) -> std::io::Result<u32> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
