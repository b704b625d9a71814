//! What all hosts of one subnetwork share.
//!
//! Owns running calls, limits, counters and the reason for being down. Never knows a host.

pub(crate) mod calls;
pub(crate) mod dials;
pub(crate) mod down;
pub(crate) mod limits;
pub(crate) mod open;
pub(crate) mod sync;
