//! The route to a peer, and path MTU discovery (RFC 8899): how large datagrams may be.
//!
//! Owns the questions to the kernel, and the settings of the search. Never sends a
//! datagram: QUIC does, and detects by itself when the path MTU decreases.
//!
//! A search costs time: probes are full of padding, and the peer decrypts each byte. So
//! the search uses as few probes as possible.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use quinn::MtuDiscoveryConfig;

/// The size that every path must support, and the search starts with (RFC 9000,
/// section 14).
pub(crate) const MIN_DATAGRAM: u16 = 1200;

/// What the kernel knows about the route to a peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    /// The MTU, headers included: the interface's, or a smaller path MTU that the kernel
    /// has learned.
    mtu: u32,
    /// The peer is on this machine, so the path MTU is never smaller.
    is_local: bool,
}

/// Settings of the search for the largest datagrams that reach `peer`, up to `most` bytes.
pub(crate) fn discovery_config(
    peer: SocketAddr,
    route: Option<Route>,
    most: u16,
) -> MtuDiscoveryConfig {
    let headers = match peer.ip().to_canonical() {
        IpAddr::V4(_) => 20 + 8,
        IpAddr::V6(_) => 40 + 8,
    };
    let fits = route.map_or(most.into(), |route| route.mtu.saturating_sub(headers));
    let upper = most
        .min(fits.try_into().unwrap_or(u16::MAX))
        .max(MIN_DATAGRAM);
    // quinn searches in halves until a step would be smaller than this, and then tries the
    // upper bound.
    let step = match route {
        // Tries the upper bound at once.
        Some(Route { is_local: true, .. }) => upper - MIN_DATAGRAM,
        // ½, ¾, all; a smaller path MTU loses about 5 % at most.
        Some(Route { mtu, .. }) if mtu <= 1500 => (upper - MIN_DATAGRAM) / 4,
        // Jumbo frames end at the edge of a cloud: where 1,472 bytes pass, this finds 1,441,
        // and within 5 % of any smaller size.
        _ => 60,
    };
    let mut search = MtuDiscoveryConfig::default();
    search.upper_bound(upper).minimum_change(step.max(1));
    search
}

/// The route to `peer` from a socket that is bound to `local`; `None` where the kernel
/// does not tell.
///
/// # Errors
///
/// The error that sending would have: there is no route, or the route is blocked.
#[cfg(target_os = "linux")]
pub(crate) fn route(local: IpAddr, peer: SocketAddr) -> io::Result<Option<Route>> {
    use rustix::net::sockopt;

    let Some(socket) = connected(local, peer)? else {
        return Ok(None);
    };
    let ip = peer.ip().to_canonical();
    let mtu = match ip {
        IpAddr::V4(_) => sockopt::ip_mtu(&socket),
        IpAddr::V6(_) => sockopt::ipv6_mtu(&socket),
    };
    let is_local = |socket: UdpSocket| {
        let local = socket.local_addr().ok()?.ip();
        Some(ip.is_loopback() || local == ip)
    };
    let route = |mtu| {
        let is_local = is_local(socket)?;
        Some(Route { mtu, is_local })
    };
    Ok(mtu.ok().and_then(route))
}

/// A socket that is bound to `local` and connected to `peer`, which looks up the route and sends
/// nothing; `None` where the kernel cannot be asked.
///
/// # Errors
///
/// Those of [`route`].
#[cfg(target_os = "linux")]
pub(crate) fn connected(local: IpAddr, peer: SocketAddr) -> io::Result<Option<UdpSocket>> {
    use std::net::{Ipv4Addr, Ipv6Addr};

    let (peer, any) = match peer.ip().to_canonical() {
        IpAddr::V4(ip) => ((ip, peer.port()).into(), Ipv4Addr::UNSPECIFIED.into()),
        IpAddr::V6(_) => (peer, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
    };
    let from = match local.to_canonical() {
        local if local.is_ipv4() == peer.is_ipv4() => local,
        _ => any,
    };
    // Without a socket the kernel cannot be asked.
    let Ok(socket) = UdpSocket::bind((from, 0)) else {
        return Ok(None);
    };
    match socket.connect(peer) {
        Ok(()) => Ok(Some(socket)),
        Err(err) if is_route_error(&err) => Err(err),
        Err(_) => Ok(None),
    }
}

/// Whether the error is about the route: there is none, also none from the socket's
/// address, or it is `unreachable`, `prohibit` or `blackhole`.
#[cfg(target_os = "linux")]
fn is_route_error(err: &io::Error) -> bool {
    use rustix::io::Errno;

    matches!(
        Errno::from_io_error(err),
        Some(
            Errno::NETUNREACH
                | Errno::HOSTUNREACH
                | Errno::NETDOWN
                | Errno::ACCESS
                | Errno::PERM
                | Errno::INVAL
                | Errno::ADDRNOTAVAIL
        )
    )
}

/// Unknown on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn route(_: IpAddr, _: SocketAddr) -> io::Result<Option<Route>> {
    Ok(None)
}

/// Unknown on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn connected(_: IpAddr, _: SocketAddr) -> io::Result<Option<UdpSocket>> {
    Ok(None)
}

/// Whether a datagram was refused because it is larger than the path MTU.
#[cfg(target_os = "linux")]
pub(crate) fn is_too_large(err: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(err) == Some(rustix::io::Errno::MSGSIZE)
}

/// Unknown on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_too_large(_: &io::Error) -> bool {
    false
}

#[cfg(test)]
mod tests;
