//! The trace: what happened on the whole network, in causal order.
//!
//! Owns the names of this part. Never records by itself: hosts tell the recorder.

mod edges;
pub(crate) mod event;
pub(crate) mod merge;

pub use event::{End, Event, EventKind};
pub use merge::{MergeError, Record, Trace, Traced};
