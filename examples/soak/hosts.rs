//! The hosts of a run, and pairs of them.
//!
//! Owns their names, and which process has which. Never makes a host.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

pub(crate) const PROCESSES: usize = 4;

/// A run has the first of them.
const NAMES: [&str; MOST] = [
    "α", "β", "γ", "δ", "ε", "ζ", "η", "θ", "ι", "κ", "λ", "μ", "ν", "ξ", "ο", "π",
];
/// The most hosts that a run can have.
pub(crate) const MOST: usize = 16;

/// The hosts of a run, by number: every process has as many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hosts {
    each: usize,
}

impl Hosts {
    pub(crate) fn count(self) -> usize {
        self.each * PROCESSES
    }

    pub(crate) fn names(self) -> &'static [&'static str] {
        &NAMES[..self.count()]
    }

    /// The number of the host with this name.
    pub(crate) fn number(self, name: &str) -> Option<usize> {
        self.names().iter().position(|host| *host == name)
    }

    /// The process that has this host.
    pub(crate) fn home(self, host: usize) -> usize {
        host / self.each
    }

    /// The hosts of a process.
    pub(crate) fn of(self, process: usize) -> Range<usize> {
        process * self.each..(process + 1) * self.each
    }
}

impl Default for Hosts {
    fn default() -> Hosts {
        Hosts { each: 2 }
    }
}

impl FromStr for Hosts {
    type Err = String;

    fn from_str(word: &str) -> Result<Hosts, String> {
        match word.parse() {
            Ok(count @ PROCESSES..=MOST) if count % PROCESSES == 0 => Ok(Hosts {
                each: count / PROCESSES,
            }),
            _ => Err(format!(
                "expected a number of hosts that is a multiple of {PROCESSES}, \
                 from {PROCESSES} to {MOST}, got {word:?}"
            )),
        }
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.count().fmt(f)
    }
}

/// Some pairs of hosts, each with a direction: for each sender, a bit for each receiver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pairs([u16; MOST]);

impl Pairs {
    pub(crate) fn insert(&mut self, from: usize, to: usize) {
        self.0[from] |= 1 << to;
    }

    pub(crate) fn contains(&self, from: usize, to: usize) -> bool {
        self.0[from] & 1 << to != 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Pairs::default()
    }
}
