//! The name of the host behind an address, as long as a QUIC connection to it lives.
//!
//! Owns the guard. Never decides which of several names is right: [`super::peers`] does.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::Connection;
use tokio::time::Instant;

use crate::udp::faults::host::{HostFaults, State};
use crate::udp::faults::recovery::Recovery;

/// The name of the host behind an address, as long as a QUIC connection to it lives.
pub(crate) struct PeerName {
    /// `None` where there were too many addresses.
    faults: Option<Arc<HostFaults>>,
    addr: SocketAddr,
    host: Arc<str>,
    recovery: Recovery,
}

impl PeerName {
    /// The peer has proved on `connection` that it is this host.
    pub(crate) fn prove(&self, connection: &Connection) {
        self.recovery.of(connection);
        if let Some(faults) = &self.faults {
            let mut state = faults.state.lock();
            if let Some(peer) = state.peers.get_mut(self.addr) {
                peer.prove(&self.host);
            }
            faults.relink(&mut state, self.addr);
        }
    }
}

impl Drop for PeerName {
    fn drop(&mut self) {
        // Before the lock is taken.
        drop(self.recovery.release());
        if let Some(faults) = &self.faults {
            let mut state = faults.state.lock();
            let now = Instant::now();
            state
                .peers
                .unname(self.addr, &self.host, &self.recovery, now);
            state.forget_dropped(self.addr);
            faults.relink(&mut state, self.addr);
        }
    }
}

impl HostFaults {
    /// From now on, `addr` is thought to be the address of `host`, until the name is dropped.
    pub(crate) fn name(
        self: &Arc<Self>,
        addr: SocketAddr,
        host: &str,
        recovery: &Recovery,
    ) -> PeerName {
        let host: Arc<str> = host.into();
        let (mut state, now) = (self.state.lock(), Instant::now());
        state.remove_unused(now);
        let counted = state.peers.name(addr, &host, recovery);
        self.relink(&mut state, addr);
        PeerName {
            faults: counted.then(|| Arc::clone(self)),
            addr,
            host,
            recovery: recovery.clone(),
        }
    }

    fn relink(&self, state: &mut State, addr: SocketAddr) {
        let State { table, peers, .. } = state;
        if let Some(peer) = peers.get_mut(addr) {
            peer.relink(&self.own, table);
        }
    }
}

impl State {
    /// Without a connection, nobody needs what cuts have dropped: a dial that has timed out must not reach the peer.
    fn forget_dropped(&mut self, addr: SocketAddr) {
        let State { peers, saved, .. } = self;
        if let Some(peer) = peers.get_mut(addr).filter(|peer| peer.is_unused()) {
            peer.unsent.take(saved);
            peer.unread.take(saved);
        }
    }

    fn remove_unused(&mut self, now: Instant) {
        while let Some(mut peer) = self.peers.remove_unused(now) {
            peer.unsent.take(&mut self.saved);
            peer.unread.take(&mut self.saved);
        }
    }
}
