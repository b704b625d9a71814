//! Cache: the values that the server sent and that have not changed since.
//!
//! Owns the cached values: plain data behind a lock, with no I/O. Never asks the server; a
//! connection passes its pushes on.
//!
//! A value is cached only while the connection over which it was read is the tracking one:
//! on it the server pushes that a key has changed. Replies and pushes come over one stream,
//! in the order in which the server saw the reads and the changes. But a push is handled when it
//! arrives, and a reply is stored later, by the task that asked. [`PendingLookup`] closes that
//! gap: a push that arrives while a key is being looked up removes the pending lookup, and
//! its reply is not cached.
//!
//! A push takes time to arrive. Within one process, a caller that saw a name freed and looks it
//! up at once must not find it. So all caches of the process are told what one of its registries
//! changes ([`changed_here`]).

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use redis::{PushInfo, PushKind, Value};
use tokio::time::Instant;

/// How many keys are cached or being looked up. When there are more, all are forgotten: that
/// costs one lookup each, and needs no order among them.
const MOST_KEYS: usize = 4_096;
/// The longest value that is cached, in bytes. With the bound on names, a cache takes a few
/// megabytes at most.
const LONGEST_VALUE: usize = 1_024;

pub(crate) struct Cache {
    /// How long after the lookup began a reply is cached. Pushes keep it correct; this bounds
    /// the harm of a connection that is dead without anybody noticing.
    lifetime: Duration,
    /// A plain lock: held for map operations only, by callers and by the
    /// connection's task.
    table: Arc<Mutex<CacheTable>>,
}

/// The caches of this process. Never locked together with one.
static CACHES: Mutex<Vec<Weak<Mutex<CacheTable>>>> = Mutex::new(Vec::new());

/// Removes these keys from all caches of this process: the server has confirmed that a registry
/// of this process changed them. A cache of another server may have such a key too, and looks
/// it up once more.
pub(crate) fn changed_here(keys: &[String]) {
    let caches = CACHES.lock().clone();
    for table in caches.iter().filter_map(Weak::upgrade) {
        let mut table = table.lock();
        for key in keys {
            table.entries.remove(key.as_bytes());
        }
    }
}

#[derive(Default)]
struct CacheTable {
    /// The connection on which changes are pushed; without one, nothing is cached.
    tracking: Option<u64>,
    last_lookup: u64,
    entries: HashMap<Vec<u8>, CacheEntry>,
}

enum CacheEntry {
    /// By the lookup of this number.
    Pending(u64),
    Known(Vec<u8>, Instant),
}

impl Cache {
    pub(crate) fn new(lifetime: Duration) -> Cache {
        let table = Arc::default();
        let mut here = CACHES.lock();
        here.retain(|cache| cache.strong_count() > 0);
        here.push(Arc::downgrade(&table));
        Cache { lifetime, table }
    }

    /// Whether anything is ever cached.
    pub(crate) fn is_on(&self) -> bool {
        !self.lifetime.is_zero()
    }

    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        match self.table().entries.get(key.as_bytes()) {
            Some(CacheEntry::Known(value, until)) if Instant::now() < *until => Some(value.clone()),
            _ => None,
        }
    }

    /// Begins to look a key up, and forgets its cached value.
    ///
    /// Called before the command is sent.
    pub(crate) fn begin_lookup<'a>(&'a self, key: &'a str) -> PendingLookup<'a> {
        let mut table = self.table();
        table.last_lookup += 1;
        let number = table.last_lookup;
        if table.entries.len() >= MOST_KEYS {
            table.entries.clear();
        }
        let entry = CacheEntry::Pending(number);
        table.entries.insert(key.as_bytes().to_vec(), entry);
        PendingLookup {
            cache: self,
            key,
            number,
            asked: Instant::now(),
        }
    }

    /// Changes are pushed on this connection from now on.
    pub(crate) fn track(&self, connection: u64) {
        let mut table = self.table();
        table.entries.clear();
        table.tracking = Some(connection);
    }

    /// This connection can no longer be relied on.
    pub(crate) fn connection_lost(&self, connection: u64) {
        let mut table = self.table();
        if table.tracking == Some(connection) {
            table.tracking = None;
            table.entries.clear();
        }
    }

    /// Handles a push on this connection.
    pub(crate) fn on_push(&self, connection: u64, push: &PushInfo) {
        match push.kind {
            PushKind::Disconnection => self.connection_lost(connection),
            PushKind::Invalidate => self.changed(connection, &push.data),
            _ => {}
        }
    }

    fn changed(&self, connection: u64, data: &[Value]) {
        let mut table = self.table();
        if table.tracking != Some(connection) {
            return;
        }
        match data {
            [Value::Array(keys)] => keys.iter().for_each(|key| match key {
                Value::BulkString(key) => drop(table.entries.remove(key)),
                _ => table.entries.clear(),
            }),
            // All keys: the database was flushed.
            _ => table.entries.clear(),
        }
    }

    fn table(&self) -> MutexGuard<'_, CacheTable> {
        self.table.lock()
    }
}

/// A key that is being looked up. Dropped without a reply, it leaves nothing.
pub(crate) struct PendingLookup<'a> {
    cache: &'a Cache,
    key: &'a str,
    number: u64,
    asked: Instant,
}

impl PendingLookup<'_> {
    /// Caches the reply that came over this connection, unless the key may have changed
    /// since.
    pub(crate) fn store(self, connection: u64, value: &[u8]) {
        let mut table = self.cache.table();
        if table.tracking != Some(connection) || value.len() > LONGEST_VALUE {
            return;
        }
        let until = self.asked + self.cache.lifetime;
        if let Some(entry) = table.entries.get_mut(self.key.as_bytes())
            && matches!(entry, CacheEntry::Pending(number) if *number == self.number)
        {
            *entry = CacheEntry::Known(value.to_vec(), until);
        }
        // Unlocked before `self` is dropped, whose drop locks it.
        drop(table);
    }
}

impl Drop for PendingLookup<'_> {
    fn drop(&mut self) {
        let mut table = self.cache.table();
        let entry = table.entries.get(self.key.as_bytes());
        if matches!(entry, Some(CacheEntry::Pending(number)) if *number == self.number) {
            table.entries.remove(self.key.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
