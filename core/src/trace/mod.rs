//! The trace: what happened on the whole network, in causal order.
//!
//! Owns the names of this part. Never records by itself: hosts tell the recorder.
//!
//! A subnetwork records when it is asked to, with [`SubNetwork::record`](crate::SubNetwork::record), or by the settings of the
//! package `virtnet`. [`SubNetwork::trace`](crate::SubNetwork::trace) returns what it has recorded, and [`Trace::merge`]
//! orders the records of all subnetworks of a network.

mod blame;
pub(crate) mod conn_trace;
mod edges;
pub(crate) mod event;
mod expect;
pub(crate) mod file;
mod host_log;
pub(crate) mod host_trace;
pub(crate) mod live;
mod matching;
pub(crate) mod merge;
mod order;
#[cfg(feature = "trace-files")]
mod read;
pub(crate) mod recorder;
pub mod show;
mod space;
mod write;

pub use event::{End, Event, EventKind};
pub use expect::{Check, Golden, Mismatch, Pattern};
pub use file::{MAX_FILE, RecordError};
pub use host_trace::MAX_NOTE;
#[cfg(feature = "trace-files")]
pub use live::{Following, LiveEvent, LiveTrace, LiveTraceError, TimedOut, Until};
pub use merge::{MergeError, Record, Trace, Traced};
#[cfg(feature = "trace-files")]
pub use read::{FileEnd, ReadError, RecordFile, read, read_text};
pub use recorder::{DEFAULT_EVENTS, MAX_PAYLOAD, Recording};
pub use write::FILE_VERSION;
