//! The store: what a node keeps, in memory.
//!
//! Owns [`Types`], by which openraft knows our types; `log.rs` has the log and
//! `machine.rs` what comes of it. Never outlives the process: see the crate's
//! documentation on what follows from that.

mod log;
mod machine;

use std::io::Cursor;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

pub use log::LogStore;
pub use machine::Machine;

openraft::declare_raft_types!(
    /// Our types, by openraft's names.
    pub Types:
        D = Write,
        R = (),
);

/// openraft with our types.
pub type Raft = openraft::Raft<Types>;

/// What is replicated: a value comes under a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    pub key: String,
    pub value: String,
}

/// Locks what is never left half-changed, and never held across an await.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
