//! Pictures of traces.
//!
//! Owns the list of modules. Never opens a network.

mod browser;
mod in_browser;
mod in_tshark;
pub(crate) mod synthetic;
mod texts;
