//! The judge: is there a fault that explains a failure?
//!
//! Owns the list of faults that happened, the bounds of slow operations, and the violations. Never
//! causes a fault.

mod excuses;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::hosts::Hosts;
use crate::judge::excuses::Fault;
use crate::plan::{Kind, Planned};
use crate::wire::{Trouble, now};

/// How long a dial may take, without the time in which its process was
/// stopped. A registry that is down is noticed within 2 s, a silent peer within 3 s, and
/// both may happen twice after a stale answer.
const DIAL_MS: u64 = 10_000;
/// Time within which a silent peer is cut.
const WAIT_MS: u64 = 10_000;
/// How long a close may take: delivery, the close messages and the registry call each have
/// a bound.
const CLOSE_MS: u64 = 10_000;
/// Added for a busy machine.
const SLACK_MS: u64 = 3000;

/// How many violations are printed at once.
const SHOWN: usize = 40;

#[derive(Debug, Default)]
struct Record {
    faults: Vec<Fault>,
    /// How many faults belong to the warm-up.
    warm_up: usize,
    /// How often each failure was excused, by operation and cause.
    excused: BTreeMap<String, u64>,
    /// The longest that each operation took, in milliseconds.
    slowest: BTreeMap<String, u64>,
    violations: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Judge {
    hosts: Hosts,
    record: Mutex<Record>,
}

impl Judge {
    pub(crate) fn new(hosts: Hosts) -> Judge {
        Judge {
            hosts,
            record: Mutex::default(),
        }
    }

    /// Records the start of a fault; returns its number.
    pub(crate) fn begins(&self, planned: Planned) -> usize {
        let faults = &mut self.lock().faults;
        faults.push(Fault {
            hosts: self.hosts,
            planned,
            began: now(),
            ended: None,
        });
        faults.len() - 1
    }

    pub(crate) fn ends(&self, number: usize) {
        self.lock().faults[number].ended = Some(now());
    }

    /// They end, but may have effects for so much longer.
    pub(crate) fn end_after(&self, numbers: &[usize], after: Duration) {
        let mut record = self.lock();
        for number in numbers {
            record.faults[*number].ended = Some(now() + after.as_millis() as u64);
        }
    }

    pub(crate) fn hears(&self, trouble: &Trouble) {
        let mut record = self.lock();
        if trouble.what == "slow" {
            return record.slow(trouble);
        }
        if record.excuses(trouble) {
            let what = format!("{} {}", trouble.what, trouble.cause);
            *record.excused.entry(what).or_default() += 1;
            return;
        }
        record.violates(trouble.to_string());
    }

    pub(crate) fn violation(&self, what: String) {
        self.lock().violates(what);
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    pub(crate) fn excused(&self) -> BTreeMap<String, u64> {
        self.lock().excused.clone()
    }

    /// Ends the warm-up: the faults so far are not counted.
    pub(crate) fn warm(&self) {
        let mut record = self.lock();
        record.warm_up = record.faults.len();
    }

    pub(crate) fn slowest(&self) -> BTreeMap<String, u64> {
        self.lock().slowest.clone()
    }

    /// How many faults of each kind have ended.
    pub(crate) fn faults(&self) -> BTreeMap<Kind, usize> {
        let mut counts = BTreeMap::new();
        let record = self.lock();
        for fault in &record.faults[record.warm_up..] {
            if fault.ended.is_some() {
                *counts.entry(fault.planned.kind).or_default() += 1;
            }
        }
        counts
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn excuses(&self, trouble: &Trouble) -> bool {
        // Newest first: they are the likeliest.
        let faults = self.faults.iter().rev();
        let naps = faults.clone().filter(|fault| fault.is_nap_of(trouble));
        let late = |rule: &Fault| naps.clone().any(|nap| rule.excuses_after(nap, trouble));
        faults.clone().any(|fault| fault.excuses(trouble)) || faults.clone().any(late)
    }

    /// Judges a slow operation, without the time in which its process was stopped.
    fn slow(&mut self, trouble: &Trouble) {
        let stopped = self.faults.iter().map(|fault| fault.stopped(trouble));
        let took = (trouble.ended - trouble.began).saturating_sub(stopped.sum());
        let bound = match &*trouble.cause {
            "dial" | "dial-in-vain" => DIAL_MS,
            "close" => CLOSE_MS,
            _ => WAIT_MS,
        };
        let slowest = self.slowest.entry(trouble.cause.clone()).or_default();
        *slowest = took.max(*slowest);
        if took > bound + SLACK_MS {
            self.violates(format!("took {took} ms: {trouble}"));
        }
    }

    fn violates(&mut self, what: String) {
        if self.violations.len() < SHOWN {
            eprintln!("VIOLATION at {}: {what}", now());
            for fault in self.faults.iter().rev().take(4) {
                eprintln!("    during {fault:?}");
            }
        }
        self.violations.push(what);
    }
}
