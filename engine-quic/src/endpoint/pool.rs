//! The pool of QUIC connections that a host has opened to its peers.
//!
//! Owns which connection a dial uses, and when an unused one is closed. Never connects
//! by itself, and never touches a stream.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quinn::Connection;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use virtnet_core::Failure;

use crate::config::transport::CloseCode;
use crate::endpoint::flush::Unflushed;
use crate::endpoint::tasks::Tasks;
use crate::udp::faults::name::PeerName;

/// The key of a pooled connection: the name that its peer proved, and the hostdata at
/// which it was reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PoolKey {
    pub(crate) host: Arc<str>,
    pub(crate) hostdata: Arc<str>,
}

/// The connections of one host to its peers.
pub(crate) struct Pool {
    entries: Mutex<HashMap<PoolKey, Arc<PoolEntry>>>,
    tasks: Tasks,
    unflushed: Unflushed,
    /// How long an unused connection is kept.
    idle: Duration,
}

/// A connection, or an attempt to connect that all dials with the same key wait for.
#[derive(Default)]
struct PoolEntry {
    conn: OnceCell<Arc<PooledConnection>>,
}

/// A connection, and how many streams and dials use it.
pub(crate) struct PooledConnection {
    conn: Connection,
    uses: Mutex<UseCount>,
    /// Whose address the connection leads to, for fault rules.
    _name: PeerName,
}

struct UseCount {
    count: usize,
    /// When the count last became 0.
    since: Instant,
}

/// One use of a pooled connection, by a dial and then by its stream.
pub(crate) struct PoolUse {
    pooled: Arc<PooledConnection>,
    /// Whether the connection was made for this use.
    pub(crate) fresh: bool,
}

impl PoolUse {
    pub(crate) fn conn(&self) -> &Connection {
        &self.pooled.conn
    }
}

impl Drop for PoolUse {
    fn drop(&mut self) {
        let mut uses = self.pooled.uses.lock();
        uses.count -= 1;
        uses.since = Instant::now();
    }
}

impl Pool {
    pub(crate) fn new(tasks: Tasks, unflushed: Unflushed, idle: Duration) -> Arc<Pool> {
        Arc::new(Pool {
            entries: Mutex::default(),
            tasks,
            unflushed,
            idle,
        })
    }

    /// A use of the connection for `key`. Calls `connect` if the pool has none.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves at most a connection in the pool. If other dials wait
    /// for the connection, too, one of them connects instead.
    pub(crate) async fn acquire<F>(
        self: &Arc<Pool>,
        key: &PoolKey,
        connect: impl Fn() -> F,
    ) -> Result<PoolUse, Failure>
    where
        F: Future<Output = Result<(Connection, PeerName), Failure>>,
    {
        loop {
            let waiting = WaitingDial {
                pool: self,
                key,
                entry: Arc::clone(self.entries.lock().entry(key.clone()).or_default()),
            };
            let mut fresh = false;
            let (made_now, connecting) = (&mut fresh, &connect);
            let made = waiting.entry.conn.get_or_try_init(|| async move {
                let conn = connecting().await?;
                *made_now = true;
                Ok(self.spawn_idle_task(key, conn))
            });
            let pooled = match made.await {
                Ok(pooled) => Arc::clone(pooled),
                Err(failure) => return Err::<_, Failure>(failure),
            };
            // A new connection is used even if it is lost already: the dial must report
            // that loss.
            if let Some(pool_use) = self.use_pooled(key, &pooled, fresh) {
                return Ok(pool_use);
            }
        }
    }

    /// Counts one more use, unless the connection was removed from the pool.
    fn use_pooled(
        &self,
        key: &PoolKey,
        pooled: &Arc<PooledConnection>,
        fresh: bool,
    ) -> Option<PoolUse> {
        // While this lock is held, the connection's task does not close it.
        let mut entries = self.entries.lock();
        if !fresh && pooled.conn.close_reason().is_some() {
            remove(&mut entries, key, pooled);
        }
        if !fresh && !holds(&entries, key, pooled) {
            return None;
        }
        if !fresh {
            pooled.uses.lock().count += 1;
        }
        Some(PoolUse {
            pooled: Arc::clone(pooled),
            fresh,
        })
    }

    /// Removes a connection, so that the next dial makes a new one. Its streams continue.
    pub(crate) fn evict(&self, key: &PoolKey, pool_use: &PoolUse) {
        remove(&mut self.entries.lock(), key, &pool_use.pooled);
    }

    /// Starts the task that closes a connection after it was unused for too long.
    fn spawn_idle_task(
        self: &Arc<Pool>,
        key: &PoolKey,
        (conn, name): (Connection, PeerName),
    ) -> Arc<PooledConnection> {
        let pooled = Arc::new(PooledConnection {
            conn,
            _name: name,
            uses: Mutex::new(UseCount {
                // The use of the dial that made it, so that it is not closed before.
                count: 1,
                since: Instant::now(),
            }),
        });
        let (pool, key, watched) = (Arc::clone(self), key.clone(), Arc::clone(&pooled));
        self.tasks.spawn(async move {
            let mut check_at = Instant::now() + pool.idle;
            loop {
                tokio::select! {
                    _ = watched.conn.closed() => break,
                    () = tokio::time::sleep_until(check_at) => {}
                }
                match pool.remove_idle(&key, &watched) {
                    Some(next) => check_at = next,
                    None => break watched.conn.close(CloseCode::Idle.into(), b"unused"),
                }
            }
            remove(&mut pool.entries.lock(), &key, &watched);
            pool.unflushed.remove(&watched.conn);
        });
        pooled
    }

    /// Removes a connection that was unused for too long; otherwise returns when to check
    /// again.
    fn remove_idle(&self, key: &PoolKey, pooled: &Arc<PooledConnection>) -> Option<Instant> {
        let mut entries = self.entries.lock();
        let uses = pooled.uses.lock();
        let now = Instant::now();
        if uses.count > 0 {
            return Some(now + self.idle);
        }
        let due = uses.since + self.idle;
        if due > now {
            return Some(due);
        }
        remove(&mut entries, key, pooled);
        None
    }

    /// Removes an entry whose connection could not be made, unless other dials wait for it.
    fn remove_unconnected(&self, key: &PoolKey, entry: &Arc<PoolEntry>) {
        let mut entries = self.entries.lock();
        // Two holders: the map and this dial.
        if !entry.conn.initialized() && Arc::strong_count(entry) == 2 {
            entries.remove(key);
        }
    }
}

/// A dial that waits for an entry. The last one that fails or is dropped before there is
/// a connection removes the entry.
struct WaitingDial<'a> {
    pool: &'a Pool,
    key: &'a PoolKey,
    entry: Arc<PoolEntry>,
}

impl Drop for WaitingDial<'_> {
    fn drop(&mut self) {
        self.pool.remove_unconnected(self.key, &self.entry);
    }
}

fn holds(
    entries: &HashMap<PoolKey, Arc<PoolEntry>>,
    key: &PoolKey,
    pooled: &Arc<PooledConnection>,
) -> bool {
    let held = entries.get(key).and_then(|entry| entry.conn.get());
    held.is_some_and(|held| Arc::ptr_eq(held, pooled))
}

fn remove(
    entries: &mut HashMap<PoolKey, Arc<PoolEntry>>,
    key: &PoolKey,
    pooled: &Arc<PooledConnection>,
) {
    if holds(entries, key, pooled) {
        entries.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dial_that_is_dropped_while_connecting_leaves_nothing() {
        let tasks = Tasks::new();
        let pool = Pool::new(tasks, Unflushed::default(), Duration::from_secs(60));
        let key = PoolKey {
            host: "α".into(),
            hostdata: "127.0.0.1:1".into(),
        };
        let connect = std::future::pending::<Result<(Connection, PeerName), Failure>>;
        for dials in 1..=3 {
            let acquiring = (0..dials).map(|_| Box::pin(pool.acquire(&key, connect)));
            let mut acquiring: Vec<_> = acquiring.collect();
            for pool_use in &mut acquiring {
                let polled = std::future::poll_fn(|cx| {
                    std::task::Poll::Ready(pool_use.as_mut().poll(cx).is_pending())
                });
                assert!(polled.await);
            }
            assert_eq!(pool.entries.lock().len(), 1);
            drop(acquiring);
            assert_eq!(pool.entries.lock().len(), 0, "{dials} dials");
        }
    }
}
