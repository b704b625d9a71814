//! Admission: how many handshakes and connections of peers a host has at a time.
//!
//! Owns the counts for [`Limits`]: permits that count until they are dropped. Never
//! refuses a peer itself, and never uses QUIC.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::Limits;

/// The counts of one host.
pub(crate) struct Admission {
    limits: Limits,
    hasher: RandomState,
    /// Held for map operations only.
    counts: Mutex<AdmissionCounts>,
}

#[derive(Debug, Default)]
struct AdmissionCounts {
    handshakes: usize,
    by_address: HashMap<IpAddr, usize>,
    connections: usize,
    by_peer: HashMap<u64, PeerCounts>,
}

/// The counts of all peers with the same certificate.
#[derive(Debug)]
struct PeerCounts {
    connections: usize,
    unopened: Arc<Semaphore>,
}

/// Why a peer is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    /// The peer must validate its address first.
    Unproved,
    /// Too many handshakes are in progress.
    Handshakes,
    /// There are too many connections.
    Connections,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Arc<Admission> {
        Arc::new(Admission {
            limits,
            hasher: RandomState::new(),
            counts: Mutex::default(),
        })
    }

    /// Counts a handshake from `ip`; `proved` says whether QUIC has validated the address.
    pub(crate) fn handshake(
        self: &Arc<Admission>,
        ip: IpAddr,
        proved: bool,
    ) -> Result<HandshakePermit, NotAdmitted> {
        let (limits, from) = (&self.limits, address_group(ip));
        let mut counts = self.counts.lock();
        if counts.connections >= limits.connections {
            return Err(NotAdmitted::Connections);
        }
        let here = counts.by_address.get(&from).copied().unwrap_or(0);
        if counts.handshakes >= limits.handshakes || here >= limits.handshakes_per_address {
            return Err(NotAdmitted::Handshakes);
        }
        if counts.handshakes >= limits.handshakes_unproved && !proved {
            return Err(NotAdmitted::Unproved);
        }
        counts.handshakes += 1;
        counts.by_address.insert(from, here + 1);
        drop(counts);
        let admission = Arc::clone(self);
        Ok(HandshakePermit { admission, from })
    }

    /// Counts a connection of the peer with that `certificate`.
    pub(crate) fn connection(
        self: &Arc<Admission>,
        certificate: impl Hash,
    ) -> Result<ConnectionPermit, NotAdmitted> {
        // Two certificates with the same hash only share their limits.
        let peer = self.hasher.hash_one(certificate);
        let mut counts = self.counts.lock();
        // More handshakes may have been in progress than connections are left.
        if counts.connections >= self.limits.connections {
            return Err(NotAdmitted::Connections);
        }
        let shared = counts.by_peer.entry(peer).or_insert_with(|| PeerCounts {
            connections: 0,
            unopened: Arc::new(Semaphore::new(self.limits.unopened_per_peer)),
        });
        if shared.connections >= self.limits.connections_per_peer {
            return Err(NotAdmitted::Connections);
        }
        shared.connections += 1;
        let unopened = Arc::clone(&shared.unopened);
        counts.connections += 1;
        drop(counts);
        Ok(ConnectionPermit {
            admission: Arc::clone(self),
            peer,
            unopened,
        })
    }
}

/// The address to count for `ip`: a peer that has one IPv6 address has 2⁶⁴ of them.
fn address_group(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

/// A handshake that counts until it is dropped.
pub(crate) struct HandshakePermit {
    admission: Arc<Admission>,
    from: IpAddr,
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        let mut counts = self.admission.counts.lock();
        counts.handshakes -= 1;
        give_back(&mut counts.by_address, self.from, |count| count);
    }
}

/// A connection that counts until it is dropped.
pub(crate) struct ConnectionPermit {
    admission: Arc<Admission>,
    peer: u64,
    /// Permits for streams without a first frame, shared with the peer's other connections.
    pub(crate) unopened: Arc<Semaphore>,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut counts = self.admission.counts.lock();
        counts.connections -= 1;
        give_back(&mut counts.by_peer, self.peer, |peer| &mut peer.connections);
    }
}

/// Counts one less for `key`; removes the entry with the last one.
fn give_back<K: Eq + Hash, V>(
    counts: &mut HashMap<K, V>,
    key: K,
    count: impl FnOnce(&mut V) -> &mut usize,
) {
    if let Some(value) = counts.get_mut(&key) {
        let count = count(value);
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests;
