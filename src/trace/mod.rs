//! The trace of a network, as `virtnet-core` has it, and what a test does with it when it fails.
//!
//! Owns [`OnPanic`]. Never records, and never changes a trace.

mod on_panic;

pub use on_panic::OnPanic;
pub(crate) use on_panic::TRACE_ON_PANIC;
pub use virtnet_core::trace::*;
