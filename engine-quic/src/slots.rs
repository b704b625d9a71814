//! Slots: how many streams a peer may have open on one QUIC connection.
//!
//! Owns the count of them on the accepting side, and the growth of the limit.
//! Never opens or closes a stream.
//!
//! A stream takes a slot of QUIC's limit until both directions have ended on
//! both sides. This side does not see the end of a direction that it stopped
//! reading: the peer may go on holding its writer without noticing. Such a slot
//! stays counted until the dialing port, which the peer holds just as long,
//! turns up again in another dial. So the count is never too low, and the limit
//! never in the way.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use quinn::{Connection, VarInt};

use crate::transport::{FIRST_STREAMS, MAX_STREAMS};

/// The slots of one connection.
pub(crate) struct Slots {
    conn: Connection,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Streams that are held on this side.
    held: usize,
    /// Dialing ports of streams that this side let go before the peer's end.
    left: HashSet<u16>,
    limit: u32,
}

impl State {
    fn new() -> State {
        State {
            held: 0,
            left: HashSet::new(),
            limit: FIRST_STREAMS,
        }
    }

    /// Counts a stream dialed from `port`; the new limit where it grew.
    fn take(&mut self, port: u16) -> Option<u32> {
        self.left.remove(&port);
        self.held += 1;
        let taken = self.held + self.left.len();
        if taken * 2 <= self.limit as usize || self.limit >= MAX_STREAMS {
            return None;
        }
        self.limit *= 2;
        Some(self.limit)
    }
}

impl Slots {
    pub(crate) fn new(conn: Connection) -> Arc<Slots> {
        Arc::new(Slots {
            conn,
            state: Mutex::new(State::new()),
        })
    }

    /// Counts a stream that the peer dialed from its port `port`.
    pub(crate) fn take(self: &Arc<Slots>, port: u16) -> Slot {
        let grown = self.with(|state| state.take(port));
        if let Some(limit) = grown {
            self.conn
                .set_max_concurrent_bi_streams(VarInt::from_u32(limit));
        }
        Slot {
            slots: Arc::clone(self),
            port,
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        // Each change is whole, so a panic elsewhere left nothing half done.
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A stream that counts until it is dropped.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    port: u16,
}

impl Slot {
    pub(crate) fn conn(&self) -> &Connection {
        &self.slots.conn
    }

    /// Notes that reading stopped before the peer's end.
    pub(crate) fn leave(&self) {
        self.slots.with(|state| state.left.insert(self.port));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.with(|state| state.held -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_doubles_when_half_is_taken_and_ends_at_all_ports() {
        let mut state = State::new();
        let grown: Vec<(u16, u32)> = (1..=u16::MAX)
            .filter_map(|port| state.take(port).map(|limit| (port, limit)))
            .collect();
        let expected: Vec<(u16, u32)> = (6..15)
            .map(|bits| ((1 << bits) + 1, 1 << (bits + 2)))
            .collect();
        assert_eq!(grown, expected);
        assert!(state.limit > u32::from(u16::MAX));
    }

    #[test]
    fn what_the_peer_may_still_hold_stays_counted() {
        let mut state = State::new();
        for port in 1..=64 {
            assert_eq!(state.take(port), None);
            state.left.insert(port);
            state.held -= 1;
        }
        // The ports turn up again: those streams have ended.
        for port in 1..=64 {
            assert_eq!(state.take(port), None, "port {port}");
            state.left.insert(port);
            state.held -= 1;
        }
        assert_eq!(state.take(65), Some(2 * FIRST_STREAMS));
    }
}
