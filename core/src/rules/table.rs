//! The rules that are in force, as engines and connections ask for them.
//!
//! Owns [`FaultTable`], and what each rule has done. Never changes: a new plan makes a new table, which takes
//! over the counts of the rules that stay.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::Addr;
use crate::faults::pairs::Pair;
use crate::rules::chance::Stream;
use crate::rules::link::{Link, PairState};
use crate::rules::plan::{Part, Plan, PlanError, SharedPlan};
use crate::rules::rule::Rule;

/// The rules of a network's plan that one subnetwork enforces.
///
/// An engine that carries datagrams gets it by [`Engine::vnet_enforce`](crate::Engine::vnet_enforce)
/// and asks it for the [`Link`] of each ordered pair of hosts.
#[derive(Debug, Default)]
pub struct FaultTable {
    version: u64,
    rules: Vec<Arc<Active>>,
    /// Some rule is on datagrams.
    datagrams: bool,
    links: Mutex<ByPair<Option<Arc<Link>>>>,
    /// The rules of each ordered pair that was asked for.
    by_pair: Mutex<ByPair<Arc<[Arc<Active>]>>>,
}

/// Something for each ordered pair of hosts that was asked for.
type ByPair<T> = HashMap<(Box<str>, Box<str>), T>;

/// A rule that is in force.
#[derive(Debug)]
pub(crate) struct Active {
    /// Of which part of the plan, and its place there.
    part: String,
    place: usize,
    pub(crate) rule: Rule,
    text: String,
    seed: u64,
    since: Instant,
    pub(crate) counts: Counts,
    pairs: Mutex<ByPair<Arc<PairState>>>,
}

/// What a rule has done so far, in one subnetwork.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleCounts {
    /// Datagrams, dials, connections or bytes that it was asked about.
    pub matched: u64,
    /// Those that it did something to.
    pub hit: u64,
}

/// The counters behind [`RuleCounts`].
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Datagrams, dials, connections or bytes that it was asked about.
    pub(crate) matched: AtomicU64,
    /// Those that it did something to.
    pub(crate) hit: AtomicU64,
}

impl Counts {
    pub(crate) fn get(&self) -> RuleCounts {
        RuleCounts {
            matched: self.matched.load(Relaxed),
            hit: self.hit.load(Relaxed),
        }
    }

    pub(crate) fn matched(&self) {
        self.matched.fetch_add(1, Relaxed);
    }

    pub(crate) fn hit(&self) {
        self.hit.fetch_add(1, Relaxed);
    }
}

impl Active {
    /// Of which part of the plan it is, and its place there.
    pub(crate) fn place(&self) -> (&str, usize) {
        (&self.part, self.place)
    }

    /// The ordered pairs of hosts that had traffic under it, here.
    pub(crate) fn pairs_seen(&self) -> Vec<Pair> {
        let pairs = self.pairs.lock();
        let pairs = pairs.keys();
        pairs
            .map(|(from, to)| (from.to_string(), to.to_string()))
            .collect()
    }

    /// It is not over.
    pub(crate) fn is_in_force(&self, now: Instant) -> bool {
        let lasting = self.rule.lasting;
        lasting.is_none_or(|lasting| now.saturating_duration_since(self.since) < lasting)
    }

    /// When it is over, if it lasts for a time only.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.since.checked_add(self.rule.lasting?)
    }

    /// Its counters and random stream for an ordered pair of hosts.
    pub(crate) fn pair(&self, from: &str, to: &str) -> Arc<PairState> {
        let mut pairs = self.pairs.lock();
        let pair = pairs.entry((from.into(), to.into())).or_insert_with(|| {
            let stream = Stream::new(self.seed, &self.text, from, to);
            Arc::new(PairState::new(stream))
        });
        Arc::clone(pair)
    }

    /// Its random stream for one connection, in one direction: of the addresses, so that it is the
    /// same on every run.
    pub(crate) fn stream(&self, from: &Addr, to: &Addr) -> Stream {
        Stream::new(self.seed, &self.text, &from.to_string(), &to.to_string())
    }

    /// Its text, as in the plan.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// A pattern never means what a host sends to itself; its name, given twice, does.
    pub(crate) fn matches(&self, from: &str, to: &str) -> bool {
        let Rule {
            from: one,
            to: other,
            ..
        } = &self.rule;
        let names = || one.name().is_some() && other.name().is_some();
        let is_on_traffic = !self.rule.is_on_programs();
        is_on_traffic && one.matches(from) && other.matches(to) && (from != to || names())
    }
}

impl FaultTable {
    /// The table of one plan, in force from now on. Subnetworks make their tables themselves; this is for
    /// the tests of an engine:
    ///
    /// ```
    /// use tokio::time::Instant;
    /// use virtnet_core::faults::{FaultTable, Plan, Rule};
    ///
    /// let table = FaultTable::of(&Plan::from(Rule::lose("α", "β", 1.0)))?;
    /// let link = table.link("α", "β").expect("it has a rule");
    /// assert_eq!(link.send(1_200, Instant::now()).sent_at().count(), 0);
    /// let (rule, counts) = table.counts().next().expect("it has a rule");
    /// assert_eq!((rule.to_string(), counts.hit), ("lose α -> β 100%".to_owned(), 1));
    /// # Ok::<(), virtnet_core::faults::PlanError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the parts of a rule do not go together.
    pub fn of(plan: &Plan) -> Result<FaultTable, PlanError> {
        FaultTable::default().followed_by(plan)
    }

    /// The table of `plan`, in place of this one. A rule with the same place in both plans, under the same seed, keeps
    /// its counts and its time.
    ///
    /// # Errors
    ///
    /// If the parts of a rule do not go together.
    pub fn followed_by(&self, plan: &Plan) -> Result<FaultTable, PlanError> {
        plan.check()?;
        let part = Part {
            id: String::new(),
            lease: None,
            beat: 0,
            plan: plan.clone(),
        };
        let shared = SharedPlan {
            version: self.version + 1,
            parts: vec![part],
        };
        Ok(FaultTable::new(&shared, self, Instant::now()))
    }

    /// What each rule has done so far, in the plan's order.
    pub fn counts(&self) -> impl Iterator<Item = (&Rule, RuleCounts)> {
        let rules = self.rules.iter();
        rules.map(|active| (&active.rule, active.counts.get()))
    }

    /// The table of `shared`. Rules that were in `before` keep their counts and their time.
    pub(crate) fn new(shared: &SharedPlan, before: &FaultTable, now: Instant) -> FaultTable {
        let mut rules = Vec::with_capacity(shared.rules());
        for part in &shared.parts {
            for (place, rule) in part.plan.rules().iter().enumerate() {
                let seed = part.plan.seeded();
                let kept = before.rules.iter().find(|active| {
                    active.place == place
                        && active.part == part.id
                        && active.seed == seed
                        && active.rule == *rule
                });
                rules.push(kept.cloned().unwrap_or_else(|| {
                    Arc::new(Active {
                        part: part.id.clone(),
                        place,
                        text: rule.to_string(),
                        rule: rule.clone(),
                        seed,
                        since: now,
                        counts: Counts::default(),
                        pairs: Mutex::default(),
                    })
                }));
            }
        }
        FaultTable {
            version: shared.version,
            datagrams: rules.iter().any(|active| active.rule.is_on_datagrams()),
            rules,
            links: Mutex::default(),
            by_pair: Mutex::default(),
        }
    }

    /// The version of the plan that it was made of.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether some rule on datagrams is for what this host sends or receives. If none is, it has no
    /// link.
    pub fn has_datagram_rules_for(&self, host: &str) -> bool {
        let rules = self.rules.iter().map(|active| &active.rule);
        let mut rules = rules.filter(|rule| rule.is_on_datagrams());
        rules.any(|rule| rule.from.matches(host) || rule.to.matches(host))
    }

    /// Whether it has no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(crate) fn rules(&self) -> &[Arc<Active>] {
        &self.rules
    }

    /// All rules for what `from` sends to `to`, in the plan's order.
    pub(crate) fn rules_of(&self, from: &str, to: &str) -> Arc<[Arc<Active>]> {
        if self.rules.is_empty() {
            return Arc::default();
        }
        let mut by_pair = self.by_pair.lock();
        let rules = by_pair.entry((from.into(), to.into())).or_insert_with(|| {
            let rules = self.rules.iter();
            rules
                .filter(|active| active.matches(from, to))
                .cloned()
                .collect()
        });
        Arc::clone(rules)
    }

    /// The rules for datagrams that `from` sends to `to`; `None` if there is none.
    pub fn link(&self, from: &str, to: &str) -> Option<Arc<Link>> {
        if !self.datagrams {
            return None;
        }
        let mut links = self.links.lock();
        let link = links.entry((from.into(), to.into())).or_insert_with(|| {
            let rules = self.rules.iter();
            let rules =
                rules.filter(|active| active.rule.is_on_datagrams() && active.matches(from, to));
            let rules: Vec<_> = rules
                .map(|active| (Arc::clone(active), active.pair(from, to)))
                .collect();
            (!rules.is_empty()).then(|| Arc::new(Link::new(rules)))
        });
        link.clone()
    }
}
