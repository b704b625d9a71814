//! The model of core's contract as plain data: subnetworks, hosts, ports, and closing.
//!
//! Owns the expected state of a run, written independently of core's code. Never uses
//! core, except its causes, and never waits.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use virtnet_core::Cause;

use super::model_accept::Accept;
use super::model_conn::{Dir, End};
use super::model_line::{Dial, Token};
use super::world::Id;

/// A host's name, by index, and a port.
pub(crate) type Place = (usize, u16);

/// The result of polling an operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Outcome {
    Pending,
    Done,
    Bytes(usize),
    /// An end of a connection.
    End(usize),
    Fails(Cause),
}

pub(crate) struct Subnet {
    /// Handles and operations in the driver's hands, and hosts that live.
    refs: usize,
    pub(crate) down: bool,
    pub(crate) auto_close: bool,
    pub(crate) names: BTreeMap<usize, Named>,
    pub(crate) doubt: BTreeSet<usize>,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Named {
    Making(Id),
    Is(usize),
}

/// A host that is being made.
pub(crate) struct Making {
    subnet: usize,
    name: usize,
    lost: bool,
    verdict: Option<Result<(), Cause>>,
}

pub(crate) struct Host {
    pub(crate) subnet: usize,
    pub(crate) name: usize,
    /// Handles, operations, listeners and connections.
    refs: usize,
    pub(crate) down: Option<Cause>,
    pub(crate) ports: BTreeMap<u16, Holder>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Holder {
    Listener(usize),
    Dialing,
    Accepting(Place),
    Connected(Place),
}

pub(crate) struct Listener {
    pub(crate) host: usize,
    pub(crate) port: u16,
    /// The handle, and accepts.
    refs: usize,
    pub(crate) down: Option<Cause>,
    pub(crate) offers: VecDeque<Id>,
    pub(crate) accepts: VecDeque<Id>,
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) backlog: usize,
    pub(crate) subnets: Vec<Subnet>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) makings: BTreeMap<Id, Making>,
    pub(crate) dials: BTreeMap<Id, Dial>,
    pub(crate) accepts: BTreeMap<Id, Accept>,
    pub(crate) tokens: BTreeMap<Id, Token>,
    pub(crate) ends: Vec<End>,
    pub(crate) dirs: Vec<Dir>,
    /// The two directions of a dial's connection: from the dialer, and back.
    pub(crate) made: BTreeMap<Id, [usize; 2]>,
    /// Which subnetwork announced a name.
    pub(crate) registry: BTreeMap<usize, usize>,
}

impl Model {
    pub(crate) fn new_subnet(&mut self) -> usize {
        self.subnets.push(Subnet {
            refs: 1,
            down: false,
            auto_close: false,
            names: BTreeMap::new(),
            doubt: BTreeSet::new(),
        });
        self.subnets.len() - 1
    }

    pub(crate) fn ref_subnet(&mut self, s: usize) {
        self.subnets[s].refs += 1;
    }

    pub(crate) fn unref_subnet(&mut self, s: usize) {
        self.subnets[s].refs -= 1;
        if self.subnets[s].refs == 0 {
            self.down_subnet(s);
        }
    }

    pub(crate) fn ref_host(&mut self, h: usize) {
        self.hosts[h].refs += 1;
    }

    /// A host without handles is closed, as is a subnetwork without any.
    pub(crate) fn unref_host(&mut self, h: usize) {
        self.hosts[h].refs -= 1;
        if self.hosts[h].refs == 0 {
            self.down_host(h, Cause::HostDown);
            self.unref_subnet(self.hosts[h].subnet);
        }
    }

    pub(crate) fn ref_listener(&mut self, l: usize) {
        self.listeners[l].refs += 1;
    }

    pub(crate) fn unref_listener(&mut self, l: usize) {
        self.listeners[l].refs -= 1;
        if self.listeners[l].refs == 0 {
            self.down_listener(l, Cause::SocketDown);
            self.unref_host(self.listeners[l].host);
        }
    }

    pub(crate) fn down_subnet(&mut self, s: usize) {
        if std::mem::replace(&mut self.subnets[s].down, true) {
            return;
        }
        for h in 0..self.hosts.len() {
            if self.hosts[h].subnet == s {
                self.down_host(h, Cause::NetworkDown);
            }
        }
    }

    pub(crate) fn down_host(&mut self, h: usize, cause: Cause) {
        if self.hosts[h].down.is_some() {
            return;
        }
        self.hosts[h].down = Some(cause);
        for l in 0..self.listeners.len() {
            if self.listeners[l].host == h {
                self.down_listener(l, cause);
            }
        }
        for e in 0..self.ends.len() {
            if self.ends[e].host == h {
                self.down_end(e, cause);
            }
        }
        let s = self.hosts[h].subnet;
        if self.subnets[s].auto_close && self.open_hosts(s) == 0 {
            self.down_subnet(s);
        }
    }

    pub(crate) fn down_listener(&mut self, l: usize, cause: Cause) {
        let listener = &mut self.listeners[l];
        if listener.down.is_none() {
            listener.down = Some(cause);
            self.hosts[listener.host].ports.remove(&listener.port);
        }
    }

    pub(crate) fn open_hosts(&self, s: usize) -> usize {
        let open = |host: &&Host| host.subnet == s && host.down.is_none();
        self.hosts.iter().filter(open).count()
    }

    /// A lost name takes its host down, also one that is being made.
    pub(crate) fn lose(&mut self, s: usize, name: usize) {
        match self.subnets[s].names.get(&name) {
            Some(&Named::Is(h)) => self.down_host(h, Cause::HostDown),
            Some(Named::Making(id)) => self.makings.get_mut(id).unwrap().lost = true,
            None => {}
        }
    }

    pub(crate) fn lowest(&self, h: usize) -> u16 {
        let taken = &self.hosts[h].ports;
        (1..).find(|port| !taken.contains_key(port)).unwrap()
    }

    pub(crate) fn place(&self, h: usize, port: u16) -> Place {
        (self.hosts[h].name, port)
    }

    /// Port 0 is the lowest free one.
    pub(crate) fn listen(&mut self, h: usize, at: Place) -> Result<usize, Cause> {
        let host = &self.hosts[h];
        if let Some(cause) = host.down {
            return Err(cause);
        } else if at.0 != host.name {
            return Err(Cause::AddrNotLocal);
        } else if host.ports.contains_key(&at.1) {
            return Err(Cause::AddrInUse);
        }
        let port = if at.1 == 0 { self.lowest(h) } else { at.1 };
        let l = self.listeners.len();
        self.listeners.push(Listener {
            host: h,
            port,
            refs: 1,
            down: None,
            offers: VecDeque::new(),
            accepts: VecDeque::new(),
        });
        self.hosts[h].ports.insert(port, Holder::Listener(l));
        self.ref_host(h);
        Ok(l)
    }

    pub(crate) fn start_making(&mut self, id: Id, subnet: usize, name: usize) {
        let home = &mut self.subnets[subnet];
        let verdict = match home.names.entry(name) {
            _ if home.down => Some(Err(Cause::NetworkDown)),
            Entry::Occupied(_) => Some(Err(Cause::HostAlreadyRegistered)),
            Entry::Vacant(vacant) => {
                vacant.insert(Named::Making(id));
                None
            }
        };
        let making = Making {
            subnet,
            name,
            lost: false,
            verdict,
        };
        self.makings.insert(id, making);
    }

    /// The expected result of an announcement, compared with the registry's answer.
    pub(crate) fn announce(&mut self, id: Id, fault: bool) -> Option<Cause> {
        let making = self.makings.get_mut(&id).unwrap();
        let cause = match self.registry.entry(making.name) {
            _ if fault => Some(Cause::RegistryDown),
            Entry::Occupied(_) => Some(Cause::HostAlreadyRegistered),
            Entry::Vacant(vacant) => {
                vacant.insert(making.subnet);
                None
            }
        };
        making.verdict = cause.map(Err);
        cause
    }

    /// The engine's call has ended.
    pub(crate) fn made(&mut self, id: Id, verdict: Result<(), Cause>) {
        let making = self.makings.get_mut(&id).unwrap();
        making.verdict = Some(verdict.and(match making.lost {
            true => Err(Cause::HostDown),
            false => Ok(()),
        }));
    }

    /// The expected result of a poll, after the engine's turn.
    pub(crate) fn poll_making(&mut self, id: Id) -> Outcome {
        let making = &self.makings[&id];
        let verdict = match self.subnets[making.subnet].down {
            true => Some(Err(Cause::NetworkDown)),
            false => making.verdict,
        };
        match verdict {
            None => Outcome::Pending,
            Some(Err(cause)) => Outcome::Fails(cause),
            Some(Ok(())) => Outcome::Done,
        }
    }

    pub(crate) fn is_making_done(&self, id: Id) -> bool {
        let making = &self.makings[&id];
        making.verdict.is_some() || self.subnets[making.subnet].down
    }

    /// It is over: returned, or dropped. A host that was made has a handle.
    pub(crate) fn end_making(&mut self, id: Id, made: bool) -> Option<usize> {
        let making = self.makings.remove(&id).unwrap();
        let Making { subnet, name, .. } = making;
        if !made {
            let names = &mut self.subnets[subnet].names;
            if names.get(&name) == Some(&Named::Making(id)) {
                names.remove(&name);
            }
            return None;
        }
        let h = self.hosts.len();
        self.hosts.push(Host {
            subnet,
            name,
            refs: 1,
            down: None,
            ports: BTreeMap::new(),
        });
        self.subnets[subnet].names.insert(name, Named::Is(h));
        self.ref_subnet(subnet);
        Some(h)
    }
}
