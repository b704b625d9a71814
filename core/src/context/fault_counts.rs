//! Counters of what rules of faults did to dials and connections.
//!
//! Owns the counters behind [`FaultStats`]. Never decides what a rule does.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What rules of faults did to the dials and connections of a subnetwork's hosts
/// ([`Stats::faults`](crate::Stats::faults)). Each end counts what it saw.
///
/// Datagrams that an engine lost or delayed are counted by the engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultStats {
    /// Dials that a rule refused, at either end.
    pub dials_refused: u64,
    /// Dials that waited because of a hold.
    pub dials_held: u64,
    /// Dials that timed out because of a cut.
    pub dials_cut: u64,
    /// Ends of connections at which a read waited because of a hold.
    pub connections_held: u64,
    /// Ends of connections that were silent because of a cut, for a while or until they timed
    /// out.
    pub connections_cut: u64,
    /// Ends of connections that a rule reset.
    pub connections_reset: u64,
    /// Bytes in which one bit was changed.
    pub bytes_corrupted: u64,
}

impl FaultStats {
    /// All counts, by name.
    pub fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        [
            ("dials_refused", self.dials_refused),
            ("dials_held", self.dials_held),
            ("dials_cut", self.dials_cut),
            ("connections_held", self.connections_held),
            ("connections_cut", self.connections_cut),
            ("connections_reset", self.connections_reset),
            ("bytes_corrupted", self.bytes_corrupted),
        ]
        .into_iter()
    }
}

/// What a rule did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Did {
    RefuseDial,
    HoldDial,
    CutDial,
    HoldConn,
    CutConn,
    ResetConn,
    CorruptByte,
}

/// The counters behind [`FaultStats`].
#[derive(Debug, Default)]
pub(crate) struct FaultCounts([AtomicU64; 7]);

impl FaultCounts {
    pub(crate) fn add(&self, did: Did, count: u64) {
        self.0[did as usize].fetch_add(count, Relaxed);
    }

    pub(crate) fn snapshot(&self) -> FaultStats {
        let count = |did: Did| self.0[did as usize].load(Relaxed);
        FaultStats {
            dials_refused: count(Did::RefuseDial),
            dials_held: count(Did::HoldDial),
            dials_cut: count(Did::CutDial),
            connections_held: count(Did::HoldConn),
            connections_cut: count(Did::CutConn),
            connections_reset: count(Did::ResetConn),
            bytes_corrupted: count(Did::CorruptByte),
        }
    }
}
