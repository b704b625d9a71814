//! What the engine shows of itself.
//!
//! Owns counters and QUIC's logs. Never changes behaviour.

pub(crate) mod qlog;
pub(crate) mod stats;
