//! What a test relied on.
//!
//! Owns [`Report`], and its text. Never runs a test.

use std::fmt;

/// How many lines a finding shows of what came first.
const SHOWN: usize = 8;

/// What happened when events of a test were late, each in a run of its own ([`Reorder::run`](super::Reorder::run)).
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// How many events were late.
    pub delayed: usize,
    /// Those that made a difference.
    pub findings: Vec<Finding>,
    /// The lines of events that could not be delayed: a breakpoint cannot tell a connection from an earlier one between the
    /// same ports. And of those that were too many.
    pub left_out: Vec<String>,
}

/// An event that made a difference when it was late.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Its line in the trace. What it led to at another host came late.
    pub event: String,
    /// Why the test failed, if it did: then it relies on this event being in time.
    pub failure: Option<String>,
    /// The lines of events that came before it, at the host that it reached, and would not have otherwise.
    pub came_first: Vec<String>,
    /// How the trace differs, as a golden file tells it; `None` if it does not.
    pub difference: Option<String>,
}

impl Report {
    /// The events on whose order the test relies: it failed when they were late.
    pub fn relied_on(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|finding| finding.failure.is_some())
    }

    /// Fails if the test relies on the order of some events.
    ///
    /// # Errors
    ///
    /// The report itself.
    pub fn finish(self) -> Result<(), Report> {
        let relies = self.relied_on().next().is_some();
        match relies {
            true => Err(self),
            false => Ok(()),
        }
    }
}

impl std::error::Error for Report {}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (late, relied) = (self.delayed, self.relied_on().count());
        write!(
            f,
            "of {late} events that were late, each in a run of its own, "
        )?;
        write!(f, "{relied} made the test fail")?;
        for finding in &self.findings {
            write!(f, "\n{finding}")?;
        }
        for line in &self.left_out {
            write!(f, "\n{line:?} was not delayed")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} late: ", self.event)?;
        match &self.failure {
            Some(why) => write!(f, "the test failed: {why}")?,
            None => f.write_str("the test passed, but its trace differs")?,
        }
        if !self.came_first.is_empty() {
            f.write_str("\n  before it came")?;
        }
        for line in self.came_first.iter().take(SHOWN) {
            write!(f, "\n    {line}")?;
        }
        if self.came_first.len() > SHOWN {
            write!(f, "\n    and {} more", self.came_first.len() - SHOWN)?;
        }
        if let (None, Some(diff)) = (&self.failure, &self.difference) {
            for line in diff.lines() {
                write!(f, "\n  {line}")?;
            }
        }
        Ok(())
    }
}
