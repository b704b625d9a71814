//! The live trace of a network in memory.
//!
//! Owns the batches, their numbers and the limit of what is kept. Never knows which registry calls, nor
//! whether it was closed.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::contract::traces::{
    MAX_TRACE_BATCHES, MAX_TRACE_READ, MAX_TRACE_SIZE, TracePosition, check_trace_batch,
};
use crate::{Failure, RegistryError};

/// The live trace of one network, which all its registries share.
#[derive(Debug, Default)]
pub(super) struct TraceLog {
    batches: Mutex<Batches>,
    /// Notified after each batch.
    appended: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Batches {
    /// That of the last batch.
    last: TracePosition,
    /// How many traces there have been.
    streams: u64,
    /// The last ones, up to `last`.
    kept: VecDeque<Box<str>>,
    size: usize,
}

impl TraceLog {
    pub(super) fn append(&self, text: &str) -> Result<TracePosition, Failure> {
        check_trace_batch(text)?;
        let mut batches = self.batches.lock();
        if batches.last.stream == 0 {
            batches.streams += 1;
            batches.last.stream = batches.streams;
        }
        batches.last.number += 1;
        batches.size += text.len();
        batches.kept.push_back(text.into());
        while batches.kept.len() > MAX_TRACE_BATCHES || batches.size > MAX_TRACE_SIZE {
            let dropped = batches.kept.pop_front().map_or(0, |text| text.len());
            batches.size -= dropped;
        }
        let last = batches.last;
        drop(batches);
        self.wake();
        Ok(last)
    }

    pub(super) fn read(&self, after: TracePosition) -> Vec<(TracePosition, String)> {
        let batches = self.batches.lock();
        let TracePosition { stream, number } = batches.last;
        let first = number + 1 - batches.kept.len() as u64;
        let next = match after.stream == stream {
            true => first.max(after.number.saturating_add(1)),
            false => first,
        };
        let numbered = (first..).zip(&batches.kept);
        numbered
            .skip(usize::try_from(next - first).unwrap_or(usize::MAX))
            .take(MAX_TRACE_READ)
            .map(|(number, text)| (TracePosition { stream, number }, text.to_string()))
            .collect()
    }

    pub(super) fn last(&self) -> TracePosition {
        self.batches.lock().last
    }

    pub(super) fn remove(&self) {
        let mut batches = self.batches.lock();
        *batches = Batches {
            streams: batches.streams,
            ..Batches::default()
        };
    }

    /// Waits for a batch after `after`; `read` reads, and fails when there is no more use in waiting.
    pub(super) async fn next(
        &self,
        mut read: impl FnMut() -> Result<Vec<(TracePosition, String)>, RegistryError>,
    ) -> Result<Vec<(TracePosition, String)>, RegistryError> {
        // From before the first look, so that a batch after it is noticed.
        let mut appended = self.appended.subscribe();
        loop {
            let batches = read()?;
            if !batches.is_empty() {
                return Ok(batches);
            }
            // It fails without a sender only, and this is one.
            let _ = appended.changed().await;
        }
    }

    /// Wakes all that wait for a batch, so that they look again.
    pub(super) fn wake(&self) {
        self.appended.send_replace(());
    }
}
