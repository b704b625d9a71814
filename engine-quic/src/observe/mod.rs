//! Observing the engine: counters and QUIC's logs.
//!
//! Owns both. Never changes behaviour.

pub(crate) mod qlog;
pub(crate) mod stats;
