//! A child's counters, and its reports of failures to the parent.
//!
//! Owns the counters and stdout. Never judges.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use virtnet::Cause;

use crate::exchange::End;
use crate::wire::{Counts, Trouble, now};

/// Slower operations are reported, even if they succeed. The parent knows how long the
/// process was stopped meanwhile, so it can judge them.
const SLOW: Duration = Duration::from_millis(500);

/// A deliberate defect, to see that the soak detects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    None,
    /// One byte of some streams is wrong.
    Corrupt,
    /// A cut is treated as end-of-file.
    Eof,
    /// Some ports are never freed.
    Port,
    /// Four kilobytes are sometimes never freed.
    Memory,
    /// Some dials go to another host.
    Stranger,
}

impl FromStr for Sabotage {
    type Err = String;

    fn from_str(word: &str) -> Result<Sabotage, String> {
        Ok(match word {
            "none" => Sabotage::None,
            "corrupt" => Sabotage::Corrupt,
            "eof" => Sabotage::Eof,
            "port" => Sabotage::Port,
            "memory" => Sabotage::Memory,
            "stranger" => Sabotage::Stranger,
            _ => return Err(format!("unknown sabotage {word:?}")),
        })
    }
}

/// The counters of one process.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) sabotage: Sabotage,
    pub(crate) dialed: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) closed: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) given_up: AtomicU64,
    pub(crate) closes: AtomicU64,
}

impl Tally {
    pub(crate) fn new(sabotage: Sabotage) -> Arc<Tally> {
        Arc::new(Tally {
            sabotage,
            dialed: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            closes: AtomicU64::new(0),
        })
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            dialed: self.dialed.load(Relaxed),
            accepted: self.accepted.load(Relaxed),
            closed: self.closed.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            given_up: self.given_up.load(Relaxed),
            closes: self.closes.load(Relaxed),
        }
    }

    pub(crate) fn count(&self, counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }
}

/// Sends a line to the parent.
pub(crate) fn tell(line: impl Display) {
    println!("{line}");
}

/// The context of one connection or dial, for reports.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) tally: Arc<Tally>,
    pub(crate) host: usize,
    pub(crate) peer: usize,
    pub(crate) began: u64,
    pub(crate) opened: u64,
}

impl Watch {
    pub(crate) fn sabotage(&self) -> Sabotage {
        self.tally.sabotage
    }

    /// Reports the duration of an operation, if it was slow.
    pub(crate) fn took(&self, what: &str, began: u64, took: Duration) {
        if took > SLOW {
            self.trouble("slow", what, began, format!("{took:?}"));
        }
    }

    pub(crate) fn failed(&self, what: &str, cause: Cause, detail: impl Display) {
        let cause = format!("{cause:?}");
        self.trouble(what, &cause, self.began, detail.to_string());
    }

    pub(crate) fn ended(&self, end: &End) {
        let (what, cause, detail) = end.told();
        self.trouble(what, &cause, self.began, detail);
    }

    fn trouble(&self, what: &str, cause: &str, began: u64, detail: String) {
        tell(Trouble {
            what: what.to_owned(),
            host: self.host,
            peer: self.peer,
            cause: cause.to_owned(),
            began,
            opened: self.opened,
            ended: now(),
            detail,
        });
    }
}
