//! The live trace of a network: the calls, and how long they wait for other processes.
//!
//! Owns the bound on each wait. Never touches a file itself.
//!
//! As those of the registry, calls do their file I/O in the task that polls them, and a batch is appended in
//! one poll or not at all.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};
use virtnet_core::{Failure, RegistryError, TracePosition, Traces, check_trace_batch};

use crate::error::{busy, down};
use crate::folder;
use crate::registry::{BOUND, LocalRegistry, PAUSE};
use crate::trace_log::{self, Reader, TraceLock};

/// How often a call that waits for a batch looks for one.
const INTERVAL: Duration = Duration::from_millis(20);

impl LocalRegistry {
    async fn append_trace(&self, batch: &str) -> Result<TracePosition, Failure> {
        check_trace_batch(batch)?;
        self.check_open()?;
        if !self.trace.tidied.swap(true, Relaxed) {
            // Other networks' traces: if they cannot be removed, this one is recorded all the same.
            let _ = trace_log::tidy(self.folder());
        }
        self.change_trace(|mut lock| lock.append(batch)).await
    }

    /// Changes the trace; tries until the bound, if another process is in the way.
    async fn change_trace<T>(
        &self,
        change: impl FnOnce(TraceLock<'_>) -> std::io::Result<T>,
    ) -> Result<T, Failure> {
        let failed = |err| down("change the trace in", self.folder(), &err);
        let until = Instant::now() + BOUND;
        loop {
            self.check_open()?;
            if let Some(lock) = TraceLock::take(self.folder()).map_err(failed)? {
                return change(lock).map_err(failed);
            }
            self.pause(until).await?;
        }
    }

    /// Waits a moment for another process, until the bound.
    async fn pause(&self, until: Instant) -> Result<(), Failure> {
        if Instant::now() >= until {
            let path = folder::trace(self.folder(), 0);
            return Err(busy(&path, format_args!("{BOUND:?}")));
        }
        sleep(PAUSE).await;
        Ok(())
    }

    async fn open_trace(&self) -> Result<Reader, Failure> {
        let until = Instant::now() + BOUND;
        loop {
            self.check_open()?;
            let opened = trace_log::open(self.folder());
            let opened = opened.map_err(|err| down("read the trace in", self.folder(), &err))?;
            if let Some(reader) = opened {
                self.check_folder()?;
                return Ok(reader);
            }
            self.pause(until).await?;
        }
    }

    async fn read_trace(
        &self,
        after: TracePosition,
    ) -> Result<Vec<(TracePosition, String)>, Failure> {
        let reader = self.open_trace().await?;
        let batches = reader.read(after, |at| self.trace.place(at));
        let batches = batches.map_err(|err| down("read the trace in", self.folder(), &err))?;
        if let Some((place, _)) = batches.last() {
            self.trace.moved(after, *place);
        }
        let batches = batches.into_iter();
        Ok(batches.map(|(place, text)| (place.at, text)).collect())
    }

    async fn next_trace(
        &self,
        after: TracePosition,
    ) -> Result<Vec<(TracePosition, String)>, Failure> {
        loop {
            self.check_open()?;
            let state = trace_log::glance(self.folder());
            let state = state.map_err(|err| down("read the trace in", self.folder(), &err))?;
            // The same or an older one, or none: then it may be that the folder is gone.
            match state.last() {
                last if last == after || last.stream == 0 => self.check_folder()?,
                _ => {
                    let batches = self.read_trace(after).await?;
                    if !batches.is_empty() {
                        return Ok(batches);
                    }
                }
            }
            sleep(INTERVAL).await;
        }
    }
}

#[async_trait]
impl Traces for LocalRegistry {
    async fn append(&self, batch: &str) -> Result<TracePosition, RegistryError> {
        let appended = self.append_trace(batch).await;
        appended.map_err(|failure| self.error("append to trace", &[], failure))
    }

    async fn read(
        &self,
        after: TracePosition,
    ) -> Result<Vec<(TracePosition, String)>, RegistryError> {
        let read = self.read_trace(after).await;
        read.map_err(|failure| self.error("read trace", &[], failure))
    }

    /// Looks for a batch every 20 ms.
    ///
    /// # Errors
    ///
    /// Those of the trait.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no batch: the next call with the same `after` returns it.
    async fn next(
        &self,
        after: TracePosition,
    ) -> Result<Vec<(TracePosition, String)>, RegistryError> {
        let next = self.next_trace(after).await;
        next.map_err(|failure| self.error("follow trace", &[], failure))
    }

    async fn last(&self) -> Result<TracePosition, RegistryError> {
        let reader = self.open_trace().await;
        let last = reader.map(|reader| reader.state.last());
        last.map_err(|failure| self.error("read trace", &[], failure))
    }

    async fn clear(&self) -> Result<(), RegistryError> {
        let removed = self.change_trace(|lock| lock.remove()).await;
        removed.map_err(|failure| self.error("remove trace", &[], failure))
    }
}
