//! LeaseTable: which names this registry value holds, is announcing, or gave up.
//!
//! Owns the bookkeeping: plain data behind a lock, with no I/O. Never decides
//! who owns a name: that is settled on the server.
//!
//! A name is *claimed* while its announcement is under way and once it has
//! succeeded; then it is *held* until a moment that each renewal puts off. A
//! name whose moment has passed stays claimed: it may be ours again, or turn out
//! to be *lost* to another. An announcement whose outcome nobody waited for, or
//! that may or may not have been applied, leaves its name *abandoned*: the
//! server may hold it for us until a command to free it has been answered. Both
//! may be true of one name at once, as announcements are numbered and freeing
//! one leaves later ones alone.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use virtnet_core::{Failure, Lost};

use crate::lease::clock::Moment;

/// One announcement of one name.
pub(crate) type Announcement = (Arc<str>, u64);

#[derive(Default)]
pub(crate) struct LeaseTable {
    /// A plain lock: held for map operations only, as a host that is dialed
    /// looks here.
    table: Mutex<Table>,
    /// Told of every abandoned name. Keeps one call when nobody listens.
    abandonment: Notify,
    /// Told when a name was looked for whose moment has passed.
    overdue: Notify,
    /// Told of every lost name.
    loss: Notify,
}

#[derive(Default)]
struct Table {
    /// The number of the last announcement.
    last: u64,
    claimed: HashMap<Arc<str>, Claimed>,
    /// By name, so that retrying against a dead server does not fill memory:
    /// freeing the latest announcement frees all before it.
    abandoned: HashMap<Arc<str>, u64>,
    /// Not reported yet. Bounded by the names that were announced.
    lost: VecDeque<Lost>,
}

struct Claimed {
    number: u64,
    /// `None` while it is being announced.
    held: Option<Held>,
}

struct Held {
    hostdata: Arc<str>,
    until: Moment,
    seen: u64,
}

/// An announced name, with what it takes to announce it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) hostname: Arc<str>,
    pub(crate) number: u64,
    pub(crate) hostdata: Arc<str>,
    /// When the server last said that it is ours, by its clock in milliseconds.
    pub(crate) seen: u64,
}

impl LeaseTable {
    /// Claims a name for a new announcement; `None` when it is claimed already.
    pub(crate) fn claim(&self, hostname: &str) -> Option<Claim<'_>> {
        let mut table = self.table();
        if table.claimed.contains_key(hostname) {
            return None;
        }
        table.last += 1;
        let number = table.last;
        let hostname: Arc<str> = Arc::from(hostname);
        let claimed = Claimed { number, held: None };
        table.claimed.insert(Arc::clone(&hostname), claimed);
        Some(Claim {
            names: self,
            hostname,
            number,
            settled: false,
        })
    }

    /// Whether a name is announced, and its moment has not come yet at `now`.
    pub(crate) fn holds(&self, hostname: &str, now: Moment) -> bool {
        let until = {
            let table = self.table();
            let claimed = table.claimed.get(hostname);
            claimed.and_then(|claimed| Some(claimed.held.as_ref()?.until))
        };
        if until.is_some_and(|until| now >= until) {
            self.overdue.notify_one();
        }
        until.is_some_and(|until| now < until)
    }

    /// Whether there is a name whose moment has passed at `now`.
    pub(crate) fn has_overdue(&self, now: Moment) -> bool {
        let table = self.table();
        let mut held = table
            .claimed
            .values()
            .filter_map(|claimed| claimed.held.as_ref());
        held.any(|held| now >= held.until)
    }

    /// Waits until somebody looks for a name whose moment has passed, or did so
    /// since the last wait.
    pub(crate) async fn overdue(&self) {
        self.overdue.notified().await;
    }

    /// The names to renew.
    pub(crate) fn leases(&self) -> Vec<Lease> {
        let table = self.table();
        let lease = |(hostname, claimed): (&Arc<str>, &Claimed)| {
            let held = claimed.held.as_ref()?;
            Some(Lease {
                hostname: Arc::clone(hostname),
                number: claimed.number,
                hostdata: Arc::clone(&held.hostdata),
                seen: held.seen,
            })
        };
        table.claimed.iter().filter_map(lease).collect()
    }

    /// The server renewed the leases, each at the time that it said: they are held
    /// until then.
    pub(crate) fn renewed<'a>(
        &self,
        leases: impl Iterator<Item = (&'a Lease, u64)>,
        until: Moment,
    ) {
        let mut table = self.table();
        for (lease, seen) in leases {
            let claimed = table.claimed.get_mut(&lease.hostname);
            let claimed = claimed.filter(|claimed| claimed.number == lease.number);
            if let Some(held) = claimed.and_then(|claimed| claimed.held.as_mut()) {
                held.until = held.until.max(until);
                held.seen = seen;
            }
        }
    }

    /// Another holds the name.
    pub(crate) fn lose(&self, lease: &Lease, reason: Failure) {
        let mut table = self.table();
        let claimed = table.claimed.get(&lease.hostname);
        if claimed.is_none_or(|claimed| claimed.number != lease.number) {
            return;
        }
        table.claimed.remove(&lease.hostname);
        let hostname = lease.hostname.to_string();
        table.lost.push_back(Lost { hostname, reason });
        drop(table);
        self.loss.notify_one();
    }

    /// Waits for a lost name that was not reported yet. Dropped before it is
    /// done, it has taken none.
    pub(crate) async fn lost(&self) -> Lost {
        loop {
            let loss = self.loss.notified();
            let next = self.table().lost.pop_front();
            match next {
                Some(lost) => return lost,
                None => loss.await,
            }
        }
    }

    /// Waits until a name is abandoned, or was since the last wait.
    pub(crate) async fn abandonment(&self) {
        self.abandonment.notified().await;
    }

    /// The names to free in the background.
    pub(crate) fn abandoned(&self) -> Vec<Announcement> {
        self.table().abandoned.clone().into_iter().collect()
    }

    /// Everything that the server may hold for us.
    pub(crate) fn all(&self) -> Vec<Announcement> {
        let table = self.table();
        let mut all = table.abandoned.clone();
        let claimed = table.claimed.iter();
        // A claim is later than what was abandoned of the same name.
        all.extend(claimed.map(|(hostname, claimed)| (Arc::clone(hostname), claimed.number)));
        all.into_iter().collect()
    }

    /// The server answered that it holds nothing of this announcement any more,
    /// nor of earlier ones.
    pub(crate) fn freed(&self, (hostname, number): &Announcement) {
        let mut table = self.table();
        let claimed = table.claimed.get(hostname);
        if claimed.is_some_and(|claimed| claimed.number <= *number) {
            table.claimed.remove(hostname);
        }
        table.forget_abandoned(hostname, *number);
    }

    /// Forgets everything: for the end of a close that did what it could.
    pub(crate) fn clear(&self) {
        let mut table = self.table();
        table.claimed.clear();
        table.abandoned.clear();
        table.lost.clear();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change is one insertion or removal, so the table is whole
        // even after a panic elsewhere.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn forget_abandoned(&mut self, hostname: &str, up_to: u64) {
        if self.abandoned.get(hostname).is_some_and(|&n| n <= up_to) {
            self.abandoned.remove(hostname);
        }
    }
}

/// An announcement under way. Dropped before it is settled, it abandons its
/// name: that is how cancelling, timing out and failing half-way are handled.
pub(crate) struct Claim<'a> {
    names: &'a LeaseTable,
    hostname: Arc<str>,
    number: u64,
    settled: bool,
}

impl Claim<'_> {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The server confirmed the announcement, at the time that it said: the name is
    /// held until then.
    pub(crate) fn keep(mut self, hostdata: &str, until: Moment, seen: u64) {
        self.settled = true;
        let mut table = self.names.table();
        if let Some(claimed) = table.claimed.get_mut(&self.hostname) {
            let hostdata = Arc::from(hostdata);
            claimed.held = Some(Held {
                hostdata,
                until,
                seen,
            });
        }
        // An earlier announcement of the name that arrives after this one is
        // refused by the server, so there is nothing left to free.
        table.forget_abandoned(&self.hostname, self.number);
    }

    /// The server refused the announcement, or never got it.
    pub(crate) fn forget(mut self) {
        self.settled = true;
        self.names.table().claimed.remove(&self.hostname);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let hostname = Arc::clone(&self.hostname);
        let mut table = self.names.table();
        table.claimed.remove(&hostname);
        table.abandoned.insert(hostname, self.number);
        drop(table);
        self.names.abandonment.notify_one();
    }
}
