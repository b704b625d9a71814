//! StreamLimits: how many streams a peer may have open on one QUIC connection, and how much
//! it may have us keep of what nobody has read.
//!
//! Owns the count of them on the accepting side, and the growth of both limits.
//! Never opens or closes a stream.
//!
//! A stream takes a slot of QUIC's limit until both directions have ended on
//! both sides. This side does not see the end of a direction that it stopped
//! reading: the peer may go on holding its writer without noticing. Such a slot
//! stays counted until the dialing port, which the peer holds just as long,
//! turns up again in another dial. So the count is never too low, and the limit
//! never in the way.
//!
//! What is unread may fill the window of each stream that is held, so that one that
//! nobody reads stalls no other. Streams that are not held yet have the windows of a few to
//! share: who opens many and sends at once, which is against the protocol, can't have
//! us keep more than that.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use quinn::{Connection, VarInt};

use crate::config::transport::{FIRST_STREAMS, FIRST_WINDOWS, MAX_STREAMS, receive_window};

/// The limits of one connection.
pub(crate) struct StreamLimits {
    conn: Connection,
    /// Of one stream, in bytes.
    window: u32,
    counts: Mutex<StreamCounts>,
}

#[derive(Debug)]
struct StreamCounts {
    /// Streams that are held on this side.
    held: usize,
    /// Dialing ports of streams that this side let go before the peer's end.
    unfinished: HashSet<u16>,
    limit: u32,
    /// How many streams may have their windows full.
    windows: u32,
}

/// What a stream more made necessary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Growth {
    limit: Option<u32>,
    windows: Option<u32>,
}

impl StreamCounts {
    fn new() -> StreamCounts {
        StreamCounts {
            held: 0,
            unfinished: HashSet::new(),
            limit: FIRST_STREAMS,
            windows: FIRST_WINDOWS,
        }
    }

    /// Counts a stream dialed from `port`.
    fn take(&mut self, port: u16) -> Growth {
        self.unfinished.remove(&port);
        self.held += 1;
        let taken = self.held + self.unfinished.len();
        Growth {
            limit: grow(&mut self.limit, taken),
            // What is left is not kept: QUIC throws it away as it comes.
            windows: grow(&mut self.windows, self.held),
        }
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
    /// Of a connection whose streams may have `window` bytes unread.
    pub(crate) fn new(conn: Connection, window: u32) -> Arc<StreamLimits> {
        Arc::new(StreamLimits {
            conn,
            window,
            counts: Mutex::new(StreamCounts::new()),
        })
    }

    /// Counts a stream that the peer dialed from its port `port`.
    pub(crate) fn take(self: &Arc<StreamLimits>, port: u16) -> StreamPermit {
        let grown = self.counts.lock().take(port);
        if let Some(windows) = grown.windows {
            let window = receive_window(windows, self.window);
            self.conn.set_receive_window(window);
        }
        if let Some(limit) = grown.limit {
            self.conn
                .set_max_concurrent_bi_streams(VarInt::from_u32(limit));
        }
        StreamPermit {
            limits: Arc::clone(self),
            port,
        }
    }
}

/// A stream that counts until it is dropped.
pub(crate) struct StreamPermit {
    limits: Arc<StreamLimits>,
    port: u16,
}

impl StreamPermit {
    pub(crate) fn conn(&self) -> &Connection {
        &self.limits.conn
    }

    /// Notes that reading stopped before the peer's end.
    pub(crate) fn keep_counted(&self) {
        self.limits.counts.lock().unfinished.insert(self.port);
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.limits.counts.lock().held -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_doubles_when_half_is_taken_and_ends_at_all_ports() {
        let mut counts = StreamCounts::new();
        let (mut limits, mut windows) = (Vec::new(), Vec::new());
        for port in 1..=u16::MAX {
            let grown = counts.take(port);
            limits.extend(grown.limit.map(|limit| (port, limit)));
            windows.extend(grown.windows.map(|windows| (port, windows)));
        }
        let doubled = |from: u32| (from..15).map(|bits| ((1 << bits) + 1, 1 << (bits + 2)));
        assert_eq!(limits, doubled(6).collect::<Vec<_>>());
        assert_eq!(windows, doubled(2).collect::<Vec<_>>());
        assert!(counts.limit > u32::from(u16::MAX));
    }

    #[test]
    fn what_the_peer_may_still_hold_stays_counted() {
        let mut counts = StreamCounts::new();
        for port in 1..=64 {
            assert_eq!(counts.take(port).limit, None);
            counts.unfinished.insert(port);
            counts.held -= 1;
        }
        // The ports turn up again: those streams have ended.
        for port in 1..=64 {
            assert_eq!(counts.take(port), Growth::default(), "port {port}");
            counts.unfinished.insert(port);
            counts.held -= 1;
        }
        assert_eq!(counts.take(65).limit, Some(2 * FIRST_STREAMS));
    }
}
