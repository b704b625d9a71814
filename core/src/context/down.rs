//! Whether an object is down, and why: set once.
//!
//! Owns the flag that every operation of an object watches. Never closes anything: the code
//! that sets the flag does.

use std::sync::OnceLock;

use tokio::sync::Notify;

use crate::Failure;

/// Set once, by the first close; read and awaited by every operation.
#[derive(Default)]
pub(crate) struct Down {
    why: OnceLock<Failure>,
    set: Notify,
}

impl Down {
    /// Marks it down. Returns whether it was up before.
    pub(crate) fn set(&self, why: Failure) -> bool {
        let first = self.why.set(why).is_ok();
        if first {
            self.set.notify_waiters();
        }
        first
    }

    /// Why it is down, if it is.
    pub(crate) fn get(&self) -> Option<&Failure> {
        self.why.get()
    }

    /// `Err` with the reason, if it is down.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.get().map_or(Ok(()), |why| Err(why.clone()))
    }

    /// Waits until it is down, and says why.
    pub(crate) async fn wait(&self) -> &Failure {
        // Made before the check, so that a `set` in between is not missed.
        let set = self.set.notified();
        if let Some(why) = self.get() {
            return why;
        }
        set.await;
        self.get().expect("only a set notifies")
    }
}
