//! Which healed pairs still have to answer, and up to which version of the plan all have.
//!
//! Owns the list of these pairs. Never sends anything: the subnetwork asks the hosts.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::faults::pairs::Pair;
use crate::rules::rule::{Fault, Rule, Scope};
use crate::rules::table::{Active, FaultTable};

/// The most pairs that one member asks at a time, and in all: then it asks about the first ones.
const AT_ONCE: usize = 32;
const MOST: usize = 1_024;

/// How many pairs a member's document shows.
pub(crate) const SHOWN: usize = 64;

/// The healed pairs of one member.
#[derive(Default)]
pub(crate) struct Recovery {
    /// Those that have not answered.
    silent: HashSet<Pair>,
    /// Those of them that nobody asks yet.
    waiting: VecDeque<Pair>,
    /// Up to this version all have answered.
    version: u64,
}

impl Recovery {
    /// Rules have `left`; now `table` is in force, and nothing of it stops an answer. Only hosts that are
    /// `own` can ask.
    pub(crate) fn healed(
        &mut self,
        left: &[Arc<Active>],
        table: &FaultTable,
        own: impl Fn(&str) -> bool,
    ) {
        for active in left.iter().filter(|active| silences(&active.rule)) {
            let rule = &active.rule;
            let named = rule.from.name().zip(rule.to.name());
            let named = named.map(|(from, to)| (from.to_owned(), to.to_owned()));
            for (from, to) in active.pairs_seen().into_iter().chain(named) {
                for pair in [(from.clone(), to.clone()), (to, from)] {
                    if own(&pair.0) && self.silent.len() < MOST && self.silent.insert(pair.clone())
                    {
                        self.waiting.push_back(pair);
                    }
                }
            }
        }
        let stopped = |from: &str, to: &str| {
            let mut rules = table.rules().iter();
            rules.any(|active| stops(&active.rule) && active.matches(from, to))
        };
        self.silent
            .retain(|(from, to)| !stopped(from, to) && !stopped(to, from));
        self.settle(table);
    }

    /// A pair was asked. It is asked again, after the others, if it did not answer.
    pub(crate) fn asked(&mut self, pair: Pair, answered: bool, table: &FaultTable) {
        if answered {
            self.silent.remove(&pair);
        } else {
            self.waiting.push_back(pair);
        }
        self.settle(table);
    }

    fn settle(&mut self, table: &FaultTable) {
        let silent = &self.silent;
        self.waiting.retain(|pair| silent.contains(pair));
        if silent.is_empty() {
            self.version = table.version();
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Some pairs that have not answered, sorted.
    pub(crate) fn silent(&self) -> Vec<Pair> {
        let mut silent: Vec<_> = self.silent.iter().cloned().collect();
        silent.sort_unstable();
        silent.truncate(SHOWN);
        silent
    }

    /// The next pair to ask, if not too many are asked.
    pub(crate) fn next(&mut self, running: usize) -> Option<Pair> {
        (running < AT_ONCE).then(|| self.waiting.pop_front())?
    }
}

/// Whether hosts may not hear each other for a while after the rule.
fn silences(rule: &Rule) -> bool {
    let slows = matches!(rule.fault, Fault::Delay { .. } | Fault::Rate(_));
    stops(rule) || slows && is_whole(rule)
}

/// Whether hosts may not hear each other under the rule.
fn stops(rule: &Rule) -> bool {
    let stops = matches!(rule.fault, Fault::Cut | Fault::Hold | Fault::Lose(_));
    stops && is_whole(rule)
}

/// Whether it is for all that the hosts send.
fn is_whole(rule: &Rule) -> bool {
    rule.scope == Scope::All && rule.dials.is_none() && rule.after == 0
}
