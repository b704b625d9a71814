//! Routes: which address of this machine others see it by.
//!
//! Owns the question to the operating system. Never sends a packet, and never
//! answers with an address that no other machine could reach by its nature,
//! such as `0.0.0.0`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

/// How long the address of the registry may take to be found.
const LOOKUP: Duration = Duration::from_secs(2);

/// The local address from which `host:port` is reached.
///
/// `wanted` says of which family it must be, as the one that is bound to.
pub(crate) async fn local_ip_towards(
    host: &str,
    port: u16,
    wanted: impl Fn(&SocketAddr) -> bool,
) -> io::Result<IpAddr> {
    let mut last = None;
    let addrs = timeout(LOOKUP, lookup_host((host, port))).await;
    for addr in addrs.map_err(io::Error::from)??.filter(wanted) {
        match local_ip(addr) {
            Ok(ip) if !ip.is_unspecified() => return Ok(ip),
            Ok(_) => {}
            Err(err) => last = Some(err),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other("no address of it can be used")))
}

/// Connecting a UDP socket chooses its local address, and sends nothing.
fn local_ip(towards: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match towards {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(towards)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn loopback_is_reached_from_loopback() {
        let ip = local_ip_towards("127.0.0.1", 6379, |_| true).await;
        assert_eq!(ip.unwrap(), Ipv4Addr::LOCALHOST);
    }

    #[tokio::test]
    async fn the_family_that_is_bound_to_counts() {
        let ip = local_ip_towards("127.0.0.1", 6379, SocketAddr::is_ipv6).await;
        assert!(ip.is_err(), "{ip:?}");
    }
}
