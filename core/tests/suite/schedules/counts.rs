//! Counts of events, to detect a run in which too little happened.
//! Never decides that a run passed: the test does.

use std::collections::HashMap;
use std::fmt;

use virtnet_core::Cause;

#[derive(Default)]
pub(crate) struct Counts(HashMap<(&'static str, Option<Cause>), u64>);

impl Counts {
    pub(crate) fn add(&mut self, what: &'static str, cause: Option<Cause>) {
        *self.0.entry((what, cause)).or_default() += 1;
    }

    pub(crate) fn of(&self, what: &'static str, cause: Option<Cause>) -> u64 {
        self.0.get(&(what, cause)).copied().unwrap_or(0)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |((what, cause), count): (&(&str, Option<Cause>), &u64)| match cause {
            Some(cause) => format!("{what}, {cause}: {count}"),
            None => format!("{what}: {count}"),
        };
        let mut lines: Vec<_> = self.0.iter().map(line).collect();
        lines.sort_unstable();
        write!(f, "{}", lines.join("\n"))
    }
}
