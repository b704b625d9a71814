//! Why the live trace could not be read, or did not say what was waited for.
//!
//! Owns [`LiveTraceError`] and [`TimedOut`], and their texts. Never reads the trace.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::trace::event::Event;
use crate::trace::merge::MergeError;
use crate::{Cause, RegistryError, TracePosition, report};

/// How many of the last events an error shows.
const SHOWN: usize = 10;

/// Why a call on the live trace failed.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum LiveTraceError {
    /// The registry has no live trace.
    #[error("expected a registry with a live trace, got one without")]
    NotShared,
    /// The registry cannot be reached, or refused.
    #[error("{0}")]
    Registry(#[from] RegistryError),
    /// A batch that no subnetwork of this network, or one of another version, sent.
    #[error("live trace, batch {at}: {problem}")]
    Damaged {
        /// Its place.
        at: TracePosition,
        /// What is wrong with it.
        problem: String,
    },
    /// The records make no trace.
    #[error("{0}")]
    Merge(#[from] MergeError),
    /// Subnetworks that record live did not send what they have.
    #[error("live trace: within {within:?} there was no answer of {}", .members.join(", "))]
    Silent {
        /// How long they had.
        within: Duration,
        /// Them, as [`Traced::process`](crate::trace::Traced::process) tells them.
        members: Vec<Arc<str>>,
    },
    /// What was waited for did not happen.
    #[error("{0}")]
    TimedOut(TimedOut),
}

impl LiveTraceError {
    /// The registry was down, which passes.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, LiveTraceError::Registry(why) if why.cause() == Cause::RegistryDown)
    }
}

impl fmt::Debug for LiveTraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        report(self, f)
    }
}

/// What was waited for, and what happened in place of it.
///
/// ```text
/// live trace: within 5s there was no "* connected", but 2 other events; the last were
///   α made
///   α:1 listening
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedOut {
    /// What should have happened.
    expected: String,
    within: Duration,
    seen: Seen,
}

/// The events that a wait has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    count: u64,
    dropped: u64,
    /// The last ones, as text.
    last: Vec<String>,
}

impl Seen {
    pub(super) fn add(&mut self, event: &Event) {
        self.count += 1;
        if self.last.len() == SHOWN {
            self.last.remove(0);
        }
        self.last.push(event.to_string());
    }

    pub(super) fn timed_out(
        &self,
        expected: impl Into<String>,
        within: Duration,
        dropped: u64,
    ) -> LiveTraceError {
        LiveTraceError::TimedOut(TimedOut {
            expected: expected.into(),
            within,
            seen: Seen {
                dropped,
                ..self.clone()
            },
        })
    }
}

impl TimedOut {
    /// The last events that happened, in the order in which they came, as text; at most ten.
    pub fn last(&self) -> &[String] {
        &self.seen.last
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TimedOut {
            expected,
            within,
            seen,
        } = self;
        write!(f, "live trace: within {within:?} there was no {expected}, ")?;
        match seen.count {
            0 => write!(f, "and no event at all")?,
            1 => write!(f, "but another event:")?,
            count => write!(f, "but {count} other events; the last were")?,
        }
        for line in &seen.last {
            write!(f, "\n  {line}")?;
        }
        match seen.dropped {
            0 => Ok(()),
            dropped => write!(f, "\n{dropped} more events were dropped"),
        }
    }
}
