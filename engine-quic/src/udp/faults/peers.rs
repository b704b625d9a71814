//! Which host is behind a peer's UDP address.
//!
//! Owns the names, and for each the links of the table in force. Never reads a datagram.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use virtnet_core::faults::{FaultTable, Link};

use crate::udp::faults::recovery::Recovery;
use crate::udp::faults::saved::Saved;

/// How many addresses are known at most. Datagrams to and from others meet no rule.
const MAX_PEERS: usize = 1 << 16;

/// How long an address is known after its last QUIC connection was closed: until then this side answers the
/// peer's late datagrams, and the rules hold for the answers.
const LINGER: Duration = Duration::from_secs(3);

/// How many addresses linger at most.
const MAX_LINGERING: usize = 1 << 10;

/// The peers of one host.
#[derive(Default)]
pub(crate) struct Peers {
    by_addr: HashMap<SocketAddr, Peer>,
    /// Addresses without a connection, and since when, oldest first. An address that was used since stays.
    lingering: VecDeque<(SocketAddr, Instant)>,
}

/// A peer's address.
#[derive(Default)]
pub(crate) struct Peer {
    /// The hosts that are, or were, thought to be there: more than one after another host took
    /// over the address, or while a dial with an old hostdata is under way.
    names: Vec<Name>,
    /// Of the connections to it.
    recoveries: Vec<Recovery>,
    unused_since: Option<Instant>,
    /// From this host to the peer.
    pub(crate) there: Option<Arc<Link>>,
    /// From the peer to this host.
    pub(crate) back: Option<Arc<Link>>,
    /// What a cut dropped of what was sent to the peer.
    pub(crate) unsent: Saved,
    /// What a cut dropped of what came from the peer.
    pub(crate) unread: Saved,
}

struct Name {
    host: Arc<str>,
    uses: usize,
    proved: bool,
}

/// The address in the form that all versions of IP share: a socket for both uses IPv4-mapped IPv6 addresses.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

impl Peers {
    pub(crate) fn get_mut(&mut self, addr: SocketAddr) -> Option<&mut Peer> {
        self.by_addr.get_mut(&canonical(addr))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.by_addr.values_mut()
    }

    /// Counts one more use of `addr` by a connection to `host`; `false` if there are too many addresses.
    pub(crate) fn name(&mut self, addr: SocketAddr, host: &Arc<str>, recovery: &Recovery) -> bool {
        let addr = canonical(addr);
        if self.by_addr.len() >= MAX_PEERS && !self.by_addr.contains_key(&addr) {
            return false;
        }
        let peer = self.by_addr.entry(addr).or_default();
        peer.unused_since = None;
        peer.recoveries.push(recovery.clone());
        peer.names
            .retain(|name| name.uses > 0 || name.host == *host);
        match peer.names.iter_mut().find(|name| name.host == *host) {
            Some(name) => name.uses += 1,
            None => peer.names.push(Name {
                host: Arc::clone(host),
                uses: 1,
                proved: false,
            }),
        }
        true
    }

    /// Counts one use less.
    pub(crate) fn unname(
        &mut self,
        addr: SocketAddr,
        host: &Arc<str>,
        recovery: &Recovery,
        now: Instant,
    ) {
        let addr = canonical(addr);
        let Some(peer) = self.by_addr.get_mut(&addr) else {
            return;
        };
        peer.recoveries.retain(|other| !other.is_same(recovery));
        if let Some(name) = peer.names.iter_mut().find(|name| name.host == *host) {
            name.uses = name.uses.saturating_sub(1);
        }
        if peer.names.iter().any(|name| name.uses > 0) {
            peer.names.retain(|name| name.uses > 0);
            return;
        }
        peer.unused_since = Some(now);
        self.lingering.push_back((addr, now));
    }

    /// Removes a peer that has lingered long enough; call it until it returns none.
    pub(crate) fn remove_unused(&mut self, now: Instant) -> Option<Peer> {
        loop {
            let (addr, since) = *self.lingering.front()?;
            let is_over = now.saturating_duration_since(since) >= LINGER;
            if !is_over && self.lingering.len() <= MAX_LINGERING {
                return None;
            }
            self.lingering.pop_front();
            let peer = self.by_addr.get(&addr);
            if peer.is_some_and(|peer| peer.unused_since == Some(since)) {
                return self.by_addr.remove(&addr);
            }
        }
    }
}

impl Peer {
    /// The host that is there: the one that proved its name last, otherwise the one that was dialed last.
    pub(crate) fn host(&self) -> Option<&Arc<str>> {
        let mut names = self.names.iter().rev();
        let proved = names.clone().find(|name| name.proved);
        proved.or_else(|| names.next()).map(|name| &name.host)
    }

    /// Whether no connection is left.
    pub(crate) fn is_unused(&self) -> bool {
        self.unused_since.is_some()
    }

    /// The host has proved its name on a connection to this address.
    pub(crate) fn prove(&mut self, host: &Arc<str>) {
        if let Some(at) = self.names.iter().position(|name| name.host == *host) {
            let mut name = self.names.remove(at);
            name.proved = true;
            self.names.push(name);
        }
    }

    /// A cut has ended, and something that it dropped arrives now. Returns the connections, which have to
    /// send.
    pub(crate) fn recover(&self, now: Instant) -> impl Iterator<Item = Recovery> + '_ {
        let now = now.into_std();
        self.recoveries.iter().map(move |recovery| {
            recovery.begin(now);
            recovery.clone()
        })
    }

    /// Looks up its links in `table`.
    pub(crate) fn relink(&mut self, own: &str, table: &FaultTable) {
        let host = self.host().cloned();
        let link = |is_there: bool| {
            let host = host.as_deref()?;
            match is_there {
                true => table.link(own, host),
                false => table.link(host, own),
            }
        };
        (self.there, self.back) = (link(true), link(false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn host(peers: &mut Peers, port: u16) -> Option<String> {
        let peer = peers.get_mut(addr(port))?;
        peer.host().map(|host| host.to_string())
    }

    #[test]
    fn the_host_that_proved_its_name_last_is_there() {
        let (mut peers, now) = (Peers::default(), Instant::now());
        let conn = Recovery::default();
        let [alpha, beta]: [Arc<str>; 2] = ["α".into(), "β".into()];
        peers.name(addr(1), &alpha, &conn);
        assert_eq!(host(&mut peers, 1).as_deref(), Some("α"));
        peers.get_mut(addr(1)).unwrap().prove(&alpha);
        // A dial to another host that was there before.
        peers.name(addr(1), &beta, &conn);
        assert_eq!(host(&mut peers, 1).as_deref(), Some("α"));
        peers.unname(addr(1), &beta, &conn, now);
        assert_eq!(host(&mut peers, 1).as_deref(), Some("α"));
        // It has taken over the address.
        peers.name(addr(1), &beta, &conn);
        peers.get_mut(addr(1)).unwrap().prove(&beta);
        assert_eq!(host(&mut peers, 1).as_deref(), Some("β"));
        peers.unname(addr(1), &alpha, &conn, now);
        assert_eq!(host(&mut peers, 1).as_deref(), Some("β"));
        // The same host for IPv4 and for a socket of both.
        let mapped = "[::ffff:127.0.0.1]:1".parse().unwrap();
        assert!(peers.get_mut(mapped).is_some());
    }

    #[test]
    fn an_address_leaves_some_time_after_its_last_connection() {
        let (mut peers, now) = (Peers::default(), Instant::now());
        let conn = Recovery::default();
        let alpha: Arc<str> = "α".into();
        peers.name(addr(1), &alpha, &conn);
        peers.name(addr(1), &alpha, &conn);
        peers.unname(addr(1), &alpha, &conn, now);
        assert!(peers.remove_unused(now + LINGER).is_none());
        peers.unname(addr(1), &alpha, &conn, now);
        assert_eq!(host(&mut peers, 1).as_deref(), Some("α"));
        // Used again, and unused later.
        let later = now + LINGER / 2;
        peers.name(addr(1), &alpha, &conn);
        peers.unname(addr(1), &alpha, &conn, later);
        assert!(peers.remove_unused(now + LINGER).is_none());
        assert!(peers.remove_unused(later + LINGER).is_some());
        assert_eq!(host(&mut peers, 1), None);
    }

    #[test]
    fn they_are_bounded() {
        let (mut peers, now) = (Peers::default(), Instant::now());
        let conn = Recovery::default();
        let alpha: Arc<str> = "α".into();
        for port in 1..=2_000 {
            assert!(peers.name(addr(port), &alpha, &conn));
            peers.unname(addr(port), &alpha, &conn, now);
            while peers.remove_unused(now).is_some() {}
        }
        assert_eq!(peers.by_addr.len(), MAX_LINGERING);
        let other = |nth: usize| SocketAddr::from(([10, 0, (nth >> 8) as u8, nth as u8], 1));
        let named = (0..1 << 16).filter(|nth| peers.name(other(*nth), &alpha, &conn));
        assert_eq!(named.count(), MAX_PEERS - MAX_LINGERING);
    }
}
