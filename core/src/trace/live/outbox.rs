//! Events that wait to be sent to the live trace: how many there may be, and who is told.
//!
//! Owns [`Outbox`]. The events themselves wait with their hosts, so that hosts do not meet here for each. Never
//! keeps a host waiting, and never sends.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use tokio::sync::{Notify, watch};

use crate::trace::space::Space;

/// How many events wait at most.
const MAX_UNSENT: usize = 32_768;

/// The space for events that wait to be sent.
pub(crate) struct Outbox {
    /// For how many more events there is space.
    space: Space,
    dropped: AtomicU64,
    /// The sender was told, and has not looked since.
    is_told: AtomicBool,
    told: Notify,
    /// The registry knows that this subnetwork sends, or could not be told.
    joined: watch::Sender<bool>,
}

impl Default for Outbox {
    fn default() -> Outbox {
        Outbox {
            space: Space::new(MAX_UNSENT),
            dropped: AtomicU64::new(0),
            is_told: AtomicBool::new(false),
            told: Notify::new(),
            joined: watch::Sender::new(false),
        }
    }
}

impl Outbox {
    /// Space for some events of a host.
    pub(crate) fn take_space(&self) -> usize {
        self.space.take()
    }

    pub(crate) fn give_back(&self, space: usize) {
        self.space.give_back(space);
    }

    /// Counts an event for which there was no space.
    pub(crate) fn drop_one(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Tells the sender that an event waits, once until it looks.
    pub(crate) fn tell(&self) {
        if !self.is_told.load(Relaxed) && !self.is_told.swap(true, Relaxed) {
            self.told.notify_one();
        }
    }

    /// Waits until an event waits. One task may wait.
    pub(crate) async fn told(&self) {
        self.told.notified().await;
    }

    /// The sender looks now: it is to be told of what comes later.
    pub(crate) fn looks(&self) {
        self.is_told.swap(false, Relaxed);
    }

    /// Lets hosts be made.
    pub(crate) fn join(&self) {
        self.joined.send_replace(true);
    }

    /// Waits until hosts may be made.
    pub(crate) async fn joined(&self) {
        let mut joined = self.joined.subscribe();
        // It fails without a sender only, and this is one.
        let _ = joined.wait_for(|joined| *joined).await;
    }
}
