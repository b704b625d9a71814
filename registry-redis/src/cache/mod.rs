//! Cache: what the server answered and has not taken back since.
//!
//! Owns the remembered values: plain data behind a lock, with no I/O. Never
//! asks the server; a connection tells it what it hears.
//!
//! A value is remembered only while the connection over which it was read is
//! the tracking one: the server pushes on it that a key has changed. Answers and
//! pushes come over one stream, in the order in which the server saw the reads
//! and the changes. So one thing is left to get right here: a push is heard when
//! it arrives, but an answer is put in later, by the task that asked. Between
//! the two lies the [`PendingLookup`]: a push that arrives while a key is being asked for
//! takes the ask away, and its answer is not remembered.
//!
//! A push must be read before it is heard. Within one process that would be too
//! late for somebody who saw a name freed and looks for it at once: so what one
//! registry changes, all caches of its process are told ([`changed_here`]).

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use redis::{PushInfo, PushKind, Value};
use tokio::time::Instant;

/// How many keys are remembered or asked for. When there are more, all are
/// forgotten: that costs one question each, and needs no order among them.
const MOST_KEYS: usize = 4_096;
/// The longest value that is remembered, in bytes. With the bound on names, the
/// memory takes some megabytes at the very most.
const LONGEST_VALUE: usize = 1_024;

pub(crate) struct Cache {
    /// How long after the question an answer is remembered. Pushes make it
    /// right; this bounds the harm of a path that silently went dead.
    lifetime: Duration,
    /// A plain lock: held for map operations only, by callers and by the
    /// connection's task.
    table: Arc<Mutex<CacheTable>>,
}

/// The caches of this process. Never locked together with one.
static CACHES: Mutex<Vec<Weak<Mutex<CacheTable>>>> = Mutex::new(Vec::new());

/// The server has confirmed that a registry of this process changed the keys: no
/// memory here knows them any more. One of another server may have such a key
/// too, and asks once more for it.
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
    /// The connection on which changes are heard of; without one, nothing is
    /// remembered.
    tracking: Option<u64>,
    last_lookup: u64,
    entries: HashMap<Vec<u8>, CacheEntry>,
}

enum CacheEntry {
    /// By the ask of this number.
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

    /// Whether anything is ever remembered.
    pub(crate) fn is_on(&self) -> bool {
        !self.lifetime.is_zero()
    }

    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        match self.table().entries.get(key.as_bytes()) {
            Some(CacheEntry::Known(value, until)) if Instant::now() < *until => Some(value.clone()),
            _ => None,
        }
    }

    /// Begins asking for a key, and forgets what was known of it.
    ///
    /// Called before the question is sent.
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

    /// Changes are heard of on this connection from now on.
    pub(crate) fn track(&self, connection: u64) {
        let mut table = self.table();
        table.entries.clear();
        table.tracking = Some(connection);
    }

    /// This connection is not to be relied on any more.
    pub(crate) fn connection_lost(&self, connection: u64) {
        let mut table = self.table();
        if table.tracking == Some(connection) {
            table.tracking = None;
            table.entries.clear();
        }
    }

    /// What was pushed on this connection.
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
            // All of them: the database was flushed.
            _ => table.entries.clear(),
        }
    }

    fn table(&self) -> MutexGuard<'_, CacheTable> {
        self.table.lock()
    }
}

/// A key being asked for. Dropped without an answer, it leaves nothing.
pub(crate) struct PendingLookup<'a> {
    cache: &'a Cache,
    key: &'a str,
    number: u64,
    asked: Instant,
}

impl PendingLookup<'_> {
    /// Remembers the answer that came over this connection, unless the key may
    /// have changed since.
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
        // The lock goes before `self`, whose drop takes it.
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
