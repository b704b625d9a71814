//! Routes: the address of this machine that other machines see.
//!
//! Owns the question to the operating system, which is asked when a network is opened and
//! again as long as it is open, and the announcement that follows from the answer. Never sends
//! a packet, and never answers with an address that no machine could reach, such as
//! `0.0.0.0`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

#[cfg(feature = "redis")]
use async_trait::async_trait;
use tokio::net::lookup_host;
use tokio::time::timeout;

#[cfg(feature = "redis")]
use crate::redis::HostdataSource;
use crate::registries::Access;

/// The longest time for finding the registry's address.
const LOOKUP: Duration = Duration::from_secs(2);

/// The registry's addresses that are considered, depending on the bound address.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Family {
    V4,
    V6,
    Any,
}

impl Family {
    fn has(self, addr: &SocketAddr) -> bool {
        match self {
            Family::V4 => addr.is_ipv4(),
            Family::V6 => addr.is_ipv6(),
            Family::Any => true,
        }
    }
}

/// The route from this machine to `host:port`, and its local address.
#[derive(Debug)]
pub(crate) struct Route {
    host: String,
    port: u16,
    family: Family,
    ip: IpAddr,
}

impl Route {
    /// Finds the local address from which `host:port` is reached.
    pub(crate) async fn find(host: &str, port: u16, family: Family) -> io::Result<Route> {
        let ip = local_ip_towards(host, port, family).await?;
        Ok(Route {
            host: host.to_owned(),
            port,
            family,
            ip,
        })
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.ip
    }
}

/// The current address of hosts that were announced at the local address of a route. A
/// machine loses that address when it moves to another network.
pub(crate) struct Home {
    /// Gets the warnings.
    access: Access,
    found: OnceLock<Found>,
}

struct Found {
    /// With the address that hosts were first announced at.
    route: Route,
    /// The current address. A blocking lock, held only to read or write it.
    now: Mutex<IpAddr>,
}

impl Home {
    /// Without a route: hosts stay at the address they are announced at.
    pub(crate) fn new(access: Access) -> Home {
        let found = OnceLock::new();
        Home { access, found }
    }

    /// From now on, hosts are at this route's local address. Only the first call counts.
    pub(crate) fn found(&self, route: Route) {
        let now = Mutex::new(route.ip);
        let _ = self.found.set(Found { route, now });
    }
}

impl Found {
    fn now(&self) -> MutexGuard<'_, IpAddr> {
        // One address is whole, whoever panicked.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(feature = "redis")]
#[async_trait]
impl HostdataSource for Home {
    async fn refresh(&self) -> Option<String> {
        let found = self.found.get()?;
        let route = &found.route;
        // Without any route, after a cable is unplugged, the next address is not known yet.
        let ip = local_ip_towards(&route.host, route.port, route.family).await;
        let ip = ip.ok()?;
        if ip.is_loopback() && !route.ip.is_loopback() {
            return None;
        }
        let before = std::mem::replace(&mut *found.now(), ip);
        (ip != before).then(|| {
            let what = format!(
                "this machine's address towards {} was {before} and is {ip} now: its hosts are \
                 announced there, and open connections end; to keep one address, set \
                 VIRTNET_ADVERTISE",
                route.host
            );
            self.access.warn(&what);
            what
        })
    }

    fn current(&self, hostdata: &str) -> Option<String> {
        let found = self.found.get()?;
        let ip = *found.now();
        let addr: SocketAddr = hostdata.parse().ok()?;
        let moved = addr.ip() == found.route.ip && addr.ip() != ip;
        moved.then(|| SocketAddr::new(ip, addr.port()).to_string())
    }
}

async fn local_ip_towards(host: &str, port: u16, family: Family) -> io::Result<IpAddr> {
    let mut last = None;
    let addrs = timeout(LOOKUP, lookup_host((host, port))).await;
    let addrs = addrs.map_err(io::Error::from)??;
    for addr in addrs.filter(|addr| family.has(addr)) {
        match local_ip(addr) {
            Ok(ip) if !ip.is_unspecified() => return Ok(ip),
            Ok(_) => {}
            Err(err) => last = Some(err),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other("none of its addresses can be used")))
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

#[cfg(all(test, feature = "redis"))]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn loopback_is_reached_from_loopback() {
        let route = Route::find("127.0.0.1", 6379, Family::Any).await;
        assert_eq!(route.unwrap().ip(), Ipv4Addr::LOCALHOST);
    }

    #[tokio::test]
    async fn the_family_that_is_bound_to_counts() {
        let route = Route::find("127.0.0.1", 6379, Family::V6).await;
        assert!(route.is_err(), "{route:?}");
    }

    /// A machine that had this address when it joined, and now reaches `host`.
    fn home(ip: &str, host: &str) -> Home {
        let home = Home::new(Access::default());
        home.found(Route {
            host: host.to_owned(),
            port: 6379,
            family: Family::Any,
            ip: ip.parse().unwrap(),
        });
        home
    }

    #[tokio::test]
    async fn hosts_are_where_the_route_begins_now() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let mut moved = home("127.0.0.9", "127.0.0.1");
        let tell = Arc::clone(&told);
        moved.access.warned = Some(Arc::new(move |what: &str| {
            tell.lock().unwrap().push(what.to_owned());
        }));
        assert_eq!(moved.current("127.0.0.9:7"), None);
        let said = moved.refresh().await.unwrap();
        assert!(
            said.contains("127.0.0.1 was 127.0.0.9 and is 127.0.0.1 now"),
            "{said}"
        );
        assert_eq!(moved.refresh().await, None, "it is said once");
        assert_eq!(*told.lock().unwrap(), [said]);
        assert_eq!(moved.current("127.0.0.9:7").as_deref(), Some("127.0.0.1:7"));
        for elsewhere in ["127.0.0.8:7", "127.0.0.1:7", "alpha:7", "[::1]:7", ""] {
            assert_eq!(moved.current(elsewhere), None, "{elsewhere}");
        }
    }

    #[tokio::test]
    async fn no_way_or_one_that_leads_nowhere_changes_nothing() {
        for host in ["no such host.invalid", "127.0.0.1"] {
            let home = home("10.0.0.9", host);
            assert_eq!(home.refresh().await, None, "{host}");
            assert_eq!(home.current("10.0.0.9:7"), None, "{host}");
        }
        // Nothing was found out: it was set.
        let set = Home::new(Access::default());
        assert_eq!(set.refresh().await, None);
        assert_eq!(set.current("10.0.0.9:7"), None);
    }
}
