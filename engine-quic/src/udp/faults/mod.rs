//! Faults between named hosts, in the UDP sockets of an engine's hosts.
//!
//! Owns the engine's table of rules, and gives it to each host. Never decides about a datagram: the
//! table does.
//!
//! A host's socket is a [`socket::FaultySocket`]. It asks which host is behind an address
//! ([`peers`]), and the table what becomes of each datagram; a delayed one waits in [`queue`]. When a cut ends,
//! [`cuts`] sends what it dropped last ([`saved`]), and [`recovery`] lets the acknowledgement through.
//!
//! *Not covered:* an acceptor learns the dialer's name from the first frame, so the datagrams that it sends
//! before that (its part of the QUIC handshake) are not lost, delayed or counted by rules. A cut holds for them,
//! too: the dialer drops them, as it knows whom it dials. Addresses do not change while a connection
//! lives: QUIC's migration is off ([`crate::config::transport`]).

pub(crate) mod cuts;
pub(crate) mod host;
pub(crate) mod name;
pub(crate) mod peers;
pub(crate) mod queue;
pub(crate) mod recovery;
pub(crate) mod saved;
pub(crate) mod socket;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use virtnet_core::faults::FaultTable;

use crate::Counters;
use crate::udp::faults::host::HostFaults;

/// The table of an engine, and the hosts that enforce it.
#[derive(Default)]
pub(crate) struct EngineFaults(Mutex<Enforcing>);

#[derive(Default)]
struct Enforcing {
    table: Arc<FaultTable>,
    hosts: Vec<Weak<HostFaults>>,
}

impl EngineFaults {
    /// Each host enforces `table` when it returns, and those that start later.
    pub(crate) fn enforce(&self, table: &Arc<FaultTable>) {
        let mut enforcing = self.0.lock();
        enforcing.table = Arc::clone(table);
        enforcing.hosts.retain(|host| match host.upgrade() {
            Some(host) => {
                host.enforce(table);
                true
            }
            None => false,
        });
    }

    /// The faults of one more host.
    pub(crate) fn host(&self, hostname: &Arc<str>, counters: &Counters) -> Arc<HostFaults> {
        let mut enforcing = self.0.lock();
        let table = Arc::clone(&enforcing.table);
        let host = Arc::new(HostFaults::new(hostname, table, counters));
        let hosts = &mut enforcing.hosts;
        if hosts.len() == hosts.capacity() {
            hosts.retain(|host| host.strong_count() > 0);
        }
        hosts.push(Arc::downgrade(&host));
        host
    }
}
