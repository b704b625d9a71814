//! The events of one host name, as small as they come.
//!
//! Owns [`HostLog`]: the numbers of events, and their compact form, which is made an [`Event`] when somebody
//! asks for it. An event of a connection costs a lock that only its host takes, a clock and some 60 bytes: no
//! address is cloned, because counters that all threads share are slow. Never decides what is recorded.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

use crate::Addr;
use crate::trace::event::{End, Event, EventKind};
use crate::trace::live::outbox::Outbox;

/// The events of one host name, also if a host of that name is made again.
pub(crate) struct HostLog {
    network: Arc<str>,
    host: Arc<str>,
    last: AtomicU64,
    /// Held to add an event, or to read all.
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    events: Vec<Compact>,
    /// Events that wait to be sent.
    unsent: Vec<Compact>,
    /// How many more may wait before the outbox is asked for more space.
    unsent_space: usize,
    /// How many more may be added before the recorder is asked for more space.
    space: usize,
    names: Vec<Arc<str>>,
    places: HashMap<Arc<str>, u32>,
    /// How many connections there were between a port and a peer.
    connections: HashMap<(u16, Peer), u32, BuildHasherDefault<Mixer>>,
    /// The name that was looked for last.
    latest: u32,
}

/// A hash of ports and places, which are small numbers of our own: quicker than std's, which withstands keys
/// that somebody chose.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32((*byte).into()));
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u32(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        let mixed = self.0.rotate_left(23) ^ u64::from(number);
        self.0 = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

/// An address of another host.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    /// The place of its host's name in the log.
    pub(super) host: u32,
    pub(super) port: u16,
}

/// An [`End`].
#[derive(Clone, Copy)]
pub(crate) struct CompactEnd {
    pub(super) local: u16,
    pub(super) peer: Peer,
    pub(super) dialed: bool,
    pub(super) nth: u32,
}

/// An [`Event`] of this host: its number, the nanoseconds since recording began, and its kind.
#[derive(Clone)]
pub(super) struct Compact {
    pub(super) number: u64,
    pub(super) elapsed: u64,
    pub(super) kind: CompactKind,
}

/// An [`EventKind`]: those that each connection has, and all others as they are.
#[derive(Clone)]
pub(crate) enum CompactKind {
    Dialing {
        src: u16,
        dst: Peer,
        first: u32,
    },
    Connected {
        end: CompactEnd,
        dst: Peer,
    },
    Accepted {
        end: CompactEnd,
        listener: u16,
    },
    FirstByteSent(CompactEnd),
    FirstByteReceived(CompactEnd),
    EndSent(CompactEnd, u64),
    EndReceived(CompactEnd, u64),
    Closed {
        end: CompactEnd,
        sent: u64,
        received: u64,
    },
    Other(Box<EventKind>),
}

impl HostLog {
    pub(super) fn new(network: &Arc<str>, host: &Arc<str>) -> HostLog {
        HostLog {
            network: Arc::clone(network),
            host: Arc::clone(host),
            last: AtomicU64::new(0),
            log: Mutex::default(),
        }
    }

    /// The number of the next event. What happens later gets a larger one, on whichever thread.
    pub(crate) fn next(&self) -> u64 {
        self.last.fetch_add(1, Relaxed) + 1
    }

    /// The compact form of an address; `None` if it is of no use, as the log is full and gets no more space.
    pub(crate) fn peer(&self, addr: &Addr, is_full: impl FnOnce() -> bool) -> Option<Peer> {
        let mut log = self.log.lock();
        (log.space > 0 || !is_full()).then(|| log.peer(addr))
    }

    /// Counts a connection between one of the host's ports and a peer; `None` as for a [`peer`](HostLog::peer).
    pub(crate) fn connection(
        &self,
        local: u16,
        peer: &Addr,
        dialed: bool,
        is_full: impl FnOnce() -> bool,
    ) -> Option<CompactEnd> {
        let mut log = self.log.lock();
        if log.space == 0 && is_full() {
            return None;
        }
        let peer = log.peer(peer);
        let nth = log.connections.entry((local, peer)).or_default();
        *nth = nth.saturating_add(1);
        Some(CompactEnd {
            local,
            peer,
            dialed,
            nth: *nth,
        })
    }

    /// Keeps an event, if there is space: `more` is asked for it. Returns whether there was. With an outbox it
    /// also waits there to be sent.
    pub(super) fn add(
        &self,
        number: u64,
        elapsed: Duration,
        kind: CompactKind,
        outbox: Option<&Outbox>,
        more: impl FnOnce() -> usize,
    ) -> bool {
        let event = Compact {
            number,
            elapsed: u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX),
            kind,
        };
        let mut log = self.log.lock();
        if let Some(outbox) = outbox {
            if log.unsent_space == 0 {
                log.unsent_space = outbox.take_space();
            }
            match log.unsent_space {
                0 => outbox.drop_one(),
                _ => {
                    log.unsent_space -= 1;
                    log.unsent.push(event.clone());
                }
            }
        }
        if log.space == 0 {
            log.space = more();
        }
        if log.space == 0 {
            return false;
        }
        log.space -= 1;
        log.events.push(event);
        true
    }

    /// Takes the events that wait to be sent, and gives their space back.
    pub(super) fn take_unsent(&self, outbox: &Outbox) -> Vec<Compact> {
        let mut log = self.log.lock();
        let unsent = std::mem::take(&mut log.unsent);
        outbox.give_back(unsent.len() + std::mem::take(&mut log.unsent_space));
        unsent
    }

    /// The name of the host.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The name at a place.
    pub(super) fn name(&self, place: u32) -> Arc<str> {
        Arc::clone(&self.log.lock().names[place as usize])
    }

    /// A compact event as it is for others, if recording began at `wall`.
    pub(super) fn whole_of(&self, wall: Duration, compact: &Compact) -> Event {
        self.whole_in(&self.log.lock(), wall, compact)
    }

    /// The events that are kept, if the log was begun at `wall`.
    pub(super) fn events(&self, wall: Duration) -> Vec<Event> {
        let log = self.log.lock();
        let events = log.events.iter();
        events
            .map(|compact| self.whole_in(&log, wall, compact))
            .collect()
    }

    fn whole_in(&self, log: &Log, wall: Duration, compact: &Compact) -> Event {
        let elapsed = Duration::from_nanos(compact.elapsed);
        self.event(log, compact.number, (wall, elapsed), &compact.kind)
    }

    /// An event that is not kept here.
    pub(super) fn whole(&self, number: u64, at: (Duration, Duration), kind: &CompactKind) -> Event {
        self.event(&self.log.lock(), number, at, kind)
    }

    fn event(
        &self,
        log: &Log,
        number: u64,
        (wall, elapsed): (Duration, Duration),
        kind: &CompactKind,
    ) -> Event {
        Event {
            host: Arc::clone(&self.host),
            number,
            wall: wall + elapsed,
            elapsed,
            kind: self.kind(log, kind),
        }
    }

    fn kind(&self, log: &Log, kind: &CompactKind) -> EventKind {
        let end_of = |end: &CompactEnd| self.end_in(log, *end);
        match kind {
            CompactKind::Dialing { src, dst, first } => EventKind::Dialing {
                src: self.own(*src),
                dst: self.addr_in(log, *dst),
                first: u64::from(*first),
            },
            CompactKind::Connected { end, dst } => EventKind::Connected {
                end: end_of(end),
                dst: self.addr_in(log, *dst),
            },
            CompactKind::Accepted { end, listener } => EventKind::Accepted {
                end: end_of(end),
                listener: self.own(*listener),
            },
            CompactKind::FirstByteSent(end) => EventKind::FirstByteSent { end: end_of(end) },
            CompactKind::FirstByteReceived(end) => {
                EventKind::FirstByteReceived { end: end_of(end) }
            }
            CompactKind::EndSent(end, bytes) => EventKind::EndSent {
                end: end_of(end),
                bytes: *bytes,
            },
            CompactKind::EndReceived(end, bytes) => EventKind::EndReceived {
                end: end_of(end),
                bytes: *bytes,
            },
            CompactKind::Closed {
                end,
                sent,
                received,
            } => EventKind::Closed {
                end: end_of(end),
                sent: *sent,
                received: *received,
            },
            CompactKind::Other(kind) => (**kind).clone(),
        }
    }

    /// The address of one of the host's ports.
    pub(crate) fn own(&self, port: u16) -> Addr {
        Addr::unchecked(Arc::clone(&self.network), Arc::clone(&self.host), port)
    }

    pub(crate) fn addr(&self, peer: Peer) -> Addr {
        self.addr_in(&self.log.lock(), peer)
    }

    pub(crate) fn end(&self, end: CompactEnd) -> End {
        self.end_in(&self.log.lock(), end)
    }

    fn addr_in(&self, log: &Log, peer: Peer) -> Addr {
        let host = Arc::clone(&log.names[peer.host as usize]);
        Addr::unchecked(Arc::clone(&self.network), host, peer.port)
    }

    fn end_in(&self, log: &Log, end: CompactEnd) -> End {
        End {
            local: self.own(end.local),
            peer: self.addr_in(log, end.peer),
            dialed: end.dialed,
            nth: u64::from(end.nth),
        }
    }
}

impl Log {
    fn peer(&mut self, addr: &Addr) -> Peer {
        let port = addr.port();
        let latest = self.names.get(self.latest as usize);
        if latest.is_some_and(|name| **name == *addr.host()) {
            let host = self.latest;
            return Peer { host, port };
        }
        if let Some(host) = self.places.get(addr.host()) {
            self.latest = *host;
            return Peer { host: *host, port };
        }
        let host = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let name = addr.host_arc();
        self.names.push(Arc::clone(&name));
        self.places.insert(name, host);
        Peer { host, port }
    }
}
