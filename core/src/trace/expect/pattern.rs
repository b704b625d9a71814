//! What an expected event looks like: a line with wildcards, or a function.
//!
//! Owns [`Pattern`]. Never knows other events.

use std::fmt;
use std::sync::Arc;

use crate::trace::event::Event;
use crate::wildcard;

/// An event that is expected: by its line, in which `*` stands for any characters, also none, or by a function.
#[derive(Clone)]
pub struct Pattern {
    /// Its text in a mismatch.
    text: String,
    by: By,
}

#[derive(Clone)]
enum By {
    Line,
    Function(Arc<dyn Fn(&Event) -> bool + Send + Sync>),
}

impl Pattern {
    /// Events for which `matches` holds; `what` describes them in a mismatch.
    ///
    /// ```
    /// use virtnet_core::Cause;
    /// use virtnet_core::trace::{EventKind, Pattern};
    ///
    /// let refused = Pattern::of("a refused dial", |event| {
    ///     matches!(event.kind, EventKind::DialFailed { cause: Cause::ConnectionRefused, .. })
    /// });
    /// assert_eq!(refused.to_string(), "a refused dial");
    /// ```
    pub fn of(
        what: impl Into<String>,
        matches: impl Fn(&Event) -> bool + Send + Sync + 'static,
    ) -> Pattern {
        Pattern {
            text: what.into(),
            by: By::Function(Arc::new(matches)),
        }
    }

    /// Whether an event is like this.
    pub fn matches(&self, event: &Event) -> bool {
        match &self.by {
            By::Line => wildcard::matches(&self.text, &event.to_string()),
            By::Function(matches) => matches(event),
        }
    }
}

impl From<&str> for Pattern {
    fn from(line: &str) -> Pattern {
        line.to_owned().into()
    }
}

impl From<String> for Pattern {
    fn from(line: String) -> Pattern {
        Pattern {
            text: line,
            by: By::Line,
        }
    }
}

impl From<&Pattern> for Pattern {
    fn from(pattern: &Pattern) -> Pattern {
        pattern.clone()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}
