//! Pictures of traces.
//!
//! Owns the list of modules. Never opens a network.

mod browser;
mod in_browser;
pub(crate) mod synthetic;
mod texts;
