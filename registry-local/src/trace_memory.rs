//! What a registry value remembers of the live trace: where its readers have been.
//!
//! Owns [`TraceMemory`]. Never reads a file, and nothing is wrong if it forgets: then a reader searches.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use virtnet_core::TracePosition;

use crate::trace_log::Place;

/// So many places are remembered: one for each reader, if there are not more of them.
const PLACES: usize = 8;

/// What a registry value remembers of the trace.
#[derive(Debug, Default)]
pub(crate) struct TraceMemory {
    /// Where the last reads ended, the latest first.
    places: Mutex<VecDeque<Place>>,
    /// Old traces were looked for.
    pub(crate) tidied: AtomicBool,
}

impl TraceMemory {
    pub(crate) fn place(&self, at: TracePosition) -> Option<Place> {
        let places = self.places.lock();
        places.iter().find(|place| place.at == at).copied()
    }

    /// A reader was at `from`, and is at `to` now.
    pub(crate) fn moved(&self, from: TracePosition, to: Place) {
        let mut places = self.places.lock();
        places.retain(|place| place.at != from && place.at != to.at);
        places.push_front(to);
        places.truncate(PLACES);
    }
}
