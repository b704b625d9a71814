//! The contract of a registry, as [`RedisRegistry`] keeps it.
//!
//! Owns the order in which a close goes, and what callers are promised. Never
//! talks to Redis itself.

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};
use virtnet_core::{Failure, Lost, Registry, RegistryError};

use crate::lease::clock::Moment;
use crate::registry::RedisRegistry;

#[async_trait]
impl Registry for RedisRegistry {
    /// Announces a host.
    ///
    /// # Errors
    ///
    /// Those of the trait; [`Cause::InvalidAddr`] for a name that cannot be one.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, or fails with [`Cause::RegistryDown`], the
    /// server may have the name or get it yet: it is freed in the background,
    /// as soon as the server answers, and at the latest by `close`. It can be
    /// announced again here at once.
    ///
    /// [`Cause::RegistryDown`]: virtnet_core::Cause::RegistryDown
    /// [`Cause::InvalidAddr`]: virtnet_core::Cause::InvalidAddr
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError> {
        let announce = self
            .inner
            .announce(self.inner.link.until(), hostname, hostdata);
        self.call("announce", &[hostname, hostdata], announce).await
    }

    /// Looks a host up: from memory, when the answer is known and Redis has
    /// not said that it changed. The crate's documentation says more.
    ///
    /// # Errors
    ///
    /// Those of the trait; [`Cause::InvalidAddr`] for a name that cannot be one,
    /// [`Cause::Protocol`] when the host's value is in no registry's format.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// [`Cause::InvalidAddr`]: virtnet_core::Cause::InvalidAddr
    /// [`Cause::Protocol`]: virtnet_core::Cause::Protocol
    async fn query(&self, hostname: &str) -> Result<String, RegistryError> {
        let query = self.inner.query(self.inner.link.until(), hostname);
        self.call("query", &[hostname], query).await
    }

    /// Asks Redis, whatever is remembered.
    ///
    /// # Errors
    ///
    /// Those of [`query`](Registry::query).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    async fn requery(&self, hostname: &str, answer: &str) -> Result<Option<String>, RegistryError> {
        let requery = self
            .inner
            .requery(self.inner.link.until(), hostname, answer);
        self.call("requery", &[hostname, answer], requery).await
    }

    /// Whether the name was announced here, and its lease was confirmed so
    /// lately that no other can have it. The crate's documentation says by
    /// which clock, and what that is worth. From the moment a close begins it is
    /// none: the server may free the name long before it can say so.
    fn holds(&self, hostname: &str) -> bool {
        !*self.closed.borrow() && self.inner.names.holds(hostname, Moment::now())
    }

    /// Waits for a name that another was found to hold, when the lease was to
    /// be renewed or taken back.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no name: the next call reports it.
    async fn lost(&self) -> Lost {
        self.inner.names.lost().await
    }

    /// Ends all calls under way, frees the names that were announced here, and
    /// ends the background task and the connection. It takes no longer than the
    /// deadline.
    ///
    /// # Errors
    ///
    /// The cause why names could not be freed; the error names them.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the registry counts as closed, but names may
    /// still be taken: closing again goes on.
    async fn close(&self) -> Result<(), RegistryError> {
        let until = self.inner.link.until();
        self.closed.send_replace(true);
        if let Some(keeper) = self.take_keeper() {
            // Its end is only this: that it was aborted.
            let _ = timeout_at(until, keeper.end()).await;
        }
        // An announcement that is still being sent would come after what frees
        // its name. A call ends when its task is next run; one that is held and
        // never polled must not take all the time there is.
        let _ = timeout_at(halfway(until), self.closed.closed()).await;
        let names = self.inner.names.all();
        let freed = self.inner.free(until, &names).await;
        if freed.is_ok() && !names.is_empty() {
            let link = &self.inner.link;
            link.settle(until, self.inner.keys.probe()).await;
        }
        self.inner.names.clear();
        self.inner.link.hang_up();
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
