//! Limits of one QUIC connection: how many streams the peer may have open (MAX_STREAMS),
//! and how many unread bytes this side buffers (MAX_DATA).
//!
//! Owns the counts on the accepting side, and raises both limits. Never opens or closes
//! a stream.
//!
//! A stream counts for QUIC's limit until both directions have ended on both sides. If
//! this side stopped reading a direction, it does not see its end: the peer may keep its
//! writing half without using it. Such a stream stays counted until its dialing port,
//! which the peer keeps for the same time, is used for another dial. So the count is never
//! too low, and the limit never blocks a dial.
//!
//! The buffer has one full window for each accepted stream, so that a stream that nobody
//! reads blocks no other, and for each that waits for its accept the most that its dialer
//! may send before. A peer that opens many streams and sends more on them, which violates
//! the protocol, cannot fill more.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use quinn::{Connection, VarInt};
use virtnet_core::MAX_FIRST_BYTES;

use crate::config::transport::{FIRST_STREAMS, FIRST_WINDOWS, MAX_STREAMS, receive_window};

/// The limits of one connection.
pub(crate) struct StreamLimits {
    conn: Connection,
    /// The window of one stream, in bytes.
    window: u32,
    counts: Mutex<StreamCounts>,
}

#[derive(Debug)]
struct StreamCounts {
    /// Streams with a permit.
    permits: usize,
    /// Those of them that were accepted.
    accepted: usize,
    /// How many streams that wait need one window for their first bytes.
    waiting_per_window: usize,
    /// Dialing ports of streams that this side released before it saw the peer's end.
    unfinished: HashSet<u16>,
    limit: u32,
    /// How many streams may have full windows.
    windows: u32,
}

/// The new limits, where one more stream has raised them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Growth {
    limit: Option<u32>,
    windows: Option<u32>,
}

impl StreamCounts {
    /// With streams that have windows of `window` bytes.
    fn new(window: u32) -> StreamCounts {
        StreamCounts {
            permits: 0,
            accepted: 0,
            waiting_per_window: (window as usize / MAX_FIRST_BYTES).max(1),
            unfinished: HashSet::new(),
            limit: FIRST_STREAMS,
            windows: FIRST_WINDOWS,
        }
    }

    /// Counts a stream dialed from `port`.
    fn take(&mut self, port: u16) -> Growth {
        self.unfinished.remove(&port);
        self.permits += 1;
        let taken = self.permits + self.unfinished.len();
        Growth {
            limit: grow(&mut self.limit, taken),
            windows: self.grow_windows(),
        }
    }

    /// Counts a stream with a permit as accepted.
    fn accept(&mut self) -> Growth {
        self.accepted += 1;
        Growth {
            limit: None,
            windows: self.grow_windows(),
        }
    }

    fn grow_windows(&mut self) -> Option<u32> {
        // Without the unfinished: QUIC discards the data of stopped streams.
        let waiting = self.permits - self.accepted;
        let full = self.accepted + waiting.div_ceil(self.waiting_per_window);
        grow(&mut self.windows, full)
    }
}

/// Doubles `limit` when more than half of it is `taken`.
fn grow(limit: &mut u32, taken: usize) -> Option<u32> {
    if taken * 2 <= *limit as usize || *limit >= MAX_STREAMS {
        return None;
    }
    *limit *= 2;
    Some(*limit)
}

impl StreamLimits {
    /// For a connection whose streams have windows of `window` bytes.
    pub(crate) fn new(conn: Connection, window: u32) -> Arc<StreamLimits> {
        Arc::new(StreamLimits {
            conn,
            window,
            counts: Mutex::new(StreamCounts::new(window)),
        })
    }

    /// Counts a stream that the peer dialed from its port `port`.
    pub(crate) fn take(self: &Arc<StreamLimits>, port: u16) -> StreamPermit {
        let grown = self.counts.lock().take(port);
        self.apply(grown);
        StreamPermit {
            limits: Arc::clone(self),
            port,
            accepted: false,
        }
    }

    fn apply(&self, grown: Growth) {
        if let Some(windows) = grown.windows {
            let window = receive_window(windows, self.window);
            self.conn.set_receive_window(window);
        }
        if let Some(limit) = grown.limit {
            self.conn
                .set_max_concurrent_bi_streams(VarInt::from_u32(limit));
        }
    }
}

/// A stream that counts until it is dropped.
pub(crate) struct StreamPermit {
    limits: Arc<StreamLimits>,
    port: u16,
    accepted: bool,
}

impl StreamPermit {
    pub(crate) fn conn(&self) -> &Connection {
        &self.limits.conn
    }

    /// The dial was accepted: the stream may have a full window.
    pub(crate) fn accepted(mut self) -> StreamPermit {
        self.accepted = true;
        let grown = self.limits.counts.lock().accept();
        self.limits.apply(grown);
        self
    }

    /// Keeps the stream counted after the drop: reading stopped before the peer's end.
    pub(crate) fn keep_counted(&self) {
        self.limits.counts.lock().unfinished.insert(self.port);
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut counts = self.limits.counts.lock();
        counts.permits -= 1;
        counts.accepted -= usize::from(self.accepted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u32 = 2 << 20;

    #[test]
    fn streams_that_wait_have_space_for_their_first_bytes() {
        // 128 that wait need one window, 1,024 the first eight, of which half are spare.
        for (window, waiting) in [(WINDOW, 4 * 128), (MAX_FIRST_BYTES as u32, 4), (1200, 4)] {
            let mut counts = StreamCounts::new(window);
            for port in 1..=waiting {
                assert_eq!(counts.take(port).windows, None, "{window}: {port}");
            }
            let grown = counts.take(waiting + 1);
            assert_eq!(grown.windows, Some(2 * FIRST_WINDOWS), "{window}");
        }
    }

    #[test]
    fn each_limit_doubles_when_half_is_taken_and_ends_at_all_ports() {
        let mut counts = StreamCounts::new(WINDOW);
        let (mut limits, mut windows) = (Vec::new(), Vec::new());
        for port in 1..=u16::MAX {
            for grown in [counts.take(port), counts.accept()] {
                limits.extend(grown.limit.map(|limit| (port, limit)));
                windows.extend(grown.windows.map(|windows| (port, windows)));
            }
        }
        let doubled = |from: u32| (from..15).map(|bits| ((1 << bits) + 1, 1 << (bits + 2)));
        assert_eq!(limits, doubled(4).collect::<Vec<_>>());
        assert_eq!(windows, doubled(2).collect::<Vec<_>>());
        assert!(counts.limit > u32::from(u16::MAX));
    }

    #[test]
    fn what_the_peer_may_still_hold_stays_counted() {
        let mut counts = StreamCounts::new(WINDOW);
        for port in 1..=16 {
            assert_eq!(counts.take(port).limit, None);
            counts.unfinished.insert(port);
            counts.permits -= 1;
        }
        // The ports turn up again: those streams have ended.
        for port in 1..=16 {
            assert_eq!(counts.take(port), Growth::default(), "port {port}");
            counts.unfinished.insert(port);
            counts.permits -= 1;
        }
        assert_eq!(counts.take(17).limit, Some(2 * FIRST_STREAMS));
    }
}
