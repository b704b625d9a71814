//! What did not happen as it should have, and what a reader needs to see why.
//!
//! Owns the text of [`Mismatch`]. Never compares.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use crate::report;
use crate::trace::event::EventKind;
use crate::trace::expect::diff::Diff;
use crate::trace::expect::pattern::Pattern;
use crate::trace::merge::Trace;

/// How many events are shown of those that led to one, that were left, and that were open.
const SHOWN: usize = 5;
const MOST: usize = 20;

/// A trace that is not as it was expected ([`Check::finish`](crate::trace::Check::finish)).
///
/// Its text says what differs: for a sequence a diff, in which `-` is an expected line that is missing and `+` an
/// event that was not expected there; what led to the first such event; then which dials, connections
/// and listeners were open at the end of the trace, and which faults were in force.
#[derive(Clone, PartialEq, Eq)]
pub struct Mismatch {
    text: String,
    /// Of every event.
    lines: Vec<String>,
    /// The events that led to each directly.
    causes: Vec<Vec<usize>>,
    /// What was open, and the faults in force.
    end: String,
}

impl Mismatch {
    /// Without anything that differs, unless the trace has holes or contradictions.
    pub(super) fn new(trace: &Trace) -> Mismatch {
        let events = trace.events().iter();
        let causes = events.map(|traced| traced.previous.into_iter().chain(traced.cause).collect());
        let mut mismatch = Mismatch {
            text: String::new(),
            lines: trace
                .events()
                .iter()
                .map(|traced| traced.event.to_string())
                .collect(),
            causes: causes.collect(),
            end: end(trace),
        };
        if trace.dropped() > 0 {
            let holes = format!(
                "the trace has holes: {} events were dropped",
                trace.dropped()
            );
            mismatch.say(&holes);
        }
        for contradiction in trace.contradictions() {
            mismatch.say(&contradiction);
        }
        mismatch
    }

    /// Nothing differs so far.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(super) fn say(&mut self, what: &str) {
        self.text.push_str(what.trim_end());
        self.text.push('\n');
    }

    pub(super) fn sequence(&mut self, channel: &str, diff: &Diff, seen: &[usize]) {
        let order = match diff.is_empty() {
            true => ", in an order that its causes do not allow",
            false => "",
        };
        self.say(&format!(
            "{channel}: expected (-) and seen (+){order}\n{diff}"
        ));
        if let Some(extra) = diff.first_extra() {
            self.led_to(seen[extra]);
        }
    }

    /// Shows the last events that led to this one.
    fn led_to(&mut self, index: usize) {
        let (mut next, mut led) = (BTreeSet::from([index]), BTreeSet::new());
        while let Some(last) = next.pop_last().filter(|_| led.len() < SHOWN) {
            for cause in &self.causes[last] {
                next.insert(*cause);
                led.insert(*cause);
            }
        }
        let mut text = format!("what led to {:?}:\n", self.lines[index]);
        let first = led.len().saturating_sub(SHOWN);
        for index in led.iter().skip(first) {
            let _ = writeln!(text, "  {}", self.lines[*index]);
        }
        if led.is_empty() {
            text += "  nothing\n";
        }
        self.say(&text);
    }

    pub(super) fn never(&mut self, pattern: &Pattern, index: usize) {
        let line = &self.lines[index];
        self.say(&format!(
            "expected never {:?}, got {line:?}",
            pattern.to_string()
        ));
        self.led_to(index);
    }

    pub(super) fn not_one(&mut self, pattern: &Pattern, found: &[usize]) {
        let found = found
            .iter()
            .map(|index| format!("{:?}", self.lines[*index]));
        let found: Vec<_> = found.take(MOST).collect();
        let got = match found.is_empty() {
            true => "none".to_owned(),
            false => found.join(", "),
        };
        self.say(&format!(
            "expected one event {:?}, got {got}",
            pattern.to_string()
        ));
    }

    pub(super) fn not_before(&mut self, first: usize, then: usize, is_after: bool) {
        let how = match is_after {
            true => "it is the other way round",
            false => "neither led to the other",
        };
        let (first, then) = (&self.lines[first], &self.lines[then]);
        self.say(&format!("expected {first:?} before {then:?}, but {how}"));
    }

    pub(super) fn ordered(&mut self, first: usize, then: usize) {
        let (first, then) = (&self.lines[first], &self.lines[then]);
        self.say(&format!(
            "expected concurrent events, but {first:?} led to {then:?}"
        ));
    }

    pub(super) fn no_effect(&mut self, cause: usize, effect: &Pattern) {
        let (cause, effect) = (&self.lines[cause], effect.to_string());
        self.say(&format!(
            "expected {cause:?} to lead to {effect:?}, which it did not"
        ));
    }

    pub(super) fn left(&mut self, left: &BTreeSet<usize>) {
        let mut text = "events that nobody expected:\n".to_owned();
        for index in left.iter().take(MOST) {
            let _ = writeln!(text, "+ {}", self.lines[*index]);
        }
        if left.len() > MOST {
            let _ = writeln!(text, "  … and {} more", left.len() - MOST);
        }
        self.say(&text);
    }

    pub(super) fn result(self) -> Result<(), Mismatch> {
        match self.is_empty() {
            true => Ok(()),
            false => Err(self),
        }
    }
}

/// What is open when the trace ends, and the faults in force then.
fn end(trace: &Trace) -> String {
    let (mut open, mut faults) = (BTreeMap::new(), BTreeMap::new());
    for traced in trace.events() {
        let event = &traced.event;
        match &event.kind {
            EventKind::Listening { addr } => drop(open.insert(addr.to_string(), event)),
            EventKind::ListenerClosed { addr } => drop(open.remove(&addr.to_string())),
            EventKind::Dialing { src, .. } => drop(open.insert(src.to_string(), event)),
            EventKind::DialFailed { src, .. } | EventKind::DialGivenUp { src, .. } => {
                open.remove(&src.to_string());
            }
            EventKind::Connected { end, .. } | EventKind::Accepted { end, .. } => {
                open.insert(end.local.to_string(), event);
            }
            EventKind::Closed { end, .. } => drop(open.remove(&end.local.to_string())),
            EventKind::FaultsInForce { rules, .. } => {
                for rule in rules {
                    faults.insert(rule.clone(), event.host.clone());
                }
                faults.retain(|rule, host| *host != event.host || rules.contains(rule));
            }
            _ => {}
        }
    }
    let mut text = String::new();
    let mut list = |what: &str, lines: Vec<String>| {
        for (at, line) in lines.iter().enumerate().take(MOST) {
            if at == 0 {
                let _ = writeln!(text, "{what}:");
            }
            let _ = writeln!(text, "  {line}");
        }
    };
    list(
        "open at the end",
        open.values().map(ToString::to_string).collect(),
    );
    list(
        "faults in force",
        faults.keys().map(ToString::to_string).collect(),
    );
    text
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the trace is not as expected")?;
        f.write_str(&self.text)?;
        f.write_str(self.end.trim_end())
    }
}

impl fmt::Debug for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        report(self, f)
    }
}

impl std::error::Error for Mismatch {}
