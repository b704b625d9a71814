//! The way to a peer: whether there is one, and how large its datagrams may be.
//!
//! Owns what the kernel is asked, and how QUIC searches from there. Never sends a
//! datagram: QUIC does, and finds out by itself when the way gets narrower.
//!
//! A search is not free: a datagram that is tried is full of padding, and the peer
//! looks at each byte of it. So its discovery_config are as few as the path allows.

use std::io;
use std::net::{IpAddr, SocketAddr};

use quinn::MtuDiscoveryConfig;
use virtnet_core::{Cause, Failure};

/// What every path takes, and where the search begins (RFC 9000, section 14).
pub(crate) const MIN_DATAGRAM: u16 = 1200;

/// What the kernel says of the way to a peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    /// The size of the packets that it would send, headers included: what the
    /// interface takes, or less where it has learned so.
    mtu: u32,
    /// The peer is on this machine, so nothing on the way can be narrower.
    is_local: bool,
}

/// How QUIC is to search for the largest datagrams that get to `peer`, none of
/// them over `most` bytes.
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
    // QUIC halves what is left until a step would be smaller than this, and then
    // tries the upper bound.
    let step = match route {
        // At once.
        Some(Route { is_local: true, .. }) => upper - MIN_DATAGRAM,
        // ½, ¾, all of it; something narrower on the way costs about 5 % at most.
        Some(Route { mtu, .. }) if mtu <= 1500 => (upper - MIN_DATAGRAM) / 4,
        // Jumbo frames end at the edge of a cloud: this comes to 1,441 where 1,472 get
        // through, and to within 5 % of anything less.
        _ => 60,
    };
    let mut search = MtuDiscoveryConfig::default();
    search.upper_bound(upper).minimum_change(step.max(1));
    search
}

/// The way to `peer` from a socket that is bound to `local`; `None` where the kernel
/// does not say more than that there may be one.
///
/// # Errors
///
/// What the kernel says to who sends there: that there is no way, or that it is
/// closed.
#[cfg(target_os = "linux")]
pub(crate) fn route(local: IpAddr, peer: SocketAddr) -> io::Result<Option<Route>> {
    use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};

    use rustix::net::sockopt;

    let (peer, any) = match peer.ip().to_canonical() {
        IpAddr::V4(ip) => ((ip, peer.port()).into(), Ipv4Addr::UNSPECIFIED.into()),
        IpAddr::V6(_) => (peer, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
    };
    let from = match local.to_canonical() {
        local if local.is_ipv4() == peer.is_ipv4() => local,
        _ => any,
    };
    // A socket that can't be had says nothing of the way.
    let Ok(socket) = UdpSocket::bind((from, 0)) else {
        return Ok(None);
    };
    // Nothing is sent: connecting looks up the route.
    match socket.connect(peer) {
        Ok(()) => {}
        Err(err) if is_route_error(&err) => return Err(err),
        Err(_) => return Ok(None),
    }
    let mtu = match peer {
        SocketAddr::V4(_) => sockopt::ip_mtu(&socket),
        SocketAddr::V6(_) => sockopt::ipv6_mtu(&socket),
    };
    let is_local = |socket: UdpSocket| {
        let local = socket.local_addr().ok()?.ip();
        Some(peer.ip().is_loopback() || local == peer.ip())
    };
    let route = |mtu| {
        let is_local = is_local(socket)?;
        Some(Route { mtu, is_local })
    };
    Ok(mtu.ok().and_then(route))
}

/// Whether it is about the destination: no route, or one that is `unreachable`,
/// `prohibit` or `blackhole`, or none from the address that the socket has.
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

/// Not known here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn route(_: IpAddr, _: SocketAddr) -> io::Result<Option<Route>> {
    Ok(None)
}

/// Whether a datagram was refused because it is larger than the way to its
/// destination takes.
#[cfg(target_os = "linux")]
pub(crate) fn is_too_large(err: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(err) == Some(rustix::io::Errno::MSGSIZE)
}

/// Not known here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_too_large(_: &io::Error) -> bool {
    false
}

/// Where a host is announced at `addr`, an address of the loopback interface, that
/// the interface is up: sandboxes may have it down.
///
/// # Errors
///
/// When nothing can be sent there.
pub(crate) fn loopback_is_up(local: IpAddr, addr: SocketAddr) -> Result<(), Failure> {
    if !addr.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    route(local, addr).map(drop).map_err(|err| {
        let why = match err.kind() {
            io::ErrorKind::NetworkUnreachable => "the loopback interface is down: ",
            _ => "",
        };
        let text = format!("nobody can reach a host at {addr}: {why}{err}");
        Failure::wrap(Cause::HostUnreachable, text)
    })
}

#[cfg(test)]
mod tests;
