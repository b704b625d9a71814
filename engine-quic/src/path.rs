//! The way to a peer: how large its datagrams may be.
//!
//! Owns what the kernel is asked, and how QUIC searches from there. Never sends a
//! datagram: QUIC does, and finds out by itself when the way gets narrower.
//!
//! A search is not free: a datagram that is tried is full of padding, and the peer
//! looks at each byte of it. So its steps are as few as the path allows.

use std::io;
use std::net::{IpAddr, SocketAddr};

use quinn::MtuDiscoveryConfig;

/// What every path takes, and where the search begins (RFC 9000, section 14).
pub(crate) const SMALLEST: u16 = 1200;

/// What the kernel says of the way to a peer.
#[derive(Debug, Clone, Copy)]
struct Route {
    /// The size of the packets that it would send, headers included: what the
    /// interface takes, or less where it has learned so.
    size: u32,
    /// The peer is on this machine, so nothing on the way can be narrower.
    stays_here: bool,
}

/// How QUIC is to search for the largest datagrams that get to `peer`, none of
/// them over `most` bytes.
pub(crate) fn search(peer: SocketAddr, most: u16) -> MtuDiscoveryConfig {
    steps(peer, route(peer).ok(), most)
}

fn steps(peer: SocketAddr, route: Option<Route>, most: u16) -> MtuDiscoveryConfig {
    let headers = match peer.ip().to_canonical() {
        IpAddr::V4(_) => 20 + 8,
        IpAddr::V6(_) => 40 + 8,
    };
    let fits = route.map_or(most.into(), |route| route.size.saturating_sub(headers));
    let upper = most.min(fits.try_into().unwrap_or(u16::MAX)).max(SMALLEST);
    // QUIC halves what is left until a step would be smaller than this, and then
    // tries the upper bound.
    let step = match route {
        // At once.
        Some(Route {
            stays_here: true, ..
        }) => upper - SMALLEST,
        // ½, ¾, all of it; something narrower on the way costs about 5 % at most.
        Some(Route { size, .. }) if size <= 1500 => (upper - SMALLEST) / 4,
        // Jumbo frames end at the edge of a cloud: this comes to 1,441 where 1,472 get
        // through, and to within 5 % of anything less.
        _ => 60,
    };
    let mut search = MtuDiscoveryConfig::default();
    search.upper_bound(upper).minimum_change(step.max(1));
    search
}

#[cfg(target_os = "linux")]
fn route(peer: SocketAddr) -> io::Result<Route> {
    use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};

    use rustix::net::sockopt;

    let (peer, any) = match peer.ip().to_canonical() {
        IpAddr::V4(ip) => ((ip, peer.port()).into(), Ipv4Addr::UNSPECIFIED.into()),
        IpAddr::V6(_) => (peer, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
    };
    // Nothing is sent: connecting looks up the route.
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(peer)?;
    let size = match peer {
        SocketAddr::V4(_) => sockopt::ip_mtu(&socket),
        SocketAddr::V6(_) => sockopt::ipv6_mtu(&socket),
    }?;
    let stays_here = peer.ip().is_loopback() || socket.local_addr()?.ip() == peer.ip();
    Ok(Route { size, stays_here })
}

#[cfg(not(target_os = "linux"))]
fn route(_: SocketAddr) -> io::Result<Route> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
