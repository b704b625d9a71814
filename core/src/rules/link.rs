//! The fate of each datagram from one host to another.
//!
//! Owns the decisions of the rules on datagrams, and their order. Never keeps a datagram: the engine does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::faults::delay::how_late;
use crate::rules::chance::Stream;
use crate::rules::rule::Fault;
use crate::rules::table::Active;

/// How long a datagram may wait for a rate; more is lost, as in a router whose queue is full.
const LONGEST_QUEUE: Duration = Duration::from_millis(200);

/// What a rate's queue holds at least, in bytes.
const SHORTEST_QUEUE: u64 = 64 * 1024;

/// The rules on datagrams from one host to another, in force in one subnetwork.
#[derive(Debug)]
pub struct Link {
    rules: Vec<(Arc<Active>, Arc<PairState>)>,
    /// When the last datagram that keeps its place arrives.
    last: Mutex<Option<Instant>>,
}

/// What one rule knows of one ordered pair.
#[derive(Debug)]
pub(crate) struct PairState {
    pub(crate) stream: Stream,
    /// How many decisions were made.
    pub(crate) nth: AtomicU64,
    /// When the line is free again, for a rate.
    pub(super) free: Mutex<Option<Instant>>,
}

impl PairState {
    pub(crate) fn new(stream: Stream) -> PairState {
        PairState {
            stream,
            nth: AtomicU64::new(0),
            free: Mutex::new(None),
        }
    }
}

/// What becomes of one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fate {
    /// When each copy arrives: none if it is lost, two if it is duplicated.
    copies: [Option<Instant>; 2],
}

impl Fate {
    /// The times at which the datagram is to be sent, the first of which may be now or earlier.
    pub fn sent_at(&self) -> impl Iterator<Item = Instant> + use<> {
        self.copies.into_iter().flatten()
    }
}

/// The decisions that a rule makes for one datagram.
const LOSE: u64 = 0;
const DUPLICATE: u64 = 1;
const REORDER: u64 = 5;

impl Link {
    pub(crate) fn new(rules: Vec<(Arc<Active>, Arc<PairState>)>) -> Link {
        Link {
            rules,
            last: Mutex::new(None),
        }
    }

    /// Whether a cut is in force: the receiver drops what arrives, also what was sent before.
    pub fn is_cut(&self, now: Instant) -> bool {
        let cuts = self.rules.iter();
        let mut cuts = cuts.filter(|(active, _)| active.rule.fault == Fault::Cut);
        cuts.any(|(active, _)| active.is_in_force(now))
    }

    /// When the cuts that are in force at `now` end by themselves; `None` if one lasts until the table is
    /// replaced. Not later than `now` if none is in force.
    pub fn cut_until(&self, now: Instant) -> Option<Instant> {
        let cuts = self.rules.iter();
        let mut cuts =
            cuts.filter(|(active, _)| active.rule.fault == Fault::Cut && active.is_in_force(now));
        cuts.try_fold(now, |last, (active, _)| Some(last.max(active.until()?)))
    }

    /// Decides about a datagram of `bytes` bytes that is sent at `now`. The sender asks once for each
    /// datagram, in order: one segment is one datagram.
    ///
    /// Cut first, then loss, duplication, rate, delay, and reordering. Delays keep the order: a datagram
    /// that is late delays those behind it. Only reordering changes it.
    pub fn send(&self, bytes: usize, now: Instant) -> Fate {
        let in_force = || {
            self.rules
                .iter()
                .filter(|(active, _)| active.is_in_force(now))
        };
        let mut copies = 1;
        let (mut at, mut late) = (now, Duration::ZERO);
        for (active, pair) in in_force() {
            active.counts.matched();
            let nth = pair.nth.fetch_add(1, Relaxed);
            let number = |what| pair.stream.number(what, nth);
            let hit = match active.rule.fault {
                Fault::Cut => {
                    copies = 0;
                    true
                }
                Fault::Lose(part) if part.hits(number(LOSE)) => {
                    copies = 0;
                    true
                }
                Fault::Duplicate(part) if part.hits(number(DUPLICATE)) => {
                    copies = copies.min(1) * 2;
                    true
                }
                Fault::Delay {
                    floor,
                    jitter,
                    tail,
                } => {
                    at += how_late(floor, jitter, tail, number);
                    true
                }
                Fault::Reorder(part, by) if part.hits(number(REORDER)) => {
                    late += by;
                    true
                }
                Fault::Rate(_) => true,
                _ => false,
            };
            if hit {
                active.counts.hit();
            }
        }
        // A lost datagram does not use the line.
        for (active, pair) in in_force().filter(|_| copies > 0) {
            let Fault::Rate(rate) = active.rule.fault else {
                continue;
            };
            match pair.wait_for_line(rate, bytes * copies, now) {
                Some(wait) => at += wait,
                None => return Fate::default(),
            }
        }
        if copies == 0 {
            return Fate::default();
        }
        let mut last = self.last.lock();
        at = last.map_or(at, |last| last.max(at));
        if late.is_zero() {
            *last = Some(at);
        }
        let first = Some(at + late);
        Fate {
            copies: [first, first.filter(|_| copies > 1)],
        }
    }
}

impl PairState {
    /// How long a datagram waits until the line has sent it; `None` if the queue is full.
    fn wait_for_line(&self, rate: u64, bytes: usize, now: Instant) -> Option<Duration> {
        let per_byte = |bytes: u64| Duration::from_secs_f64(bytes as f64 / rate as f64);
        let mut free = self.free.lock();
        let begin = free.map_or(now, |free| free.max(now));
        let wait = begin.saturating_duration_since(now);
        if wait > LONGEST_QUEUE.max(per_byte(SHORTEST_QUEUE)) {
            return None;
        }
        let sent = begin + per_byte(bytes as u64);
        *free = Some(sent);
        Some(sent.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::plan::{Part, Plan, SharedPlan};
    use crate::rules::table::FaultTable;

    fn table(text: &str, before: &FaultTable, now: Instant) -> FaultTable {
        let plan: Plan = text.parse().unwrap();
        let part = Part {
            id: "1".into(),
            lease: None,
            beat: 0,
            plan,
        };
        let shared = SharedPlan {
            version: 1,
            parts: vec![part],
        };
        FaultTable::new(&shared, before, now)
    }

    /// Delays in milliseconds of 1,000-byte datagrams that are sent together.
    fn sent(text: &str, count: usize) -> Vec<Vec<u128>> {
        let now = Instant::now();
        let link = table(text, &FaultTable::default(), now).link("α", "β");
        let link = link.expect("it has a rule");
        let one = || {
            let fate = link.send(1_000, now);
            fate.sent_at().map(|at| (at - now).as_millis()).collect()
        };
        (0..count).map(|_| one()).collect()
    }

    #[test]
    fn each_fault_decides_about_datagrams() {
        assert_eq!(sent("cut α -> β", 2), [[], []] as [[u128; 0]; 2]);
        assert_eq!(sent("delay α -> β 50ms", 2), [[50], [50]]);
        assert_eq!(sent("duplicate α -> β 100%", 1), [[0, 0]]);
        assert_eq!(sent("rate α -> β 100kB/s", 3), [[10], [20], [30]]);
        assert_eq!(sent("delay α -> β 5ms\ndelay * -> * 6ms", 1), [[11]]);
        assert_eq!(
            sent("lose α -> β 100%\nduplicate α -> β 100%", 1),
            [[]] as [[u128; 0]; 1]
        );
    }

    #[test]
    fn a_full_queue_loses() {
        // 64 KiB at 100 kB/s: 65 datagrams wait, the 67th does not fit.
        let sent = sent("rate α -> β 100kB/s", 100);
        let lost = sent.iter().position(Vec::is_empty).expect("one is lost");
        assert!((60..70).contains(&lost), "{lost}");
    }

    #[test]
    fn delays_keep_the_order_and_reordering_does_not() {
        let jittered = sent("seed 4\ndelay α -> β 1ms jitter 100ms", 100).concat();
        assert!(
            jittered.is_sorted() && jittered[0] < jittered[99],
            "{jittered:?}"
        );
        let reordered = sent("seed 3\nreorder α -> β 20% by 10ms", 100).concat();
        let late = reordered.iter().filter(|late| **late == 10).count();
        assert!(
            (5..40).contains(&late) && !reordered.is_sorted(),
            "{reordered:?}"
        );
    }

    #[test]
    fn a_seed_loses_the_same_datagrams_whatever_else_is_in_the_plan() {
        let lost = |text: &str| {
            sent(text, 200)
                .iter()
                .map(Vec::is_empty)
                .collect::<Vec<_>>()
        };
        let first = lost("seed 7\nlose α -> β 10%");
        assert_eq!(first, lost("seed 7\nlose α -> β 10%\nlose β -> α 50%"));
        assert_ne!(first, lost("seed 8\nlose α -> β 10%"));
        let part = first.iter().filter(|lost| **lost).count();
        assert!((5..40).contains(&part), "{part}");
    }

    #[test]
    fn other_pairs_have_no_link() {
        let now = Instant::now();
        let table = table("cut α -> β\nhold * -> *", &FaultTable::default(), now);
        assert!(table.link("α", "β").is_some_and(|link| link.is_cut(now)));
        assert!(table.link("β", "α").is_none());
    }

    #[test]
    fn a_rule_that_stays_keeps_its_counts_and_its_time() {
        let now = Instant::now();
        let first = table("cut α -> β for 1s", &FaultTable::default(), now);
        let link = first.link("α", "β").unwrap();
        link.send(1, now);
        let later = now + Duration::from_millis(900);
        let next = table("cut α -> β for 1s\ncut β -> α", &first, later);
        let hits = next.rules()[0].counts.hit.load(Relaxed);
        assert_eq!(hits, 1);
        let over = now + Duration::from_secs(1);
        let link = next.link("α", "β").unwrap();
        assert!(link.is_cut(later) && !link.is_cut(over));
        assert_eq!(link.cut_until(later), Some(over));
        assert_eq!(link.cut_until(over), Some(over));
        let back = next.link("β", "α").unwrap();
        assert_eq!(back.cut_until(later), None);
    }
}
