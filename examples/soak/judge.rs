//! The judge: does a fault on these two hosts at that time explain a failure?
//!
//! Owns the list of faults that happened, what each excuses, and the violations. Never
//! causes a fault.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::plan::{Kind, Planned, Rules};
use crate::wire::{Trouble, home, now};

/// Time within which a cut is noticed and connections fail.
const CUT_MS: u64 = 11_000;
/// A dial that was accepted has its reply within this time. If the reply is lost or the dialer
/// stopped just then, the dial is given up, and the accepted connection is cut.
const REPLY_MS: u64 = 100;
/// Time within which names are registered again after Redis, or the path to it, lost them.
const NAMES_MS: u64 = 7_000;
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

/// A fault that happened or is happening.
#[derive(Debug, Clone, Copy)]
struct Fault {
    planned: Planned,
    began: u64,
    ended: Option<u64>,
}

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

#[derive(Debug, Default)]
pub(crate) struct Judge(Mutex<Record>);

impl Judge {
    /// Records the start of a fault; returns its number.
    pub(crate) fn begins(&self, planned: Planned) -> usize {
        let faults = &mut self.lock().faults;
        faults.push(Fault {
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
        let excuses = |fault: &Fault| fault.excuses(trouble);
        // Newest first: they are the likeliest.
        if record.faults.iter().rev().any(excuses) {
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
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

impl Fault {
    /// Whether it was active between `from` and `to`, or ended at most `after` before.
    fn overlaps(&self, from: u64, to: u64, after: u64) -> bool {
        self.began <= to && self.ended.is_none_or(|ended| from <= ended + after)
    }

    /// Whether it hit one of the two, or the path between them.
    fn touches(&self, trouble: &Trouble) -> bool {
        let Planned {
            kind,
            host,
            process,
            other,
            ..
        } = self.planned;
        let hosts = [trouble.host, trouble.peer];
        let homes = hosts.map(home);
        match kind {
            Kind::Loss | Kind::Delay | Kind::Doubling | Kind::Drops => hosts.contains(&host),
            Kind::Listener => trouble.peer == host,
            Kind::Rules(_) => {
                let Trouble { host, peer, .. } = *trouble;
                let either = Planned::pair(host, peer) | Planned::pair(peer, host);
                self.planned.pairs & either != 0
            }
            Kind::Blink | Kind::Partition => {
                homes.contains(&other) && process.is_some_and(|process| homes.contains(&process))
            }
            Kind::RedisEmptied | Kind::RedisStopped | Kind::RedisRestarted => true,
            _ => process.is_some_and(|process| homes.contains(&process)),
        }
    }

    /// For how many milliseconds of an operation its process was stopped, or its pair was under
    /// rules, which may hold it for as long as they are in force.
    fn stopped(&self, trouble: &Trouble) -> u64 {
        let stops = match self.planned.kind {
            Kind::Nap | Kind::Sleep => self.planned.process == Some(home(trouble.host)),
            // These end what waits, or let it be.
            Kind::Rules(Rules::Refuse | Rules::Reset) => false,
            Kind::Rules(_) => self.touches(trouble),
            _ => false,
        };
        if !stops {
            return 0;
        }
        let ended = self.ended.unwrap_or(trouble.ended).min(trouble.ended);
        ended.saturating_sub(self.began.max(trouble.began))
    }

    fn excuses(&self, trouble: &Trouble) -> bool {
        match &*trouble.what {
            "dial" => self.touches(trouble) && self.excuses_dial(trouble),
            "read" | "write" => self.touches(trouble) && self.excuses_cut(trouble),
            "short" => self.touches(trouble) && self.excuses_end(trouble),
            // The peer of the undelivered data is not known.
            "close" => self.excuses_close(trouble),
            _ => false,
        }
    }

    fn excuses_dial(&self, trouble: &Trouble) -> bool {
        let own = self.planned.process == Some(home(trouble.host));
        let (causes, after): (&[&str], u64) = match self.planned.kind {
            Kind::Delay | Kind::Doubling => (&[], 0),
            Kind::Loss => (&["TimedOut"], 1000),
            // A retransmission waits as long again as before.
            Kind::Blink => (&["TimedOut"], 1000 + self.planned.length),
            Kind::Partition => (&["TimedOut", "ConnectionCut"], 4000),
            Kind::Nap if own => (&["TimedOut", "ConnectionCut", "RegistryDown"], 1000),
            Kind::Nap => (&["TimedOut", "ConnectionCut"], 1000),
            Kind::Sleep if own && trouble.cause == "RegistryDown" => (&["RegistryDown"], NAMES_MS),
            // A process that wakes after its lease has ended neither accepts nor dials.
            Kind::Sleep | Kind::Kill => {
                let causes = &[
                    "TimedOut",
                    "ConnectionCut",
                    "ConnectionRefused",
                    "NoSuchHost",
                ];
                (causes, NAMES_MS)
            }
            Kind::RedisEmptied | Kind::RedisStopped | Kind::RedisRestarted => {
                (&["RegistryDown", "NoSuchHost"], NAMES_MS)
            }
            Kind::Listener => (&["ConnectionRefused"], 500),
            Kind::Host | Kind::Remake if own => {
                let causes = &["HostDown", "NetworkDown", "ConnectionRefused", "NoSuchHost"];
                (causes, 1000)
            }
            Kind::Host | Kind::Remake => {
                let causes = &[
                    "ConnectionRefused",
                    "NoSuchHost",
                    "ConnectionCut",
                    "TimedOut",
                ];
                (causes, 1000)
            }
            Kind::Drops => (&["ConnectionRefused", "ConnectionCut"], 1000),
            Kind::Rules(Rules::Refuse) => (&["ConnectionRefused"], 1000),
            // The reset of the accepted connection may overtake the reply, which is then lost: to the
            // dialer it is as if no accept got it.
            Kind::Rules(Rules::Reset) => (&["ConnectionCut", "ConnectionRefused"], 1000),
            Kind::Rules(Rules::Cut | Rules::Hold | Rules::Shape) => {
                (&["TimedOut", "ConnectionCut"], 4000)
            }
        };
        causes.contains(&&*trouble.cause) && self.overlaps(trouble.began, trouble.ended, after)
    }

    fn excuses_cut(&self, trouble: &Trouble) -> bool {
        let own = self.planned.process == Some(home(trouble.host));
        let lost = ["TimedOut", "ConnectionCut", "BrokenPipe"].contains(&&*trouble.cause);
        let Trouble {
            began,
            opened,
            ended,
            ..
        } = *trouble;
        match self.planned.kind {
            // A hold delays the news of other faults.
            Kind::Partition | Kind::Sleep | Kind::Kill | Kind::Rules(Rules::Cut | Rules::Hold) => {
                lost && self.overlaps(opened, ended, CUT_MS)
            }
            Kind::Rules(Rules::Reset) => {
                lost && trouble.cause != "TimedOut" && self.overlaps(opened, ended, CUT_MS)
            }
            // An open connection does not notice; a dial in progress may have been given
            // up by the other side.
            Kind::Nap | Kind::Blink | Kind::Loss | Kind::Rules(Rules::Shape) => {
                lost && self.overlaps(began, opened + REPLY_MS, 1000)
            }
            Kind::Host | Kind::Remake => {
                let down = ["HostDown", "NetworkDown"].contains(&&*trouble.cause);
                (lost || (own && down)) && self.overlaps(opened, ended, 2000)
            }
            Kind::Drops => lost && self.overlaps(opened, ended, 2000),
            Kind::Listener => lost && self.took_it_along(trouble),
            _ => false,
        }
    }

    /// Only a clean close ends a connection with end-of-file.
    fn excuses_end(&self, trouble: &Trouble) -> bool {
        let theirs = self.planned.process == Some(home(trouble.peer));
        let closes = match self.planned.kind {
            Kind::Listener => return self.took_it_along(trouble),
            Kind::Host | Kind::Remake => theirs,
            Kind::Drops => true,
            _ => false,
        };
        closes && self.overlaps(trouble.opened, trouble.ended, 2000)
    }

    /// Closing a listener closes the connection that an accept was about to return: the
    /// dialer's connection ends at once.
    fn took_it_along(&self, trouble: &Trouble) -> bool {
        let at_once = trouble.ended - trouble.opened < 1000;
        at_once && self.overlaps(trouble.opened, trouble.ended, 0)
    }

    /// Data that could not be delivered to a host that was cut off.
    fn excuses_close(&self, trouble: &Trouble) -> bool {
        let Trouble { began, ended, .. } = *trouble;
        match self.planned.kind {
            Kind::Loss
            | Kind::Blink
            | Kind::Partition
            | Kind::Nap
            | Kind::Sleep
            | Kind::Kill
            | Kind::Rules(Rules::Cut | Rules::Hold | Rules::Reset | Rules::Shape) => {
                trouble.cause == "ConnectionCut" && self.overlaps(began, ended, CUT_MS)
            }
            Kind::RedisEmptied | Kind::RedisStopped | Kind::RedisRestarted => {
                trouble.cause == "RegistryDown" && self.overlaps(began, ended, NAMES_MS)
            }
            _ => false,
        }
    }
}
