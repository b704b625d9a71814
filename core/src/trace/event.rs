//! What happens on a network, as events.
//!
//! Owns [`Event`] and its one line of text. Never records: the recorder does; and never orders events of
//! several hosts: a [`Trace`](crate::trace::Trace) does.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use crate::{Addr, Cause};

/// Something that happened at one host.
///
/// Its text is one line, without numbers and times, so that it is the same on every run:
///
/// | text | kind |
/// |---|---|
/// | `α made`, `α closed`, `α crashed`, `α lost its name` | [`HostMade`](EventKind::HostMade), … |
/// | `α:1 listening`, `α:1 stopped listening` | [`Listening`](EventKind::Listening), … |
/// | `β:1 -> α:1 dialing`, `β:1 -> α:1 dialing with 5 bytes` | [`Dialing`](EventKind::Dialing) |
/// | `β:1 -> α:2 connected` | [`Connected`](EventKind::Connected) |
/// | `β:1 -> α:1 failed: connection refused` | [`DialFailed`](EventKind::DialFailed) |
/// | `β:1 -> α:1 given up` | [`DialGivenUp`](EventKind::DialGivenUp) |
/// | `α:2 <- β:1 accepted` | [`Accepted`](EventKind::Accepted) |
/// | `β:1 -> α:2 sent first byte`, `α:2 <- β:1 received first byte` | [`FirstByteSent`](EventKind::FirstByteSent), … |
/// | `β:1 -> α:2 sent 5 bytes from 0`, `α:2 <- β:1 received 5 bytes from 0` | [`Data`](EventKind::Data) |
/// | `β:1 -> α:2 sent end after 12 bytes` | [`EndSent`](EventKind::EndSent) |
/// | `α:2 <- β:1 received end after 12 bytes` | [`EndReceived`](EventKind::EndReceived) |
/// | `α:2 <- β:1 read failed after 12 bytes: connection cut` | [`ReadFailed`](EventKind::ReadFailed) |
/// | `β:1 -> α:2 write failed after 12 bytes: broken pipe` | [`WriteFailed`](EventKind::WriteFailed) |
/// | `β:1 -> α:2 closed after 12 bytes sent, 7 received` | [`Closed`](EventKind::Closed) |
/// | `α faults 3: 2 rules` | [`FaultsInForce`](EventKind::FaultsInForce) |
/// | `α fault "cut α -> β" matched 1, hit 1` | [`FaultCounted`](EventKind::FaultCounted) |
/// | `α note: elected` | [`Note`](EventKind::Note) |
///
/// The arrow points from the dialing end to the accepting end, and the own address comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The name of the host.
    pub host: Arc<str>,
    /// The number of the event at its host, from 1: a larger one was later. Not all numbers
    /// are used.
    pub number: u64,
    /// Time since 1970 (UTC), for people: nothing is ordered by it. By the machine's clock as it was when the
    /// subnetwork began to record.
    pub wall: Duration,
    /// Time since the subnetwork began to record, by a clock that is never set.
    pub elapsed: Duration,
    /// What happened.
    pub kind: EventKind,
}

/// One end of a connection.
///
/// Addresses are used again once a connection is closed: `nth` tells one from the next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct End {
    /// The address of this end, on the event's host.
    pub local: Addr,
    /// The address of the other end.
    pub peer: Addr,
    /// This end dialed.
    pub dialed: bool,
    /// Which of the connections between these two addresses, as counted by this end, from 1.
    pub nth: u64,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// The host exists, and is announced.
    HostMade,
    /// The host was closed, by itself or with its subnetwork.
    HostClosed,
    /// The host went down without a word to its peers, as if its process had been killed.
    HostCrashed,
    /// Another process holds the name now.
    HostLost,
    /// A listener is open.
    Listening {
        /// Its address.
        addr: Addr,
    },
    /// A listener was closed or dropped.
    ListenerClosed {
        /// Its address.
        addr: Addr,
    },
    /// A dial has taken its port.
    Dialing {
        /// The port's address.
        src: Addr,
        /// The address that is dialed.
        dst: Addr,
        /// The number of bytes that the dial takes along
        /// ([`Host::dial_with`](crate::Host::dial_with)). They are no first byte of their own.
        first: u64,
    },
    /// The dial is done, and there is a connection.
    Connected {
        /// The dialing end.
        end: End,
        /// The address that was dialed.
        dst: Addr,
    },
    /// The dial failed.
    DialFailed {
        /// The address of the port that the dial had.
        src: Addr,
        /// The address that was dialed.
        dst: Addr,
        /// Why.
        cause: Cause,
    },
    /// The dial's future was dropped.
    DialGivenUp {
        /// The address of the port that the dial had.
        src: Addr,
        /// The address that was dialed.
        dst: Addr,
    },
    /// An accept has taken a dial, and the reply is on its way. If the accept was dropped just then, nobody
    /// gets the connection: it is closed at once.
    Accepted {
        /// The accepting end.
        end: End,
        /// The listener's address.
        listener: Addr,
    },
    /// The first byte was handed to the engine.
    FirstByteSent {
        /// The end that wrote.
        end: End,
    },
    /// The first byte was read.
    FirstByteReceived {
        /// The end that read.
        end: End,
    },
    /// Bytes of one write or read, recorded only if payload was asked for
    /// ([`Recording::payload`](crate::trace::Recording::payload)).
    ///
    /// The number of a write's event is taken before its bytes are handed to the engine: what the
    /// bytes lead to at other hosts comes after it.
    Data {
        /// The end that wrote or read.
        end: End,
        /// They were written; otherwise read.
        sent: bool,
        /// The bytes of this direction before them.
        offset: u64,
        /// How many were written or read.
        len: u64,
        /// The first of them: as many as are recorded, `len` at most.
        bytes: Arc<[u8]>,
    },
    /// The writing direction is being shut down: recorded before the peer can know.
    EndSent {
        /// The end that wrote.
        end: End,
        /// The bytes before.
        bytes: u64,
    },
    /// A read returned end-of-file.
    EndReceived {
        /// The end that read.
        end: End,
        /// The bytes before.
        bytes: u64,
    },
    /// A read failed.
    ReadFailed {
        /// The end that read.
        end: End,
        /// The bytes before.
        bytes: u64,
        /// Why.
        cause: Cause,
    },
    /// A write or a shutdown failed.
    WriteFailed {
        /// The end that wrote.
        end: End,
        /// The bytes before.
        bytes: u64,
        /// Why.
        cause: Cause,
    },
    /// This end was closed, dropped, or taken down with its host.
    Closed {
        /// This end.
        end: End,
        /// The bytes that were written.
        sent: u64,
        /// The bytes that were read.
        received: u64,
    },
    /// Another version of the network's plan of faults is in force at this host.
    FaultsInForce {
        /// The version.
        version: u64,
        /// The rules, a line each; without any, everything is healed.
        rules: Vec<Arc<str>>,
    },
    /// What a rule that is about this host has done on its subnetwork: recorded when the rule goes out of force,
    /// and when the host ends.
    FaultCounted {
        /// The rule's line.
        rule: Arc<str>,
        /// How often it was looked at and concerned what happened.
        matched: u64,
        /// How often it changed what happened.
        hit: u64,
    },
    /// A line that the program recorded.
    Note {
        /// The text.
        text: Arc<str>,
    },
}

impl EventKind {
    /// The end of a connection that it is about; `None` for hosts, listeners, dials without a
    /// connection, faults and notes.
    pub fn end(&self) -> Option<&End> {
        match self {
            EventKind::Connected { end, .. }
            | EventKind::Accepted { end, .. }
            | EventKind::FirstByteSent { end }
            | EventKind::FirstByteReceived { end }
            | EventKind::Data { end, .. }
            | EventKind::EndSent { end, .. }
            | EventKind::EndReceived { end, .. }
            | EventKind::ReadFailed { end, .. }
            | EventKind::WriteFailed { end, .. }
            | EventKind::Closed { end, .. } => Some(end),
            _ => None,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrow = if self.dialed { "->" } else { "<-" };
        write!(f, "{} {arrow} {}", self.local, self.peer)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        match &self.kind {
            EventKind::HostMade => write!(f, "{host} made"),
            EventKind::HostClosed => write!(f, "{host} closed"),
            EventKind::HostCrashed => write!(f, "{host} crashed"),
            EventKind::HostLost => write!(f, "{host} lost its name"),
            EventKind::Listening { addr } => write!(f, "{addr} listening"),
            EventKind::ListenerClosed { addr } => write!(f, "{addr} stopped listening"),
            EventKind::Dialing { src, dst, first: 0 } => write!(f, "{src} -> {dst} dialing"),
            EventKind::Dialing { src, dst, first } => {
                write!(f, "{src} -> {dst} dialing with {first} bytes")
            }
            EventKind::Connected { end, .. } => write!(f, "{end} connected"),
            EventKind::DialFailed { src, dst, cause } => {
                write!(f, "{src} -> {dst} failed: {cause}")
            }
            EventKind::DialGivenUp { src, dst } => write!(f, "{src} -> {dst} given up"),
            EventKind::Accepted { end, .. } => write!(f, "{end} accepted"),
            EventKind::FirstByteSent { end } => write!(f, "{end} sent first byte"),
            EventKind::FirstByteReceived { end } => write!(f, "{end} received first byte"),
            EventKind::Data {
                end,
                sent,
                offset,
                len,
                ..
            } => {
                let verb = if *sent { "sent" } else { "received" };
                write!(f, "{end} {verb} {len} bytes from {offset}")
            }
            EventKind::EndSent { end, bytes } => write!(f, "{end} sent end after {bytes} bytes"),
            EventKind::EndReceived { end, bytes } => {
                write!(f, "{end} received end after {bytes} bytes")
            }
            EventKind::ReadFailed { end, bytes, cause } => {
                write!(f, "{end} read failed after {bytes} bytes: {cause}")
            }
            EventKind::WriteFailed { end, bytes, cause } => {
                write!(f, "{end} write failed after {bytes} bytes: {cause}")
            }
            EventKind::Closed {
                end,
                sent,
                received,
            } => write!(
                f,
                "{end} closed after {sent} bytes sent, {received} received"
            ),
            EventKind::FaultsInForce { version, rules } => {
                write!(f, "{host} faults {version}: {} rules", rules.len())
            }
            EventKind::FaultCounted { rule, matched, hit } => {
                write!(f, "{host} fault {rule:?} matched {matched}, hit {hit}")
            }
            EventKind::Note { text } => {
                // One line, whatever it has.
                write!(f, "{host} note: ")?;
                text.chars().try_for_each(|c| match c.is_control() {
                    true => write!(f, "{}", c.escape_default()),
                    false => f.write_char(c),
                })
            }
        }
    }
}
