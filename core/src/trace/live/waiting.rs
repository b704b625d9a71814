//! Waiting for an event anywhere on the network, or for none.
//!
//! Owns [`Until`], and what a wait counts as now. Never waits without a bound.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::trace::event::Event;
use crate::trace::expect::Pattern;
use crate::trace::live::error::{LiveTraceError, Seen};
use crate::trace::live::progress::Progress;
use crate::trace::live::reader::{LiveTrace, deadline};

/// How long members have to send what happened before a wait. Longer than one that was killed is waited for.
const BEFORE: Duration = Duration::from_secs(10);

impl LiveTrace {
    /// Begins to wait for an event anywhere on the network: make it *before* you do what leads to the event, then call
    /// [`Until::within`]. What happened before this returned does not count.
    ///
    /// # Errors
    ///
    /// Those of [`collect`](LiveTrace::collect), with a bound of 10 s.
    ///
    /// # Cancel safety
    ///
    /// As for [`collect`](LiveTrace::collect).
    pub async fn until(&self, event: impl Into<Pattern>) -> Result<Until, LiveTraceError> {
        let pattern = event.into();
        let progress = self.now(BEFORE).await?;
        Ok(Until {
            trace: self.clone(),
            pattern,
            progress,
            pending: VecDeque::new(),
            seen: Seen::default(),
        })
    }

    /// Waits until nothing has happened anywhere on the network for `span`, at most for `within`.
    ///
    /// # Errors
    ///
    /// [`LiveTraceError::TimedOut`] with the last events, if something happened all the time; those of
    /// [`collect`](LiveTrace::collect).
    ///
    /// # Cancel safety
    ///
    /// As for [`collect`](LiveTrace::collect).
    pub async fn quiet(&self, span: Duration, within: Duration) -> Result<(), LiveTraceError> {
        let until = deadline(within);
        let mut progress = self.now(within).await?;
        let mut seen = Seen::default();
        let mut since = Instant::now();
        loop {
            let quiet = since.checked_add(span).unwrap_or(until);
            if quiet > until {
                let expected = format!("quiet of {span:?}");
                return Err(seen.timed_out(expected, within, progress.dropped()));
            }
            let mut happened = false;
            let mut each = |_: &Arc<str>, event: Event| {
                happened = true;
                seen.add(&event);
            };
            let is_over = !self.read_next(&mut progress, quiet, &mut each).await?;
            if is_over {
                // What members have not sent yet has happened meanwhile.
                let left = until.saturating_duration_since(Instant::now());
                self.catch_up(&mut progress, left, &mut each).await?;
            }
            match happened {
                true => since = Instant::now(),
                false if is_over => return Ok(()),
                false => {}
            }
        }
    }

    /// A reader of what happens from now on.
    async fn now(&self, within: Duration) -> Result<Progress, LiveTraceError> {
        let last = self.traces().last().await?;
        let mut progress = Progress::new(self.network(), Some(last));
        self.catch_up(&mut progress, within, |_, _| {}).await?;
        Ok(progress)
    }
}

/// A wait for an event, which began before what leads to it: [`LiveTrace::until`].
#[derive(Debug)]
#[must_use = "nothing is waited for before `within`"]
pub struct Until {
    trace: LiveTrace,
    pattern: Pattern,
    progress: Progress,
    /// Events that came with the one that was returned last.
    pending: VecDeque<Event>,
    seen: Seen,
}

impl Until {
    /// Waits for the event, at most for `within`, and returns it. If it is called again, it waits for the next one.
    ///
    /// Events of several hosts come in the order in which they are sent, which may differ from that of causes and effects by
    /// some 20 ms.
    ///
    /// # Errors
    ///
    /// [`LiveTraceError::TimedOut`] with what happened in place of it; those of the registry, if it is down for all of
    /// that time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event: the next call returns it.
    pub async fn within(&mut self, within: Duration) -> Result<Event, LiveTraceError> {
        let until = deadline(within);
        loop {
            while let Some(event) = self.pending.pop_front() {
                if self.pattern.matches(&event) {
                    return Ok(event);
                }
                self.seen.add(&event);
            }
            let pending = &mut self.pending;
            let each = |_: &Arc<str>, event| pending.push_back(event);
            let came = self.trace.read_next(&mut self.progress, until, each);
            if !came.await? {
                let expected = format!("{:?}", self.pattern.to_string());
                let dropped = self.progress.dropped();
                return Err(self.seen.timed_out(expected, within, dropped));
            }
        }
    }
}
