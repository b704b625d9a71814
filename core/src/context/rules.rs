//! The rules of faults that are in force on a subnetwork.
//!
//! Owns the current table, its generation, and which rules the core has to enforce itself. Never
//! decides about a dial or a connection: hosts do.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::context::fault_counts::FaultCounts;
use crate::rules::rule::{Fault, Rule};
use crate::rules::table::{Active, FaultTable};
use crate::{Addr, Enforced, Engine};

/// The rules in force, and who waits for others.
#[derive(Default)]
pub(crate) struct Rules {
    /// Larger with each table; 0 until the first.
    generation: AtomicU64,
    /// Held while a table is swapped in.
    in_force: Mutex<Option<Arc<InForce>>>,
    changed: Notify,
    pub(crate) counts: FaultCounts,
}

/// A table, and how the engine takes part.
pub(crate) struct InForce {
    pub(crate) generation: u64,
    pub(crate) table: Arc<FaultTable>,
    engine: Enforced,
    /// A connection ends after so much silence.
    pub(crate) idle: Duration,
}

/// A rule that a subnetwork cannot enforce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unenforced {
    pub(crate) rule: String,
    pub(crate) why: &'static str,
}

impl fmt::Display for Unenforced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.why)
    }
}

impl Rules {
    /// Larger with each table; 0 if there was none yet.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// The rules in force; `None` if there never was a table.
    pub(crate) fn in_force(&self) -> Option<Arc<InForce>> {
        match self.generation() {
            0 => None,
            _ => self.in_force.lock().clone(),
        }
    }

    /// Swaps `table` in, here and in `engine`, unless one of its rules can be enforced by neither.
    /// The caller then visits the connections.
    pub(crate) fn swap(
        &self,
        engine: &dyn Engine,
        table: &Arc<FaultTable>,
    ) -> Result<(), Vec<Unenforced>> {
        let mut in_force = self.in_force.lock();
        let enforced = match &*in_force {
            Some(before) => before.engine,
            // Without rules, only to learn what it enforces: if a rule is refused, nothing has changed.
            None => engine.vnet_enforce(&Arc::default()),
        };
        let rules = table.rules().iter();
        let refused: Vec<_> = rules
            .filter_map(|active| refused(active, enforced))
            .collect();
        if !refused.is_empty() {
            return Err(refused);
        }
        engine.vnet_enforce(table);
        let generation = self.generation() + 1;
        *in_force = Some(Arc::new(InForce {
            generation,
            table: Arc::clone(table),
            engine: enforced,
            idle: engine.idle_bound(),
        }));
        self.generation.store(generation, Ordering::Release);
        drop(in_force);
        self.changed.notify_waiters();
        tracing::debug!(
            version = table.version(),
            rules = table.rules().len(),
            "fault rules in force"
        );
        Ok(())
    }

    /// Waits until another table is in force than that of `generation`.
    pub(crate) async fn changed(&self, generation: u64) {
        // Made before the check, so that a swap in between is not missed.
        let changed = self.changed.notified();
        if self.generation() == generation {
            changed.await;
        }
    }
}

impl Rules {
    /// Waits until another table is in force than `in_force`, or until `until`.
    pub(crate) async fn wait(&self, in_force: &InForce, until: Option<Instant>) {
        self.wait_by(in_force, until, None).await;
    }

    /// Waits as [`wait`](Rules::wait) does, but no longer than until `by`; true if that came first.
    pub(crate) async fn wait_by(
        &self,
        in_force: &InForce,
        until: Option<Instant>,
        by: Option<Instant>,
    ) -> bool {
        let first = [until, by].into_iter().flatten().min();
        let changed = self.changed(in_force.generation);
        match first {
            None => changed.await,
            Some(first) => drop(timeout_at(first, changed).await),
        }
        by.is_some_and(|by| Instant::now() >= by)
            && self.generation() == in_force.generation
            && until.is_none_or(|until| by <= Some(until))
    }
}

/// Why a rule cannot be enforced over an engine, if it cannot.
fn refused(active: &Active, engine: Enforced) -> Option<Unenforced> {
    let why = match (active.rule.fault, engine) {
        (_, Enforced::Datagrams) => return None,
        (Fault::Lose(_) | Fault::Duplicate(_) | Fault::Reorder(..), _) => {
            "this engine has no datagrams"
        }
        (Fault::Delay { .. }, Enforced::Nothing) => "this engine cannot delay",
        _ => return None,
    };
    Some(Unenforced {
        rule: active.text().to_owned(),
        why,
    })
}

impl InForce {
    /// The rules that the core enforces on what `from` sends to `to`.
    pub(crate) fn of(&self, from: &Addr, to: &Addr) -> impl Iterator<Item = Arc<Active>> + use<> {
        let rules = self.table.rules_of(from.host(), to.host());
        let engine = self.engine;
        (0..rules.len())
            .map(move |place| Arc::clone(&rules[place]))
            .filter(move |active| is_the_cores(&active.rule, engine))
    }
}

/// Whether the core enforces the rule, on connections.
fn is_the_cores(rule: &Rule, engine: Enforced) -> bool {
    match rule.fault {
        Fault::Cut | Fault::Rate(_) => !rule.is_on_datagrams() || engine != Enforced::Datagrams,
        _ => !rule.is_on_datagrams(),
    }
}
