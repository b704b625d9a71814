//! The live trace that the subnetworks of a network share, beside its names.
//!
//! Owns the trait [`Traces`], [`TracePosition`], and the limits of batches with their check. Never knows what a batch
//! says: the trace does.

use std::fmt;

use async_trait::async_trait;

use crate::{Failure, RegistryError};

/// The largest batch, in bytes of UTF-8.
pub const MAX_TRACE_BATCH: usize = 256 * 1024;

/// The most batches that a registry keeps for a network.
pub const MAX_TRACE_BATCHES: usize = 65_536;

/// The most bytes of batches that a registry keeps for a network.
pub const MAX_TRACE_SIZE: usize = 64 * 1024 * 1024;

/// The most batches that one call returns.
pub const MAX_TRACE_READ: usize = 64;

/// The place of a batch in a network's trace. The default is before the first one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TracePosition {
    /// Which trace: another one begins after everything was removed or lost. Never 0 for a batch.
    pub stream: u64,
    /// The number of the batch in it, from 1: each has the next one.
    pub number: u64,
}

impl TracePosition {
    /// Whether `next` can be the batch after this one: none between them was dropped.
    pub fn is_followed_by(self, next: TracePosition) -> bool {
        match self.stream == next.stream {
            true => self.number.checked_add(1) == Some(next.number),
            false => self.stream == 0 && next.number == 1,
        }
    }
}

impl fmt::Display for TracePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.stream, self.number)
    }
}

/// The live trace of a network: texts (*batches*) that any of its subnetworks appends, and any reads in the same
/// order. A [`Registry`](crate::Registry) that has it returns it from [`traces`](crate::Registry::traces); it then
/// also has [documents](crate::Registry::documents), by which readers ask writers for what they still hold.
///
/// A registry keeps about [`MAX_TRACE_BATCHES`] batches, with at most [`MAX_TRACE_SIZE`] bytes; it may keep half as many. After
/// that, each new batch takes the place of the oldest. Batches have consecutive numbers, so a reader sees
/// that it missed some ([`TracePosition::is_followed_by`]).
///
/// All batches can disappear at once, such as when somebody flushes the server, or one hour after the last one was
/// appended. Then another trace begins, with another [`stream`](TracePosition::stream).
///
/// Every call except [`next`](Traces::next) ends within the time that the registry documents for
/// its calls. Dropping a future cancels the call. An [`append`](Traces::append) that was cancelled or that failed
/// may have happened, also twice: readers must be able to tell a batch that they have had.
///
/// ```
/// use virtnet_core::memory::MemoryHub;
/// use virtnet_core::{Registry, TracePosition};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = MemoryHub::new();
/// let (writer, reader) = (hub.registry(), hub.registry());
/// let (writer, reader) = (writer.traces().unwrap(), reader.traces().unwrap());
///
/// let first = writer.append("one").await?;
/// assert_eq!(reader.read(TracePosition::default()).await?, [(first, "one".to_owned())]);
/// let (second, read) = tokio::join!(writer.append("two"), reader.next(first));
/// assert_eq!(read?, [(second?, "two".to_owned())]);
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// All methods report [`Cause::RegistryDown`](crate::Cause::RegistryDown) if the registry cannot
/// be reached or was closed.
#[async_trait]
pub trait Traces: Send + Sync {
    /// Appends a batch and returns its place.
    ///
    /// # Errors
    ///
    /// Those of the trait; [`Cause::Other`](crate::Cause::Other) for a batch of more than
    /// [`MAX_TRACE_BATCH`] bytes. Implementers check it with [`check_trace_batch`].
    async fn append(&self, batch: &str) -> Result<TracePosition, RegistryError>;

    /// The batches after `after`, in order: some of them, at most [`MAX_TRACE_READ`]. None, if there are none. If the trace of
    /// `after` is gone, those of the present one from its beginning.
    ///
    /// # Errors
    ///
    /// Those of the trait.
    async fn read(
        &self,
        after: TracePosition,
    ) -> Result<Vec<(TracePosition, String)>, RegistryError>;

    /// Waits until there are batches after `after`, and reads them as [`read`](Traces::read) does.
    ///
    /// While the registry cannot be reached, it waits or fails.
    ///
    /// # Errors
    ///
    /// Those of the trait. The caller waits a moment before it calls again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no batch: the next call with the same `after` returns it.
    async fn next(
        &self,
        after: TracePosition,
    ) -> Result<Vec<(TracePosition, String)>, RegistryError>;

    /// The place of the last batch; the default if there is none.
    ///
    /// # Errors
    ///
    /// Those of the trait.
    async fn last(&self) -> Result<TracePosition, RegistryError>;

    /// Removes all batches. Those that are appended later are another trace.
    ///
    /// # Errors
    ///
    /// Those of the trait.
    async fn clear(&self) -> Result<(), RegistryError>;
}

/// Checks a batch before it is appended.
///
/// # Errors
///
/// A [`Failure`] with [`Cause::Other`](crate::Cause::Other) if it is too long.
pub fn check_trace_batch(batch: &str) -> Result<(), Failure> {
    match batch.len() {
        ..=MAX_TRACE_BATCH => Ok(()),
        len => Err(Failure::other(format!(
            "batch of a trace: expected at most {MAX_TRACE_BATCH} bytes, got {len}"
        ))),
    }
}
