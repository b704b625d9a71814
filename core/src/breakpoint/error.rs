//! Why a breakpoint did not do what a test asked for.
//!
//! Owns [`BreakpointError`] and its texts. Never sets a breakpoint.

use std::fmt;
use std::time::Duration;

use crate::faults::FaultError;
use crate::report;

/// Why a breakpoint could not be set, was not reached, or was over.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BreakpointError {
    /// It names no two addresses.
    #[error(r#"breakpoint {given:?}: expected two addresses such as "β:1 -> α:1"{problem}"#)]
    Invalid {
        /// What was given.
        given: String,
        /// What is wrong with it, if there is more to say.
        problem: String,
    },
    /// A breakpoint that cannot be numbered, or begin after some bytes.
    #[error("breakpoint at {at}: {problem}")]
    Unfit {
        /// Where it is.
        at: String,
        /// What does not go together.
        problem: &'static str,
    },
    /// Nothing was held.
    #[error("breakpoint at {at}: within {bound:?} nothing came that it holds")]
    NotReached {
        /// Where it was.
        at: String,
        /// The breakpoint's bound.
        bound: Duration,
    },
    /// Its time was over before the test said that the event may go on.
    #[error("breakpoint at {at}: it was over after {bound:?}, so what it held went on by itself")]
    Over {
        /// Where it was.
        at: String,
        /// The breakpoint's bound.
        bound: Duration,
    },
    /// The rule that holds the event could not be set or healed.
    #[error("breakpoint: {0}")]
    Faults(#[from] FaultError),
}

impl fmt::Debug for BreakpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        report(self, f)
    }
}
