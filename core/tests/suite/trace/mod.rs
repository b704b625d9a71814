//! The trace, as a program sees it: what a subnetwork records, and its files.
//!
//! Owns the list of modules. Never checks the order of hosts: the conformance suite does.

#[cfg(feature = "trace-files")]
mod expect;
mod faults;
mod files;
#[cfg(feature = "trace-files")]
mod golden;
#[cfg(feature = "trace-files")]
mod lines;
#[cfg(feature = "trace-files")]
mod live;
mod recording;
