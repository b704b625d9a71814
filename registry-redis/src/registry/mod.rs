//! The registry value: its calls and its close.
//!
//! Owns the lifetime: which calls are running, the background task, and the end of both.
//! Never talks to Redis itself: [`RegistryInner`] does.

mod connect;
pub(crate) mod eviction;
pub(crate) mod free;
pub(crate) mod free_on_drop;
pub(crate) mod inner;
pub(crate) mod listing;
pub(crate) mod renewer;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use virtnet_core::{Documents, Failure, Lost, Registry, RegistryError, Traces};

use crate::connection::error;
use crate::lease::clock::Moment;
use crate::registry::inner::RegistryInner;
use crate::registry::listing::Listing;
use crate::registry::renewer::Renewer;

/// A network's registry on a Redis server, for one subnetwork.
///
/// The crate's documentation says what it writes to Redis and what it guarantees.
///
/// Dropping it without [`close`](virtnet_core::Registry::close) ends its task and its
/// connection, and frees the names that it announced. That uses a connection and a thread of
/// its own, so it also works while the runtime is shutting down, such as at the end of a
/// program that failed. The drop waits for it, at most the deadline and never more than
/// 1.1 seconds. Names that were not freed by then are logged, and stay taken for their lease.
pub struct RedisRegistry {
    /// The URL without its password.
    shown: String,
    network: String,
    pub(crate) inner: Arc<RegistryInner>,
    warnings: Vec<String>,
    /// Whether the registry was closed. Each running call holds a receiver: it ends the
    /// call, and by its drop a close sees that the call has ended.
    closed: watch::Sender<bool>,
    renewer: Mutex<Option<Renewer>>,
}

impl RedisRegistry {
    /// All hosts of the network with their hostdata, by name, whichever process announced
    /// them: the part of a [`listing`](RedisRegistry::listing) that is needed to reach them.
    ///
    /// # Errors
    ///
    /// Those of a listing.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn hosts(&self) -> Result<BTreeMap<String, String>, RegistryError> {
        let listing = self.inner.listing(self.inner.connection.until());
        let listing = self.call("hosts", &[], listing).await?;
        let hosts = listing.hosts.into_iter();
        Ok(hosts.map(|(name, host)| (name, host.hostdata)).collect())
    }

    /// All hosts of the network, whichever process announced them, with owner and lease.
    ///
    /// A host that is announced or freed during the call may or may not be listed. So may a
    /// host that Redis lost, until its next renewal. The cost grows with the hosts of the
    /// network, not with other data on the server. Needs read rights only.
    ///
    /// # Errors
    ///
    /// [`Cause::RegistryDown`](virtnet_core::Cause::RegistryDown) as for a query. A value that
    /// no registry wrote is not an error: it is listed in
    /// [`unreadable`](Listing::unreadable).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn listing(&self) -> Result<Listing, RegistryError> {
        let listing = self.inner.listing(self.inner.connection.until());
        self.call("listing", &[], listing).await
    }

    /// Problems that were found on connecting and do no harm yet: a server that may evict
    /// names when its memory is full, an index key of the wrong type, a server that lacks
    /// client tracking. They were also logged.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Runs a call until it ends or the registry is closed.
    pub(crate) async fn call<T>(
        &self,
        op: &'static str,
        args: &[&str],
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, RegistryError> {
        // Declared first, so it is dropped last: when closing sees it gone, the
        // call has given up what it held.
        let mut closed = self.closed.subscribe();
        let closing = async { closed.wait_for(|closed| *closed).await.is_ok() };
        let result = tokio::select! {
            biased;
            _ = closing => Err(error::closed()),
            result = work => result,
        };
        result.map_err(|failure| self.error(op, args, failure))
    }

    fn error(&self, op: &'static str, args: &[&str], failure: Failure) -> RegistryError {
        RegistryError::new(&*self.shown, op, args, failure)
    }
}

#[async_trait]
impl Registry for RedisRegistry {
    /// Announces a host.
    ///
    /// # Errors
    ///
    /// Those of the trait; [`Cause::InvalidAddr`] for an invalid name.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, or fails with [`Cause::RegistryDown`], the server may have
    /// stored the name or may still receive it. The name is then freed in the background as
    /// soon as the server replies, and at the latest by `close`. It can be announced again
    /// here at once.
    ///
    /// [`Cause::RegistryDown`]: virtnet_core::Cause::RegistryDown
    /// [`Cause::InvalidAddr`]: virtnet_core::Cause::InvalidAddr
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError> {
        let until = self.inner.connection.until();
        let announce = self.inner.announce(until, hostname, hostdata);
        self.call("announce", &[hostname, hostdata], announce).await
    }

    /// Looks a host up: in the cache, if the reply is known and Redis has not reported a
    /// change; otherwise in Redis. The crate's documentation says more.
    ///
    /// # Errors
    ///
    /// Those of the trait; [`Cause::InvalidAddr`] for an invalid name, [`Cause::Protocol`] if
    /// the host's value was not written by a registry.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// [`Cause::InvalidAddr`]: virtnet_core::Cause::InvalidAddr
    /// [`Cause::Protocol`]: virtnet_core::Cause::Protocol
    async fn query(&self, hostname: &str) -> Result<String, RegistryError> {
        let query = self.inner.query(self.inner.connection.until(), hostname);
        self.call("query", &[hostname], query).await
    }

    /// Asks Redis, without the cache.
    ///
    /// # Errors
    ///
    /// Those of [`query`](Registry::query).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    async fn requery(&self, hostname: &str, answer: &str) -> Result<Option<String>, RegistryError> {
        let until = self.inner.connection.until();
        let requery = self.inner.requery(until, hostname, answer);
        self.call("requery", &[hostname, answer], requery).await
    }

    /// Whether the name was announced here, and its lease was confirmed so recently that no
    /// other process can have it. The crate's documentation says by which clock, and what that
    /// guarantees. Returns `false` from the moment a close begins: the server may free the
    /// name long before its reply arrives.
    fn holds(&self, hostname: &str) -> bool {
        !*self.closed.borrow() && self.inner.leases.holds(hostname, Moment::now())
    }

    /// Waits for a name that a renewal found to be held by another process.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no name: the next call reports it.
    async fn lost(&self) -> Lost {
        self.inner.leases.lost().await
    }

    /// The lease is neither renewed nor freed any more, so the name is free when it is over.
    fn crash(&self, hostname: &str) {
        self.inner.leases.crash(hostname);
    }

    fn documents(&self) -> Option<&dyn Documents> {
        Some(self)
    }

    fn traces(&self) -> Option<&dyn Traces> {
        Some(self)
    }

    /// Ends all running calls, frees the names that were announced here, and ends the
    /// background task and the connection. Takes no longer than the deadline.
    ///
    /// # Errors
    ///
    /// Why names could not be freed; the error lists them.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the registry counts as closed, but names may still be
    /// taken. Call it again to free the rest.
    async fn close(&self) -> Result<(), RegistryError> {
        let until = self.inner.connection.until();
        self.closed.send_replace(true);
        let renewer = self.renewer.lock().take();
        if let Some(renewer) = renewer {
            // It always ends as aborted.
            let _ = timeout_at(until, renewer.stop()).await;
        }
        // An announcement that is still being sent would arrive after the command that frees
        // its name. A call ends when its task is next run; one that is held and never polled
        // must not use up all the time.
        let _ = timeout_at(halfway(until), self.closed.closed()).await;
        let names = self.inner.leases.all();
        let freed = self.inner.free(until, &names).await;
        if freed.is_ok() && !names.is_empty() {
            let connection = &self.inner.connection;
            connection.settle(until, self.inner.keys.probe()).await;
        }
        self.inner.leases.clear();
        self.inner.connection.disconnect();
        freed.map_err(|not_freed| {
            let failure = Failure::wrap(not_freed.why.cause(), not_freed);
            self.error("close", &[], failure)
        })
    }
}

fn halfway(until: Instant) -> Instant {
    let now = Instant::now();
    now + until.saturating_duration_since(now) / 2
}

impl Drop for RedisRegistry {
    fn drop(&mut self) {
        if let Some(renewer) = self.renewer.get_mut().take() {
            drop(renewer.stop());
        }
        free_on_drop::free_all(&self.inner);
    }
}

impl fmt::Debug for RedisRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisRegistry")
            .field("url", &self.shown)
            .field("network", &self.network)
            .field("closed", &*self.closed.borrow())
            .finish_non_exhaustive()
    }
}
