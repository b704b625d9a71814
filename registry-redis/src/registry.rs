//! The registry value: joining a network's registry, calling it, closing it.
//!
//! Owns the lifetime: which calls are under way, the background task, and the
//! end of both. Never talks to Redis itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use virtnet_core::{Failure, Registry, RegistryError};

use crate::entry::Owner;
use crate::fault;
use crate::inner::Inner;
use crate::keeper;
use crate::keys::{self, Keys};
use crate::link::Link;
use crate::names::Names;
use crate::options::RedisOptions;
use crate::target::{self, Target};

/// A network's registry on a Redis server, for one subnetwork.
///
/// The crate's documentation says what it writes there and what it promises.
///
/// Dropping it without [`close`](Registry::close) ends its task and its
/// connection, but leaves the names that it announced.
pub struct RedisRegistry {
    /// The URL without its password.
    shown: String,
    network: String,
    inner: Arc<Inner>,
    /// Whether it was closed. Each call under way holds a receiver, by which
    /// it is ended, and by which closing knows that it has.
    closed: watch::Sender<bool>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl RedisRegistry {
    /// Connects to the Redis server at `url`, for the network of that name.
    ///
    /// The URL is `redis://user:password@host:port/db`, or `rediss://` for TLS,
    /// which is verified against the system's root certificates. All but the
    /// host may be left out.
    ///
    /// ```no_run
    /// use virtnet_registry_redis::{RedisOptions, RedisRegistry};
    ///
    /// # async fn example() -> Result<(), virtnet_core::RegistryError> {
    /// let url = "redis://10.0.0.9:6379";
    /// let registry = RedisRegistry::connect(url, "pipet", RedisOptions::default()).await?;
    /// for (hostname, hostdata) in registry.hosts().await? {
    ///     println!("{hostname} is reached at {hostdata}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Cause::RegistryDown`] when the server cannot be reached within the
    ///   deadline, or says that it cannot serve for now.
    /// - [`Cause::PermissionDenied`] when it refuses the user or the password,
    ///   or does not let this user do what announcing needs, or when its
    ///   certificate is not trusted.
    /// - [`Cause::Protocol`] when what answers is not a Redis server.
    /// - [`Cause::InvalidAddr`] when the URL or the network's name cannot be one.
    /// - [`Cause::Other`] with the server's own words for anything else, such as
    ///   a database that it does not have.
    ///
    /// No error shows the password.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time and I/O enabled.
    ///
    /// [`Cause::RegistryDown`]: virtnet_core::Cause::RegistryDown
    /// [`Cause::PermissionDenied`]: virtnet_core::Cause::PermissionDenied
    /// [`Cause::Protocol`]: virtnet_core::Cause::Protocol
    /// [`Cause::InvalidAddr`]: virtnet_core::Cause::InvalidAddr
    /// [`Cause::Other`]: virtnet_core::Cause::Other
    pub async fn connect(
        url: &str,
        network: &str,
        options: RedisOptions,
    ) -> Result<RedisRegistry, RegistryError> {
        let failed = |shown: &str, failure: Failure| {
            RegistryError::new(shown, "connect", &[network], failure)
        };
        let target =
            Target::parse(url).map_err(|failure| failed(&target::redacted(url), failure))?;
        let inner = join(&target, network, options)
            .await
            .map_err(|failure| failed(&target.shown, failure))?;
        let keeper = tokio::spawn(keeper::keep(Arc::clone(&inner)));
        Ok(RedisRegistry {
            shown: target.shown,
            network: network.to_owned(),
            inner,
            closed: watch::Sender::new(false),
            keeper: Mutex::new(Some(keeper)),
        })
    }

    /// All hosts of the network with their hostdata, by name, whoever announced
    /// them.
    ///
    /// Hosts that come or go meanwhile may or may not be among them. On a server
    /// that holds very many keys of others this can take longer than the
    /// deadline: it goes through all of them.
    ///
    /// # Errors
    ///
    /// [`Cause::RegistryDown`] as for a query, [`Cause::Protocol`] naming a key
    /// and its value when it is in no registry's format.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// [`Cause::RegistryDown`]: virtnet_core::Cause::RegistryDown
    /// [`Cause::Protocol`]: virtnet_core::Cause::Protocol
    pub async fn hosts(&self) -> Result<BTreeMap<String, String>, RegistryError> {
        let hosts = self.inner.hosts(self.inner.link.until());
        self.call("hosts", &[], hosts).await
    }

    /// Runs a call until it ends or the registry is closed.
    async fn call<T>(
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
            _ = closing => Err(fault::closed()),
            result = work => result,
        };
        result.map_err(|failure| self.error(op, args, failure))
    }

    fn error(&self, op: &'static str, args: &[&str], failure: Failure) -> RegistryError {
        RegistryError::new(&*self.shown, op, args, failure)
    }

    fn take_keeper(&self) -> Option<JoinHandle<()>> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        keeper.take()
    }
}

/// Makes the connection, and tries what it is for.
async fn join(
    target: &Target,
    network: &str,
    options: RedisOptions,
) -> Result<Arc<Inner>, Failure> {
    keys::check("network name", network)?;
    if target.is_tls() && rustls::crypto::CryptoProvider::get_default().is_none() {
        // Without one, the client library panics. That another thread was
        // faster is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let no_randomness = |_| Failure::other("the operating system gives no random bits");
    let inner = Inner {
        keys: Keys::new(network),
        owner: Owner::random().map_err(no_randomness)?,
        names: Names::default(),
        link: Link::new(target, &options)?,
    };
    inner.probe(inner.link.until()).await?;
    Ok(Arc::new(inner))
}

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
            keeper.abort();
            // Its end is only this: that it was aborted.
            let _ = timeout_at(until, keeper).await;
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

impl Drop for RedisRegistry {
    fn drop(&mut self) {
        if let Some(keeper) = self.take_keeper() {
            keeper.abort();
        }
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
