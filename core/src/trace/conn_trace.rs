//! What a connection's end tells its subnetwork's recorder.
//!
//! Owns [`AcceptTrace`] and [`ConnTrace`]: which events an end has, each once, and which number is taken
//! before something happens. Never touches a stream.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use crate::Cause;
use crate::trace::event::EventKind;
use crate::trace::host_log::{CompactEnd, CompactKind};
use crate::trace::host_trace::HostTrace;

/// A dial that an accept has taken, until the reply is on its way. Dropped, nothing is recorded.
pub(crate) struct AcceptTrace {
    host: Arc<HostTrace>,
    end: CompactEnd,
    /// Taken before the dialer could know: of the accept, and of the close if nobody gets the connection.
    numbers: [u64; 2],
    listener: u16,
}

impl AcceptTrace {
    pub(super) fn new(
        host: Arc<HostTrace>,
        end: CompactEnd,
        numbers: [u64; 2],
        listener: u16,
    ) -> AcceptTrace {
        AcceptTrace {
            host,
            end,
            numbers,
            listener,
        }
    }

    /// The reply is on its way: there is a connection, also if nobody gets it.
    pub(crate) fn accepted(self) -> ConnTrace {
        let AcceptTrace {
            host,
            end,
            numbers: [accepted, closed],
            listener,
        } = self;
        host.record_compact_as(Some(accepted), || CompactKind::Accepted { end, listener });
        ConnTrace::new(host, end, 0, Some(closed))
    }
}

/// One end of a connection. If it is dropped before it is closed, nobody got the connection.
pub(crate) struct ConnTrace {
    host: Arc<HostTrace>,
    end: CompactEnd,
    /// Bytes that were sent before there was a connection, with the dial.
    sent_first: u64,
    /// The number of the close if there never was a connection: another one may have the port by then.
    unopened: Option<u64>,
    /// What was recorded: a bit for each event.
    done: AtomicU8,
}

/// The events that an end has at most once.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Once {
    FirstByteSent = 1,
    FirstByteReceived = 2,
    EndSent = 4,
    ReadOver = 8,
    WriteFailed = 16,
    Closed = 32,
}

/// Which direction failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// The numbers of a write, reserved before it: of the first byte, if none has left; and of its
/// data, if that is recorded.
#[derive(Clone, Copy, Default)]
pub(crate) struct WriteNumbers {
    first: Option<u64>,
    data: Option<u64>,
}

/// What a write was given.
pub(crate) enum Written<'a> {
    One(&'a [u8]),
    Several(&'a [IoSlice<'a>]),
}

impl Written<'_> {
    /// The first bytes of it.
    fn first(&self, count: usize) -> Arc<[u8]> {
        match self {
            Written::One(bytes) => bytes[..count].into(),
            Written::Several(slices) => {
                let bytes = slices.iter().flat_map(|slice| slice.iter().copied());
                bytes.take(count).collect()
            }
        }
    }
}

impl ConnTrace {
    pub(super) fn new(
        host: Arc<HostTrace>,
        end: CompactEnd,
        sent_first: u64,
        unopened: Option<u64>,
    ) -> ConnTrace {
        let done = match sent_first {
            0 => 0,
            // It left with the dial.
            _ => Once::FirstByteSent as u8,
        };
        ConnTrace {
            host,
            end,
            sent_first,
            unopened,
            done: AtomicU8::new(done),
        }
    }

    fn is_done(&self, what: Once) -> bool {
        self.done.load(Relaxed) & what as u8 != 0
    }

    /// Whether this is the first time.
    fn once(&self, what: Once) -> bool {
        self.done.fetch_or(what as u8, Relaxed) & what as u8 == 0
    }

    /// Bytes are about to be written: the numbers of what is recorded of it.
    #[inline]
    pub(crate) fn before_write(&self) -> WriteNumbers {
        WriteNumbers {
            first: match self.is_done(Once::FirstByteSent) {
                true => None,
                false => self.host.reserve(),
            },
            data: match self.host.payload() {
                0 => None,
                _ => self.host.reserve(),
            },
        }
    }

    /// Of `bytes`, `count` were written, after which `sent` have been in all.
    #[inline]
    pub(crate) fn written(&self, bytes: &Written<'_>, count: usize, sent: u64, at: WriteNumbers) {
        if count > 0 && at.first.is_some() && self.once(Once::FirstByteSent) {
            let sent = || CompactKind::FirstByteSent(self.end);
            self.host.record_compact_as(at.first, sent);
        }
        if count > 0 && at.data.is_some() {
            self.host.record_as(at.data, || EventKind::Data {
                end: self.host.log().end(self.end),
                sent: true,
                offset: self.sent_first + sent - count as u64,
                len: count as u64,
                bytes: bytes.first(count.min(self.host.payload())),
            });
        }
    }

    /// The writing direction is about to end, after `bytes`.
    pub(crate) fn before_end(&self, bytes: u64) {
        let over = self.is_done(Once::Closed) || self.is_done(Once::WriteFailed);
        if !over && self.once(Once::EndSent) {
            let bytes = self.sent_first + bytes;
            self.host
                .record_compact(|| CompactKind::EndSent(self.end, bytes));
        }
    }

    /// A read into a buffer with space returned `bytes`, after which `received` have been read in all.
    #[inline]
    pub(crate) fn read(&self, bytes: &[u8], received: u64) {
        if bytes.is_empty() {
            return self.read_end(received);
        }
        if !self.is_done(Once::FirstByteReceived) {
            self.read_first();
        }
        let most = self.host.payload();
        if most > 0 {
            self.host.record(|| EventKind::Data {
                end: self.host.log().end(self.end),
                sent: false,
                offset: received - bytes.len() as u64,
                len: bytes.len() as u64,
                bytes: bytes[..most.min(bytes.len())].into(),
            });
        }
    }

    fn read_first(&self) {
        if self.once(Once::FirstByteReceived) {
            self.host
                .record_compact(|| CompactKind::FirstByteReceived(self.end));
        }
    }

    fn read_end(&self, bytes: u64) {
        if !self.is_done(Once::Closed) && self.once(Once::ReadOver) {
            self.host
                .record_compact(|| CompactKind::EndReceived(self.end, bytes));
        }
    }

    /// A read or write failed, after `bytes`, and not because this end was closed.
    pub(crate) fn failed(&self, direction: Direction, bytes: u64, cause: Cause) {
        let what = match direction {
            Direction::Read => Once::ReadOver,
            Direction::Write => Once::WriteFailed,
        };
        if self.is_done(Once::Closed) || !self.once(what) {
            return;
        }
        let end = self.host.log().end(self.end);
        self.host.record(|| match direction {
            Direction::Read => EventKind::ReadFailed { end, bytes, cause },
            Direction::Write => EventKind::WriteFailed {
                end,
                bytes: self.sent_first + bytes,
                cause,
            },
        });
    }

    /// The end is about to be closed: its streams are dropped, and its port is free, after this.
    pub(crate) fn closing(&self, sent: u64, received: u64) {
        self.closed_as(self.host.reserve(), sent, received);
    }

    fn closed_as(&self, number: Option<u64>, sent: u64, received: u64) {
        if self.once(Once::Closed) {
            self.host.record_compact_as(number, || CompactKind::Closed {
                end: self.end,
                sent: self.sent_first + sent,
                received,
            });
        }
    }
}

impl Drop for ConnTrace {
    fn drop(&mut self) {
        self.closed_as(self.unopened, 0, 0);
    }
}
