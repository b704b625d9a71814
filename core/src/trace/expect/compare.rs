//! Two traces compared with each other.
//!
//! Owns [`Trace::difference`]. Never reads a file.

use crate::trace::event::Event;
use crate::trace::expect::diff::Diff;
use crate::trace::expect::golden::place;
use crate::trace::expect::pattern::Pattern;
use crate::trace::merge::Trace;

impl Trace {
    /// How `other` differs from this trace: a unified diff of the lines that a golden file has ([`Golden`](crate::trace::Golden)),
    /// without those that match one of `ignored`. `None` if they are the same.
    ///
    /// ```
    /// use virtnet_core::trace::Trace;
    ///
    /// assert_eq!(Trace::default().difference(&Trace::default(), &[]), None);
    /// ```
    pub fn difference(&self, other: &Trace, ignored: &[Pattern]) -> Option<String> {
        let (one, other) = (by_place(self, ignored), by_place(other, ignored));
        let exactly = |event: &&Event| {
            let line = event.to_string();
            Pattern::of(line.clone(), move |other| other.to_string() == line)
        };
        let expected: Vec<_> = one.iter().map(exactly).collect();
        let is_same = expected.len() == other.len()
            && (expected.iter().zip(&other)).all(|(line, event)| line.matches(event));
        (!is_same).then(|| Diff::new(&expected, &other).to_string())
    }
}

/// The events as in a golden file: of each host, then of each of its ports.
fn by_place<'a>(trace: &'a Trace, ignored: &[Pattern]) -> Vec<&'a Event> {
    let events = trace.events().iter().map(|traced| &traced.event);
    let is_ignored = |event: &Event| ignored.iter().any(|pattern| pattern.matches(event));
    let mut events: Vec<_> = events.filter(|event| !is_ignored(event)).collect();
    // Stable: at each port they stay in the order of the trace.
    events.sort_by_cached_key(|event| place(event));
    events
}
