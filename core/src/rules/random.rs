//! Random plans for long runs: which faults come when, and when they heal.
//!
//! Owns what the seed decides. Never sets a plan: [`Faults::follow`](crate::faults::Faults::follow) does.

use std::fmt;
use std::time::Duration;

use crate::rules::chance::Stream;
use crate::rules::pairs::{self, Pair, shuffled};
use crate::rules::plan::Plan;
use crate::rules::rule::Rule;

/// How many faults a random plan has unless it is told otherwise.
const FAULTS: usize = 8;

/// The pause between its steps: from a tenth of this to this.
const PAUSE: Duration = Duration::from_secs(2);

/// A kind of fault that a random plan may have: the first word of its rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each is the rule of that name")]
pub enum Kind {
    Cut,
    Hold,
    Refuse,
    Reset,
    Delay,
    Rate,
    Lose,
    Duplicate,
    Reorder,
    Corrupt,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 10] = [
        Kind::Cut,
        Kind::Hold,
        Kind::Refuse,
        Kind::Reset,
        Kind::Delay,
        Kind::Rate,
        Kind::Lose,
        Kind::Duplicate,
        Kind::Reorder,
        Kind::Corrupt,
    ];

    /// The kinds that every engine has: those that need no datagrams, and change no data.
    pub const WITHOUT_DATAGRAMS: [Kind; 6] = [
        Kind::Cut,
        Kind::Hold,
        Kind::Refuse,
        Kind::Reset,
        Kind::Delay,
        Kind::Rate,
    ];
}

/// What [`random_plan`] may use.
#[derive(Debug, Clone)]
#[must_use]
pub struct RandomOptions {
    kinds: Vec<Kind>,
    faults: usize,
    pause: Duration,
}

impl Default for RandomOptions {
    fn default() -> RandomOptions {
        RandomOptions {
            kinds: Kind::ALL.to_vec(),
            faults: FAULTS,
            pause: PAUSE,
        }
    }
}

impl RandomOptions {
    /// Of the default: all kinds, 8 faults, pauses of up to 2 s.
    pub fn new() -> RandomOptions {
        RandomOptions::default()
    }

    /// Sets the kinds of which the seed picks some. Give [`Kind::WITHOUT_DATAGRAMS`] for an engine that
    /// has none, such as the in-memory one. Without a kind, there are no faults.
    pub fn kinds(mut self, kinds: &[Kind]) -> RandomOptions {
        self.kinds = kinds.to_vec();
        self
    }

    /// Sets how many faults there are in all; at most 1,000 count.
    pub fn faults(mut self, faults: usize) -> RandomOptions {
        self.faults = faults.min(1_000);
        self
    }

    /// Sets the longest pause between two steps.
    pub fn pause(mut self, pause: Duration) -> RandomOptions {
        self.pause = pause;
        self
    }
}

/// A step of a random plan: after a pause, this plan is in force in place of the one before.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The pause before it.
    pub after: Duration,
    /// All rules that are in force from then on; in the last step none.
    pub plan: Plan,
}

impl fmt::Display for Step {
    /// Such as `after 1.2s: cut α -> β, cut β -> α`, or `after 1.2s: nothing`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {:?}:", self.after)?;
        let mut separator = " ";
        for rule in self.plan.rules() {
            write!(f, "{separator}{rule}")?;
            separator = ", ";
        }
        match self.plan.rules() {
            [] => f.write_str(" nothing"),
            _ => Ok(()),
        }
    }
}

/// Faults between `hosts` that come and go, for a long run; [`Faults::follow`](crate::faults::Faults::follow)
/// sets them. The same seed, hosts and options
/// make the same steps on every machine.
///
/// Each kind of fault is left out with a chance of one half, so that runs differ in kind, and rare
/// combinations come up ("swarm testing", Groce and others, 2012); if all would be left out, one is kept. A
/// fault is on the pairs of a [shape](pairs): one direction, one host, a half, a minority, a ring or a bridge. Up
/// to three are in force at a time, and they heal in reverse order: a later fault always heals
/// under the same conditions under which it came. The last step heals everything.
///
/// ```
/// use virtnet_core::faults::{RandomOptions, random_plan};
///
/// let steps = random_plan(7, &["α", "β", "γ"], &RandomOptions::new().faults(3));
/// assert_eq!(steps, random_plan(7, &["γ", "α", "β"], &RandomOptions::new().faults(3)));
/// assert!(steps.last().unwrap().plan.rules().is_empty());
/// // Print them: they are the rules of the command and of plan files.
/// for step in &steps {
///     println!("{step}");
/// }
/// ```
pub fn random_plan(seed: u64, hosts: &[&str], options: &RandomOptions) -> Vec<Step> {
    let mut random = Random {
        stream: Stream::new(seed, "random plan", "", ""),
        nth: 0,
    };
    let hosts = shuffled(hosts, 0);
    let kinds = random.swarm(&options.kinds);
    let (mut steps, mut in_force) = (Vec::new(), Vec::<Vec<Rule>>::new());
    let mut left = options.faults;
    if kinds.is_empty() || hosts.len() < 2 {
        left = 0;
    }
    while left > 0 || !in_force.is_empty() {
        // More often a new one than not.
        let comes = left > 0 && (in_force.is_empty() || in_force.len() < 3 && random.below(3) > 0);
        if comes {
            left -= 1;
            let kind = kinds[random.below(kinds.len())];
            let pairs = random.shape(&hosts);
            let make = random.fault(kind);
            in_force.push(pairs.iter().map(|(from, to)| make(from, to)).collect());
        } else {
            in_force.pop();
        }
        let part = 10 + random.below(91) as u32;
        let rules = in_force.iter().flatten().cloned();
        steps.push(Step {
            after: options.pause / 100 * part,
            plan: rules.fold(Plan::new().seed(seed), Plan::with),
        });
    }
    steps
}

/// Makes the rule for a pair.
type MakeRule = Box<dyn Fn(&str, &str) -> Rule>;

/// Random numbers, one after the other.
struct Random {
    stream: Stream,
    nth: u64,
}

impl Random {
    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        self.nth += 1;
        let scaled = u128::from(self.stream.number(0, self.nth)) * end as u128;
        (scaled >> 64) as usize
    }

    fn millis(&mut self, from: usize, to: usize) -> Duration {
        Duration::from_millis((from + self.below(to - from + 1)) as u64)
    }

    /// About half of the kinds, and at least one.
    fn swarm(&mut self, kinds: &[Kind]) -> Vec<Kind> {
        let mut swarm = kinds.to_vec();
        swarm.retain(|_| self.below(2) == 0);
        if swarm.is_empty() && !kinds.is_empty() {
            swarm.push(kinds[self.below(kinds.len())]);
        }
        swarm
    }

    /// The pairs of a shape. Never none: shapes that need more hosts are one host's.
    fn shape(&mut self, hosts: &[&str]) -> Vec<Pair> {
        let mixed = shuffled(hosts, self.below(usize::MAX) as u64);
        let half = mixed.len() / 2;
        let shape = match self.below(6) {
            0 => pairs::one_way(&mixed[..1], &mixed[1..2]),
            1 => pairs::halves(&mixed[..half], &mixed[half..]),
            2 => pairs::minority(&mixed, self.below(usize::MAX) as u64),
            3 => pairs::majorities_ring(&mixed, self.below(usize::MAX) as u64),
            4 => pairs::bridge(&mixed),
            _ => Vec::new(),
        };
        match shape.is_empty() {
            true => pairs::isolate(mixed[0], &mixed),
            false => shape,
        }
    }

    /// How to make rules of a kind, with random figures.
    fn fault(&mut self, kind: Kind) -> MakeRule {
        match kind {
            Kind::Cut => Box::new(Rule::cut),
            Kind::Hold => Box::new(Rule::hold),
            Kind::Refuse => Box::new(Rule::refuse),
            Kind::Reset => Box::new(Rule::reset),
            Kind::Delay => {
                let (floor, jitter) = (self.millis(1, 100), self.millis(0, 50));
                Box::new(move |from, to| Rule::delay(from, to, floor).jitter(jitter))
            }
            Kind::Rate => {
                let rate = 100_000 << self.below(8);
                Box::new(move |from, to| Rule::rate(from, to, rate))
            }
            Kind::Lose => {
                let part = (1 + self.below(30)) as f64 / 100.0;
                Box::new(move |from, to| Rule::lose(from, to, part))
            }
            Kind::Duplicate => {
                let part = (1 + self.below(30)) as f64 / 100.0;
                Box::new(move |from, to| Rule::duplicate(from, to, part))
            }
            Kind::Reorder => {
                let part = (1 + self.below(30)) as f64 / 100.0;
                let by = self.millis(1, 50);
                Box::new(move |from, to| Rule::reorder(from, to, part, by))
            }
            Kind::Corrupt => {
                let part = (1 + self.below(100)) as f64 / 1e6;
                Box::new(move |from, to| Rule::corrupt(from, to, part))
            }
        }
    }
}

#[cfg(test)]
mod tests;
