//! Locking that survives a panic elsewhere. Owns one function, and no state.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`, whether or not some holder panicked.
///
/// Everything guarded in this crate is whole between statements, so a panic in
/// user code that was called under a lock (an engine's stream, a waker) leaves
/// nothing torn.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
