//! The events of connections in a batch of the live trace: a short line each.
//!
//! Owns the form of these lines, both ways. Never knows the other lines of a batch, and never sends.
//!
//! Events are grouped by their hosts. A group begins with a line of JSON that names its host, and those that its lines are
//! about. A line is a letter and numbers, with a blank between two: the number of the event, its nanoseconds since recording began, and
//! what its kind has. Numbers have the base 64, the lowest digit first. That costs a
//! fraction of the bytes and of the time of JSON: recording live must not slow down what is recorded.

#[cfg(feature = "trace-files")]
mod read;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::trace::host_log::{Compact, CompactEnd, CompactKind, HostLog, Peer};
use crate::trace::write::{event_line, group_line};

#[cfg(feature = "trace-files")]
pub(super) use read::Group;

/// The digits.
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

/// Events of one host that wait to be sent.
pub(crate) struct Unsent {
    pub(in crate::trace) log: Arc<HostLog>,
    pub(in crate::trace) events: VecDeque<Compact>,
}

/// What came of writing events.
pub(super) struct Written {
    /// How many there are.
    pub(super) events: u64,
    /// How many no batch has space for.
    pub(super) too_large: u64,
}

impl Unsent {
    /// Writes events as the lines of a group, until there is no more or `batch` would have more than `most` bytes. What is written
    /// is taken. `wall` is when recording began.
    pub(super) fn write(&mut self, wall: Duration, batch: &mut Vec<u8>, most: usize) -> Written {
        let mut group = Lines::new(&self.log);
        let mut written = Written {
            events: 0,
            too_large: 0,
        };
        while let Some(event) = self.events.front() {
            let len = group.lines.len();
            group.write(event, wall);
            if batch.len() + group.head + group.lines.len() > most {
                group.lines.truncate(len);
                if !batch.is_empty() || written.events > 0 {
                    break;
                }
                written.too_large += 1;
            } else {
                written.events += 1;
            }
            self.events.pop_front();
        }
        if written.events > 0 {
            let mut head = String::new();
            group_line(self.log.host(), &group.names, &mut head);
            batch.extend_from_slice(head.as_bytes());
            batch.append(&mut group.lines);
        }
        written
    }
}

/// The lines of one host, and the names in them.
struct Lines<'a> {
    log: &'a HostLog,
    names: Vec<Arc<str>>,
    places: HashMap<u32, u64>,
    /// About how many bytes the line has that begins the group.
    head: usize,
    lines: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn new(log: &'a HostLog) -> Lines<'a> {
        Lines {
            log,
            names: Vec::new(),
            places: HashMap::new(),
            head: bytes_of(log.host()),
            lines: Vec::new(),
        }
    }

    fn write(&mut self, event: &Compact, wall: Duration) {
        match &event.kind {
            CompactKind::Dialing { src, dst, first } => {
                self.begin(b'D', event);
                self.number(u64::from(*src));
                self.peer(*dst);
                self.number(u64::from(*first));
            }
            CompactKind::Connected { end, dst } => {
                self.begin(b'C', event);
                self.end(end);
                self.peer(*dst);
            }
            CompactKind::Accepted { end, listener } => {
                self.begin(b'A', event);
                self.end(end);
                self.number(u64::from(*listener));
            }
            CompactKind::FirstByteSent(end) => {
                self.begin(b'F', event);
                self.end(end);
            }
            CompactKind::FirstByteReceived(end) => {
                self.begin(b'R', event);
                self.end(end);
            }
            CompactKind::EndSent(end, bytes) => {
                self.begin(b'E', event);
                self.end(end);
                self.number(*bytes);
            }
            CompactKind::EndReceived(end, bytes) => {
                self.begin(b'Z', event);
                self.end(end);
                self.number(*bytes);
            }
            CompactKind::Closed {
                end,
                sent,
                received,
            } => {
                self.begin(b'X', event);
                self.end(end);
                self.number(*sent);
                self.number(*received);
            }
            CompactKind::Other(_) => {
                let mut line = String::new();
                event_line(&self.log.whole_of(wall, event), &mut line);
                self.lines.extend_from_slice(line.as_bytes());
                return;
            }
        }
        self.lines.push(b'\n');
    }

    fn begin(&mut self, letter: u8, event: &Compact) {
        self.lines.push(letter);
        self.number(event.number);
        self.number(event.elapsed);
    }

    fn end(&mut self, end: &CompactEnd) {
        self.number(u64::from(end.local));
        self.peer(end.peer);
        self.number(u64::from(end.nth) * 2 + u64::from(end.dialed));
    }

    fn peer(&mut self, peer: Peer) {
        let place = match self.places.get(&peer.host) {
            Some(place) => *place,
            None => {
                let (name, place) = (self.log.name(peer.host), self.names.len() as u64);
                self.head += bytes_of(&name);
                self.names.push(name);
                self.places.insert(peer.host, place);
                place
            }
        };
        self.number(place);
        self.number(u64::from(peer.port));
    }

    /// A blank, and a number.
    fn number(&mut self, mut number: u64) {
        self.lines.push(b' ');
        loop {
            self.lines.push(DIGITS[(number % 64) as usize]);
            number /= 64;
            if number == 0 {
                return;
            }
        }
    }
}

/// At least so many bytes has a name as JSON, with what is around it.
fn bytes_of(name: &str) -> usize {
    // A control character is six; none is in a name.
    32 + 2 * name.len()
}

#[cfg(test)]
mod tests;
