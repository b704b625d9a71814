//! Names: which names this registry value holds, is announcing, or gave up.
//!
//! Owns the bookkeeping: plain data behind a lock, with no I/O. Never decides
//! who owns a name: that is settled on the server.
//!
//! A name is *claimed* while its announcement is under way and once it has
//! succeeded. An announcement whose outcome nobody waited for, or that may or
//! may not have been applied, leaves its name *abandoned*: the server may hold
//! it for us until a command to free it has been answered. Both may be true of
//! one name at once, as announcements are numbered and freeing one leaves later
//! ones alone.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// One announcement of one name.
pub(crate) type Announcement = (String, u64);

#[derive(Default)]
pub(crate) struct Names {
    table: Mutex<Table>,
    /// Told of every abandoned name. Keeps one call when nobody listens.
    abandonment: Notify,
}

#[derive(Default)]
struct Table {
    /// The number of the last announcement.
    last: u64,
    claimed: HashMap<String, u64>,
    /// By name, so that retrying against a dead server does not fill memory:
    /// freeing the latest announcement frees all before it.
    abandoned: HashMap<String, u64>,
}

impl Names {
    /// Claims a name for a new announcement; `None` when it is claimed already.
    pub(crate) fn claim(&self, hostname: &str) -> Option<Claim<'_>> {
        let mut table = self.table();
        if table.claimed.contains_key(hostname) {
            return None;
        }
        table.last += 1;
        let number = table.last;
        table.claimed.insert(hostname.to_owned(), number);
        Some(Claim {
            names: self,
            hostname: hostname.to_owned(),
            number,
            settled: false,
        })
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
        // A claim is later than what was abandoned of the same name.
        all.extend(table.claimed.clone());
        all.into_iter().collect()
    }

    /// The server answered that it holds nothing of this announcement any more,
    /// nor of earlier ones.
    pub(crate) fn freed(&self, (hostname, number): &Announcement) {
        let mut table = self.table();
        table.claimed.remove_if_up_to(hostname, *number);
        table.abandoned.remove_if_up_to(hostname, *number);
    }

    /// Forgets everything: for the end of a close that did what it could.
    pub(crate) fn clear(&self) {
        let mut table = self.table();
        table.claimed.clear();
        table.abandoned.clear();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change is one insertion or removal, so the table is whole
        // even after a panic elsewhere.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

trait RemoveIfUpTo {
    fn remove_if_up_to(&mut self, hostname: &str, number: u64);
}

impl RemoveIfUpTo for HashMap<String, u64> {
    fn remove_if_up_to(&mut self, hostname: &str, number: u64) {
        if self.get(hostname).is_some_and(|&held| held <= number) {
            self.remove(hostname);
        }
    }
}

/// An announcement under way. Dropped before it is settled, it abandons its
/// name: that is how cancelling, timing out and failing half-way are handled.
pub(crate) struct Claim<'a> {
    names: &'a Names,
    hostname: String,
    number: u64,
    settled: bool,
}

impl Claim<'_> {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The server confirmed the announcement: the name stays claimed.
    pub(crate) fn keep(mut self) {
        self.settled = true;
        // An earlier announcement of the name that arrives after this one is
        // refused by the server, so there is nothing left to free.
        let mut table = self.names.table();
        table.abandoned.remove_if_up_to(&self.hostname, self.number);
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
        let hostname = std::mem::take(&mut self.hostname);
        let mut table = self.names.table();
        table.claimed.remove(&hostname);
        table.abandoned.insert(hostname, self.number);
        drop(table);
        self.names.abandonment.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(hostname: &str, number: u64) -> Announcement {
        (hostname.to_owned(), number)
    }

    #[test]
    fn a_name_is_claimed_once() {
        let names = Names::default();
        let claim = names.claim("a").unwrap();
        assert!(names.claim("a").is_none());
        claim.keep();
        assert!(names.claim("a").is_none());
        assert!(names.claim("b").is_some());
    }

    #[test]
    fn a_dropped_claim_is_abandoned_until_freed() {
        let names = Names::default();
        drop(names.claim("a").unwrap());
        assert_eq!(names.abandoned(), [name("a", 1)]);
        drop(names.claim("a").unwrap());
        assert_eq!(names.abandoned(), [name("a", 2)]);
        names.freed(&name("a", 1));
        assert_eq!(names.abandoned(), [name("a", 2)]);
        names.freed(&name("a", 2));
        assert_eq!(names.all(), []);
    }

    #[test]
    fn freeing_an_earlier_announcement_leaves_the_claim() {
        let names = Names::default();
        drop(names.claim("a").unwrap());
        let claim = names.claim("a").unwrap();
        assert_eq!(names.all(), [name("a", 2)]);
        names.freed(&name("a", 1));
        assert_eq!(names.abandoned(), []);
        claim.keep();
        assert_eq!(names.all(), [name("a", 2)]);
    }

    #[test]
    fn a_kept_claim_leaves_nothing_to_free_a_refused_one_does() {
        let names = Names::default();
        drop(names.claim("a").unwrap());
        names.claim("a").unwrap().forget();
        assert_eq!(names.abandoned(), [name("a", 1)]);
        names.claim("a").unwrap().keep();
        assert_eq!(names.abandoned(), []);
    }
}
