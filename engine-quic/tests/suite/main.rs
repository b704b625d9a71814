//! The tests of the engine that can share a process, in one binary.
//!
//! Owns the list of modules. Never counts what belongs to the whole process: such tests are
//! binaries of their own, and share `common` with this one.

#[path = "../common/mod.rs"]
mod common;

mod conformance;
mod conn_rules;
mod delivery;
mod failures;
mod faults;
mod flood;
mod frames;
mod hostile;
mod identity;
mod impostors;
mod key_log;
mod key_updates;
mod limits;
mod lost_peer;
mod many;
mod places;
mod process;
mod protocol;
mod settings;
mod versions;
mod wire;
