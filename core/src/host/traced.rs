//! What a host tells the recorder about its own life, and about the rules of faults that are in force.
//!
//! Owns the way from the table of rules to events. Never enforces a rule.

use std::sync::Arc;

use crate::context::rules::InForce;
use crate::host::inner::HostInner;
use crate::rules::table::Active;
use crate::trace::EventKind;
use crate::trace::host_trace::RulesInForce;

impl HostInner {
    /// Its caller is about to have it.
    pub(crate) fn record_made(&self) {
        let rules = || self.context().rules.in_force();
        self.trace().made(|| rules().map(|rules| told(&rules)));
    }

    /// It has ended; the number was reserved before.
    pub(super) fn record_end(&self, number: Option<u64>) {
        self.trace().ended(number, || {
            let in_force = self.context().rules.in_force();
            in_force.map_or_else(Vec::new, |rules| self.counts(&rules, |_| true))
        });
    }

    /// Other rules are in force than `before`; the number was reserved before they were.
    pub(crate) fn record_rules(&self, number: Option<u64>, before: Option<&InForce>) {
        let Some(now) = self.context().rules.in_force() else {
            return;
        };
        if self.trace().faults(number, told(&now))
            && let Some(before) = before
        {
            let kept = |rule: &Arc<Active>| {
                let mut rules = now.table.rules().iter();
                rules.any(|active| Arc::ptr_eq(active, rule))
            };
            for counted in self.counts(before, |rule| !kept(rule)) {
                self.trace().record(|| counted);
            }
        }
    }

    /// What those rules have done for which `over` holds and which are about this host.
    fn counts(&self, rules: &InForce, over: impl Fn(&Arc<Active>) -> bool) -> Vec<EventKind> {
        let name = self.home().host();
        let concerns = |rule: &Active| rule.rule.from.matches(name) || rule.rule.to.matches(name);
        let rules = rules.table.rules().iter();
        let rules = rules.filter(|rule| concerns(rule) && over(rule));
        let counts = rules.map(|rule| {
            let counts = rule.counts.get();
            EventKind::FaultCounted {
                rule: rule.text().into(),
                matched: counts.matched,
                hit: counts.hit,
            }
        });
        counts.collect()
    }
}

/// The rules, as they are recorded.
fn told(in_force: &InForce) -> RulesInForce {
    let rules = in_force.table.rules().iter();
    RulesInForce {
        generation: in_force.generation,
        version: in_force.table.version(),
        rules: rules.map(|rule| rule.text().into()).collect(),
    }
}
