//! Space for events, of which each host takes a portion at once, so that hosts seldom meet here.
//!
//! Owns [`Space`]. Never keeps an event.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// For how many events a host takes space at once.
const PORTION: usize = 64;

/// For how many more events there is space.
#[derive(Debug, Default)]
pub(crate) struct Space(AtomicUsize);

impl Space {
    pub(crate) fn new(events: usize) -> Space {
        Space(AtomicUsize::new(events))
    }

    /// There is space for so many events now.
    pub(crate) fn set(&self, events: usize) {
        self.0.store(events, Relaxed);
    }

    /// Takes space for some events; for none, if there is no more.
    pub(crate) fn take(&self) -> usize {
        let mut taken = 0;
        let take = |space: usize| {
            taken = space.min(PORTION);
            Some(space - taken)
        };
        let _ = self.0.fetch_update(Relaxed, Relaxed, take);
        taken
    }

    pub(crate) fn give_back(&self, events: usize) {
        self.0.fetch_add(events, Relaxed);
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.0.load(Relaxed) == 0
    }
}
