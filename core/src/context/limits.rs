//! Limits of a subnetwork, and counters of the dials that it refused.
//!
//! Owns the defaults, and the counters behind [`Refused`]. Never decides to refuse.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{Cause, Failure};

/// How many dials may wait for one listener by default ([`Limits::backlog`]).
pub const BACKLOG: usize = 4_096;

/// The limits of one subnetwork ([`SubNetwork::with_limits`](crate::SubNetwork::with_limits)).
///
/// Ports need no limit of their own: each host has 65,535, and a connection takes one at
/// each end.
///
/// ```
/// let mut limits = virtnet_core::Limits::default();
/// limits.backlog = 16;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Hosts, including closed ones, which keep their names; default 16,384.
    /// Making more fails.
    pub hosts: usize,
    /// Dials that wait for one listener; default [`BACKLOG`]. Further dials are refused at
    /// once. With 0, a dial is refused unless an accept already waits for it.
    pub backlog: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            hosts: 16_384,
            backlog: BACKLOG,
        }
    }
}

/// How many incoming dials were refused, and why ([`Stats::refused`](crate::Stats::refused)).
/// Dials from the subnetwork's own hosts count too.
///
/// Dials that an engine refuses before it asks the subnetwork are counted by the engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The host is not on this subnetwork.
    pub no_such_host: u64,
    /// Nothing listened on the port, or the host was closed.
    pub nothing_listened: u64,
    /// [`Limits::backlog`] dials were already waiting for the listener.
    pub backlog_full: u64,
    /// The listener, its host or the network went down while the dial waited.
    pub went_down: u64,
    /// Another subnetwork may have held the host's name
    /// ([`Registry::holds`](crate::Registry::holds)).
    pub name_in_doubt: u64,
    /// All ports of the host were taken.
    pub no_port: u64,
    /// The program did not want it ([`IncomingDial`](crate::IncomingDial)).
    pub declined: u64,
}

impl Refused {
    /// All counts, by name.
    pub fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        [
            ("no_such_host", self.no_such_host),
            ("nothing_listened", self.nothing_listened),
            ("backlog_full", self.backlog_full),
            ("went_down", self.went_down),
            ("name_in_doubt", self.name_in_doubt),
            ("no_port", self.no_port),
            ("declined", self.declined),
        ]
        .into_iter()
    }
}

/// Why an incoming dial is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoSuchHost,
    NothingListens,
    BacklogFull,
    WentDown,
    NameInDoubt,
    NoPort,
    Declined,
}

/// The counters behind [`Refused`].
#[derive(Debug, Default)]
pub(crate) struct Refusals([AtomicU64; 7]);

impl Refusals {
    /// Counts a refusal; returns the failure for the dialer.
    pub(crate) fn refuse(&self, why: Refusal) -> Failure {
        self.0[why as usize].fetch_add(1, Relaxed);
        tracing::debug!(?why, "refused");
        match why {
            Refusal::NoSuchHost => Cause::NoSuchHost.into(),
            _ => Cause::ConnectionRefused.into(),
        }
    }

    pub(crate) fn snapshot(&self) -> Refused {
        let count = |why: Refusal| self.0[why as usize].load(Relaxed);
        Refused {
            no_such_host: count(Refusal::NoSuchHost),
            nothing_listened: count(Refusal::NothingListens),
            backlog_full: count(Refusal::BacklogFull),
            went_down: count(Refusal::WentDown),
            name_in_doubt: count(Refusal::NameInDoubt),
            no_port: count(Refusal::NoPort),
            declined: count(Refusal::Declined),
        }
    }
}
