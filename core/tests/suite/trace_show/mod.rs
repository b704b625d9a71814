//! Pictures of traces.
//!
//! Owns the list of modules. Never opens a network.

pub(crate) mod synthetic;
mod texts;
