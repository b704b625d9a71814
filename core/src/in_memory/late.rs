//! Bytes of the in-memory engine that arrive later than they were sent.
//!
//! Owns the delays of what one engine's hosts send, and the times at which bytes on their way
//! arrive. Never holds a byte: the pipe does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::Addr;
use crate::faults::{Delays, FaultTable};

/// The delays of what one engine's hosts send.
#[derive(Debug, Default)]
pub(crate) struct SentLater {
    /// There are rules.
    rules: AtomicBool,
    /// There are delays.
    any: AtomicBool,
    /// Larger with each table.
    pub(super) generation: AtomicU64,
    table: Mutex<Arc<FaultTable>>,
}

impl SentLater {
    pub(crate) fn enforce(&self, table: &Arc<FaultTable>) {
        let mut held = self.table.lock();
        *held = Arc::clone(table);
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.rules.store(!table.is_empty(), Ordering::Relaxed);
        self.any.store(table.has_delays(), Ordering::Relaxed);
    }

    pub(crate) fn has_rules(&self) -> bool {
        self.rules.load(Ordering::Relaxed)
    }

    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    pub(super) fn delays(&self, from: &Addr, to: &Addr) -> Option<Delays> {
        self.table.lock().delays(from, to)
    }

    /// How late the first bytes from one address to another are.
    pub(crate) fn first(&self, from: &Addr, to: &Addr) -> Duration {
        if !self.any() {
            return Duration::ZERO;
        }
        let delays = self.delays(from, to);
        delays.map_or(Duration::ZERO, |delays| delays.of(0, Instant::now()))
    }
}

/// When bytes arrive: in order, each not before those in front of it. At most one entry for each
/// byte in the pipe.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) late: VecDeque<Late>,
    /// When the end of the direction arrives.
    pub(super) end: Option<Instant>,
}

/// Bytes that arrive together: those from one offset of the direction to another.
pub(super) struct Late {
    from: u64,
    to: u64,
    at: Instant,
}

impl Queue {
    /// Not before what is in front of it.
    pub(super) fn in_order(&self, at: Instant) -> Instant {
        self.late.back().map_or(at, |last| last.at.max(at))
    }

    pub(super) fn push(&mut self, from: u64, to: u64, at: Instant) {
        let at = self.in_order(at);
        match self.late.back_mut() {
            Some(last) if last.at == at && last.to == from => last.to = to,
            _ => self.late.push_back(Late { from, to, at }),
        }
    }

    /// How many bytes have arrived beyond those before `read`, or when more do.
    pub(super) fn arrived(&mut self, read: u64, now: Instant) -> Result<u64, Instant> {
        while self.late.front().is_some_and(|late| late.to <= read) {
            self.late.pop_front();
        }
        let mut arrived = read;
        for late in &self.late {
            if late.from > arrived {
                // In between are bytes that were not delayed.
                arrived = late.from;
            }
            if late.at > now {
                return match arrived == read {
                    true => Err(late.at),
                    false => Ok(arrived - read),
                };
            }
            arrived = late.to;
        }
        match (arrived == read, self.end) {
            (false, _) => Ok(arrived - read),
            (true, Some(end)) if end > now => Err(end),
            (true, _) => Ok(u64::MAX),
        }
    }
}
