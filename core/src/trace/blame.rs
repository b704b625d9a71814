//! Which rule of faults led to an event of its host.
//!
//! Owns the edges from a rule's coming in force to what it did: a failure, and its counts. Never says more than that the rule can
//! have done it; never looks at clocks.

use std::collections::HashMap;
use std::sync::Arc;

use crate::rules::rule::{Fault, Rule, Scope};
use crate::trace::event::{End, EventKind};
use crate::trace::merge::Traced;
use crate::{Addr, Cause};

/// The rules that are in force at a host, as its events tell.
#[derive(Default)]
struct InForce {
    rules: Vec<Known>,
    /// Rules that are not in force any more, until they are counted.
    over: HashMap<Arc<str>, usize>,
    /// The port that was dialed, of each end.
    dialed: HashMap<End, u16>,
}

/// A rule, and the event since which it is in force.
struct Known {
    text: Arc<str>,
    /// `None` if it is of another version of this program.
    rule: Option<Rule>,
    since: usize,
}

/// The edges, as indices of cause and effect, at the same host each.
pub(super) fn blame(events: &[Traced]) -> Vec<(usize, usize)> {
    let is_fault = |traced: &Traced| matches!(traced.event.kind, EventKind::FaultsInForce { .. });
    if !events.iter().any(is_fault) {
        return Vec::new();
    }
    let mut hosts: HashMap<(&str, &str), InForce> = HashMap::new();
    let mut edges = Vec::new();
    for (index, traced) in events.iter().enumerate() {
        let host = (&*traced.event.host, &*traced.process);
        let known = hosts.entry(host).or_default();
        let cause = match &traced.event.kind {
            EventKind::FaultsInForce { rules, .. } => {
                known.change(index, rules);
                None
            }
            kind => known.cause(kind),
        };
        edges.extend(cause.map(|cause| (cause, index)));
    }
    edges
}

impl InForce {
    fn change(&mut self, index: usize, rules: &[Arc<str>]) {
        let mut before = std::mem::take(&mut self.rules);
        for text in rules {
            let kept = before.iter().position(|known| known.text == *text);
            self.rules.push(match kept {
                Some(place) => before.swap_remove(place),
                None => Known {
                    text: Arc::clone(text),
                    rule: text.parse().ok(),
                    since: index,
                },
            });
        }
        let over = before.into_iter().map(|known| (known.text, known.since));
        self.over.extend(over);
    }

    fn cause(&mut self, kind: &EventKind) -> Option<usize> {
        match kind {
            EventKind::Connected { end, dst: dialed } => {
                self.dialed.insert(end.clone(), dialed.port());
                None
            }
            EventKind::Accepted { end, listener } => {
                self.dialed.insert(end.clone(), listener.port());
                None
            }
            EventKind::DialFailed { src, dst, cause } => {
                let fault = fault_of(*cause, Fault::Refuse)?;
                let is_its = |rule: &Rule, from: &Addr, to: &Addr| match rule.scope {
                    Scope::Port(port) => port == dst.port(),
                    _ => is_between(rule, from, to),
                };
                self.find(|rule| rule.fault == fault && either(rule, src, dst, is_its))
            }
            EventKind::ReadFailed { end, cause, .. }
            | EventKind::WriteFailed { end, cause, .. } => {
                let fault = fault_of(*cause, Fault::Reset)?;
                let dialed = self.dialed.get(end).copied();
                let is_its = |rule: &Rule, from: &Addr, to: &Addr| match rule.scope {
                    Scope::Port(port) => dialed == Some(port),
                    _ => rule.dials.is_none() && is_between(rule, from, to),
                };
                let (local, peer) = (&end.local, &end.peer);
                self.find(|rule| rule.fault == fault && either(rule, local, peer, is_its))
            }
            EventKind::FaultCounted { rule, .. } => {
                let over = self.over.remove(rule);
                let mut rules = self.rules.iter();
                let mut known = || rules.find(|known| known.text == *rule);
                over.or_else(|| Some(known()?.since))
            }
            _ => None,
        }
    }

    /// Since when the first rule is in force for which `is_it` holds.
    fn find(&self, is_it: impl Fn(&Rule) -> bool) -> Option<usize> {
        let mut rules = self.rules.iter();
        let found = rules.find(|known| known.rule.as_ref().is_some_and(&is_it));
        found.map(|known| known.since)
    }
}

/// The fault that has this effect; `told` is the one that tells its peer.
fn fault_of(cause: Cause, told: Fault) -> Option<Fault> {
    match (cause, told) {
        (Cause::TimedOut, _) => Some(Fault::Cut),
        (Cause::ConnectionRefused, Fault::Refuse) | (Cause::ConnectionCut, Fault::Reset) => {
            Some(told)
        }
        _ => None,
    }
}

/// Whether the rule is for one of the directions between two addresses.
fn either(
    rule: &Rule,
    one: &Addr,
    other: &Addr,
    is_its: impl Fn(&Rule, &Addr, &Addr) -> bool,
) -> bool {
    [(one, other), (other, one)].into_iter().any(|(from, to)| {
        let hosts = rule.from.matches(from.host()) && rule.to.matches(to.host());
        hosts && is_its(rule, from, to)
    })
}

fn is_between(rule: &Rule, from: &Addr, to: &Addr) -> bool {
    match rule.scope {
        Scope::Conn(one, other) => (one, other) == (from.port(), to.port()),
        _ => true,
    }
}
