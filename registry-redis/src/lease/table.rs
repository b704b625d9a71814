//! LeaseTable: which names this registry value holds, is announcing, or gave up.
//!
//! Owns this state: plain data behind a lock, with no I/O. Never decides which registry
//! owns a name: the server does.
//!
//! A name is *announced* while its announcement is under way and after it has succeeded;
//! then it is *held* until a moment that each renewal moves on. A name whose moment has passed
//! stays announced: a later renewal may confirm it, or find it *lost* to another registry. An
//! announcement whose call was dropped, or that may or may not have been applied, leaves its
//! name *abandoned*: the server may hold it for us until it has confirmed a command to free
//! it. A name can be announced and abandoned at once: announcements are numbered, and
//! freeing one does not affect later ones.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use virtnet_core::{Failure, Lost};

use crate::lease::clock::Moment;

/// One announcement of one name.
pub(crate) type Announcement = (Arc<str>, u64);

#[derive(Default)]
pub(crate) struct LeaseTable {
    /// A plain lock: held for map operations only, as every accepted dial checks a name
    /// here.
    table: Mutex<Table>,
    /// Notified of every abandoned name. Keeps one notification when nobody waits.
    abandonment: Notify,
    /// Notified when a name was checked whose lease has ended.
    overdue: Notify,
    /// Notified of every lost name.
    loss: Notify,
}

#[derive(Default)]
struct Table {
    /// The number of the last announcement.
    last: u64,
    announced: HashMap<Arc<str>, Announced>,
    /// By name, so that retries against a dead server do not fill the memory: freeing the
    /// latest announcement frees all before it.
    abandoned: HashMap<Arc<str>, u64>,
    /// Not reported yet. Bounded by the names that were announced.
    lost: VecDeque<Lost>,
}

struct Announced {
    number: u64,
    /// `None` while it is being announced.
    confirmed: Option<Confirmed>,
}

struct Confirmed {
    hostdata: Arc<str>,
    until: Moment,
    confirmed_at: u64,
}

/// An announced name, with all that is needed to announce it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) hostname: Arc<str>,
    pub(crate) number: u64,
    pub(crate) hostdata: Arc<str>,
    /// When the server last confirmed that it is ours, by its clock in milliseconds.
    pub(crate) confirmed_at: u64,
}

impl LeaseTable {
    /// Begins an announcement; `None` if the name is announced already.
    pub(crate) fn begin(&self, hostname: &str) -> Option<PendingAnnouncement<'_>> {
        let mut table = self.table();
        if table.announced.contains_key(hostname) {
            return None;
        }
        table.last += 1;
        let number = table.last;
        let hostname: Arc<str> = Arc::from(hostname);
        let announced = Announced {
            number,
            confirmed: None,
        };
        table.announced.insert(Arc::clone(&hostname), announced);
        Some(PendingAnnouncement {
            table: self,
            hostname,
            number,
            settled: false,
        })
    }

    /// Whether a name is held at `now`: it is announced, and its lease has not ended.
    pub(crate) fn holds(&self, hostname: &str, now: Moment) -> bool {
        let until = {
            let table = self.table();
            let announced = table.announced.get(hostname);
            announced.and_then(|announced| Some(announced.confirmed.as_ref()?.until))
        };
        if until.is_some_and(|until| now >= until) {
            self.overdue.notify_one();
        }
        until.is_some_and(|until| now < until)
    }

    /// Whether the lease of any name has ended at `now`.
    pub(crate) fn has_overdue(&self, now: Moment) -> bool {
        let table = self.table();
        let mut confirmed = table
            .announced
            .values()
            .filter_map(|announced| announced.confirmed.as_ref());
        confirmed.any(|confirmed| now >= confirmed.until)
    }

    /// Waits until a name is checked whose lease has ended, or was since the last wait.
    pub(crate) async fn overdue(&self) {
        self.overdue.notified().await;
    }

    /// The names to renew.
    pub(crate) fn to_renew(&self) -> Vec<Lease> {
        let table = self.table();
        let lease = |(hostname, announced): (&Arc<str>, &Announced)| {
            let confirmed = announced.confirmed.as_ref()?;
            Some(Lease {
                hostname: Arc::clone(hostname),
                number: announced.number,
                hostdata: Arc::clone(&confirmed.hostdata),
                confirmed_at: confirmed.confirmed_at,
            })
        };
        table.announced.iter().filter_map(lease).collect()
    }

    /// The server renewed these leases, each at the time (by its clock) that goes with it. They
    /// are held until `until`.
    pub(crate) fn renewed<'a>(
        &self,
        leases: impl Iterator<Item = (&'a Lease, u64)>,
        until: Moment,
    ) {
        let mut table = self.table();
        for (lease, confirmed_at) in leases {
            let announced = table.announced.get_mut(&lease.hostname);
            let announced = announced.filter(|announced| announced.number == lease.number);
            if let Some(confirmed) = announced.and_then(|announced| announced.confirmed.as_mut()) {
                confirmed.until = confirmed.until.max(until);
                // The server's clock may go back: a note that was written before, our own
                // among them, must not look newer than this.
                confirmed.confirmed_at = confirmed.confirmed_at.max(confirmed_at);
            }
        }
    }

    /// Another registry holds the name.
    pub(crate) fn lose(&self, lease: &Lease, reason: Failure) {
        let mut table = self.table();
        let announced = table.announced.get(&lease.hostname);
        if announced.is_none_or(|announced| announced.number != lease.number) {
            return;
        }
        table.announced.remove(&lease.hostname);
        let hostname = lease.hostname.to_string();
        table.lost.push_back(Lost { hostname, reason });
        drop(table);
        self.loss.notify_one();
    }

    /// Waits for a lost name that was not reported yet. Dropping the future loses none.
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

    /// The host was crashed: its lease is neither renewed nor freed any more.
    pub(crate) fn crash(&self, hostname: &str) {
        self.table().announced.remove(hostname);
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
        let announced = table.announced.iter();
        // An announcement in the table is later than an abandoned one of the same name.
        all.extend(announced.map(|(hostname, announced)| (Arc::clone(hostname), announced.number)));
        all.into_iter().collect()
    }

    /// The server confirmed that it has nothing left of this announcement or earlier ones.
    pub(crate) fn freed(&self, (hostname, number): &Announcement) {
        let mut table = self.table();
        let announced = table.announced.get(hostname);
        if announced.is_some_and(|announced| announced.number <= *number) {
            table.announced.remove(hostname);
        }
        table.forget_abandoned(hostname, *number);
    }

    /// Forgets everything: for the end of a close, whether or not it freed all names.
    pub(crate) fn clear(&self) {
        let mut table = self.table();
        table.announced.clear();
        table.abandoned.clear();
        table.lost.clear();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
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
/// name: this covers cancellation, timeouts and failures half-way.
pub(crate) struct PendingAnnouncement<'a> {
    table: &'a LeaseTable,
    hostname: Arc<str>,
    number: u64,
    settled: bool,
}

impl PendingAnnouncement<'_> {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The server confirmed the announcement at `confirmed_at`, by its clock. The name is held
    /// until `until`.
    pub(crate) fn confirm(mut self, hostdata: &str, until: Moment, confirmed_at: u64) {
        self.settled = true;
        let mut table = self.table.table();
        if let Some(announced) = table.announced.get_mut(&self.hostname) {
            let hostdata = Arc::from(hostdata);
            announced.confirmed = Some(Confirmed {
                hostdata,
                until,
                confirmed_at,
            });
        }
        // An earlier announcement of the name that arrives after this one is
        // refused by the server, so there is nothing left to free.
        table.forget_abandoned(&self.hostname, self.number);
    }

    /// The server refused the announcement, or never got it.
    pub(crate) fn discard(mut self) {
        self.settled = true;
        self.table.table().announced.remove(&self.hostname);
    }
}

impl Drop for PendingAnnouncement<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let hostname = Arc::clone(&self.hostname);
        let mut table = self.table.table();
        table.announced.remove(&hostname);
        table.abandoned.insert(hostname, self.number);
        drop(table);
        self.table.abandonment.notify_one();
    }
}
