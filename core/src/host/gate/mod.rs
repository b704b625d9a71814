//! What fault rules do to dials and connections.
//!
//! Owns [`Gate`], through which each end of a connection asks whether a rule concerns it. Never
//! touches a stream, and costs two loads where there is no rule.

pub(crate) mod conn_rules;
pub(crate) mod dial;
pub(crate) mod paths;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::context::fault_counts::Did;
use crate::context::rules::Rules;
use crate::host::gate::conn_rules::{ConnRules, Counted};
use crate::{Addr, Cause, Failure};

/// Who dialed a connection, as its rules need to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service {
    /// The port that was dialed.
    pub(crate) port: u16,
    /// This end dialed.
    pub(crate) dialed: bool,
}

/// One end of a connection, as fault rules see it.
pub(crate) struct Gate {
    rules: Arc<Rules>,
    service: Service,
    /// The generation of the table that has no rule for this connection; [`RULED`] if it has one.
    quiet_at: AtomicU64,
    /// Bytes of each direction. Each is written by the holder of that half's lock only.
    pub(crate) read: Bytes,
    pub(crate) written: Bytes,
    /// Locked after a half, never before one.
    ruled: Mutex<Option<Box<ConnRules>>>,
}

/// No generation: some rule concerns the connection.
const RULED: u64 = u64::MAX;

/// How many bytes one direction has carried.
#[derive(Default)]
pub(crate) struct Bytes(AtomicU64);

impl Bytes {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Only one task at a time adds.
    pub(crate) fn add(&self, bytes: usize) {
        self.0.store(self.get() + bytes as u64, Relaxed);
    }
}

/// Which direction of a connection a task is about to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Read,
    Write,
}

/// What a task that reads or writes finds.
pub(crate) enum Look {
    /// No rule concerns the connection.
    Quiet,
    /// A rule ends the connection.
    Ends(Failure),
    Ruled(Ruled),
}

/// What rules allow now.
#[derive(Debug)]
pub(crate) struct Ruled {
    /// Nothing may be read.
    pub(crate) withheld: bool,
    /// At most so many bytes may be read now.
    pub(crate) most: usize,
    /// What the peer did to the connection must not be known yet.
    pub(crate) news_withheld: bool,
    /// When to look again, whatever the engine does.
    pub(crate) again: Option<Instant>,
}

impl Ruled {
    /// No rule says anything.
    pub(crate) fn nothing() -> Ruled {
        Ruled {
            withheld: false,
            most: usize::MAX,
            news_withheld: false,
            again: None,
        }
    }
}

impl Gate {
    pub(crate) fn new(rules: &Arc<Rules>, service: Service) -> Gate {
        Gate {
            rules: Arc::clone(rules),
            service,
            quiet_at: AtomicU64::new(0),
            read: Bytes::default(),
            written: Bytes::default(),
            ruled: Mutex::new(None),
        }
    }

    /// No rule concerns the connection, as far as the last look told.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet_at.load(Relaxed) == self.rules.generation()
    }

    /// What the rules say about the connection between these ends, to a task that is about to go
    /// `way`.
    pub(crate) fn look(&self, (local, peer): (&Addr, &Addr), way: Way, now: Instant) -> Look {
        let counts = &self.rules.counts;
        let mut slot = self.ruled.lock();
        let carried = Counted {
            read: self.read.get(),
            written: self.written.get(),
        };
        if let Some(in_force) = self.rules.in_force()
            && in_force.generation != self.known(&slot)
        {
            // A silence under the rules before may have ended it, even if nobody looked.
            let ended = slot.as_mut().and_then(|ruled| ruled.outlast(&carried, now));
            if let Some(why) = ended {
                return Look::Ends(why);
            }
            *slot = ConnRules::new(&in_force, self.service, local, peer, slot.take());
            let quiet_at = match &*slot {
                Some(_) => RULED,
                None => in_force.generation,
            };
            self.quiet_at.store(quiet_at, Relaxed);
        }
        let Some(ruled) = &mut *slot else {
            return Look::Quiet;
        };
        match ruled.settle(&carried, now, counts) {
            Some(why) => Look::Ends(why),
            None => Look::Ruled(ruled.allows(way, &carried, now, counts)),
        }
    }

    /// The generation of the table whose rules are known.
    fn known(&self, ruled: &Option<Box<ConnRules>>) -> u64 {
        match ruled {
            Some(ruled) => ruled.generation,
            None => self.quiet_at.load(Relaxed),
        }
    }

    /// Whether a silence has begun: a task that waits must know when it ends.
    pub(crate) fn is_silent(&self) -> bool {
        self.ruled
            .lock()
            .as_ref()
            .is_some_and(|ruled| ruled.is_silent())
    }

    /// The peer cut the connection while some cut is in force: silence begins, if it has not.
    pub(crate) fn news_came(&self, now: Instant) {
        if let Some(ruled) = &mut *self.ruled.lock() {
            ruled.fall_silent(true, now, &self.rules.counts);
        }
    }

    /// Bytes have been read, from byte `at` of the direction on. May change them.
    pub(crate) fn arrived(&self, at: u64, bytes: &mut [u8], now: Instant) {
        if let Some(ruled) = &mut *self.ruled.lock() {
            let corrupted = ruled.arrived(at, bytes, now);
            self.rules.counts.add(Did::CorruptByte, corrupted);
        }
    }
}

/// The failure of a connection that a rule resets.
fn reset(rule: &str) -> Failure {
    Failure::explain(
        Cause::ConnectionCut,
        format!("fault rule {rule:?} reset the connection"),
    )
}
