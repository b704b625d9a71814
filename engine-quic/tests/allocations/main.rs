//! Tests that measure the memory of the whole process, in a binary of their own: its
//! allocator counts, and one test runs at a time.
//!
//! Owns the allocator and the turn. Never tests what needs no count of memory: that is in
//! `suite`.

#[path = "../common/mod.rs"]
mod common;

mod allocated;
mod backlog;
mod dropping;

use tokio::sync::{Mutex, MutexGuard};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Is held by the test that measures.
static TURN: Mutex<()> = Mutex::const_new(());

/// Waits until no other test of this process measures. The test keeps this until it ends.
async fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// Counts until it is dropped. There is one in a process at a time, so the test needs
/// [`turn`] first.
fn profiler() -> dhat::Profiler {
    dhat::Profiler::builder().testing().build()
}
