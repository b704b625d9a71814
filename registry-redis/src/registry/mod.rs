//! The registry value: joining a network's registry, calling it, closing it.
//!
//! Owns the lifetime: which calls are under way, the background task, and the
//! end of both. Never talks to Redis itself.

pub(crate) mod contract;
pub(crate) mod eviction;
pub(crate) mod inner;
pub(crate) mod listing;
pub(crate) mod parting;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use virtnet_core::{Failure, RegistryError, check_network};

use crate::connection::Connection;
use crate::connection::stranger::Place;
use crate::connection::url::{self, RedisUrl};
use crate::error;
use crate::lease::renewer::Keeper;
use crate::lease::script::Owner;
use crate::lease::table::LeaseTable;
use crate::lease::timing::LeaseTiming;
use crate::lease::whereabouts::Where;
use crate::options::RedisOptions;
use crate::registry::inner::RegistryInner;
use crate::registry::listing::Listing;
use crate::schema::keys::Keys;

/// A network's registry on a Redis server, for one subnetwork.
///
/// The crate's documentation says what it writes there and what it promises.
///
/// Dropping it without [`close`](virtnet_core::Registry::close) ends its task
/// and its connection, and frees the names that it announced, over a connection of
/// its own: so also where the runtime goes down, as at the end of a program that
/// failed. The drop waits for that, for no longer than the deadline and 1.1 seconds; what
/// was not freed by then is logged, and stays taken for its lease.
pub struct RedisRegistry {
    /// The URL without its password.
    shown: String,
    network: String,
    pub(crate) inner: Arc<RegistryInner>,
    warnings: Vec<String>,
    /// Whether it was closed. Each call under way holds a receiver, by which
    /// it is ended, and by which closing knows that it has.
    pub(crate) closed: watch::Sender<bool>,
    keeper: Mutex<Option<Keeper>>,
}

impl RedisRegistry {
    /// Connects to the Redis server at `url`, for the network of that name.
    ///
    /// The URL is `redis://user:password@host:port/db`, of which all but the
    /// host may be left out. The crate's documentation has the URLs of sentinels
    /// and clusters, and says what TLS is verified with.
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
    ///   a database that it does not have; and for options by which no name
    ///   could be held.
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
            RedisUrl::parse(url).map_err(|failure| failed(&url::redacted(url), failure))?;
        let shown = target.shown.clone();
        let (place, deadline) = (Place::of(&target), options.bound());
        let joining = join(target, network, options);
        let (inner, warnings) = Place::ask(place, deadline, joining)
            .await
            .map_err(|failure| failed(&shown, failure))?;
        for warning in &warnings {
            tracing::warn!(registry = shown, network, "{warning}");
        }
        let keeper = Keeper::start(Arc::clone(&inner));
        Ok(RedisRegistry {
            shown,
            network: network.to_owned(),
            inner,
            warnings,
            closed: watch::Sender::new(false),
            keeper: Mutex::new(Some(keeper)),
        })
    }

    /// All hosts of the network with their hostdata, by name, whoever announced
    /// them: of a [`listing`](RedisRegistry::listing), what is needed to reach
    /// them.
    ///
    /// # Errors
    ///
    /// Those of a listing.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn hosts(&self) -> Result<BTreeMap<String, String>, RegistryError> {
        let listing = self.inner.listing(self.inner.link.until());
        let listing = self.call("hosts", &[], listing).await?;
        let hosts = listing.hosts.into_iter();
        Ok(hosts.map(|(name, host)| (name, host.hostdata)).collect())
    }

    /// All hosts of the network, whoever announced them, with owner and lease.
    ///
    /// Hosts that come or go meanwhile may or may not be among them; so may
    /// those that Redis lost, until their next renewal. It costs as much as the
    /// network has hosts, whatever else there is on the server, and needs the
    /// rights to read only.
    ///
    /// # Errors
    ///
    /// [`Cause::RegistryDown`](virtnet_core::Cause::RegistryDown) as for a
    /// query. A value that no registry wrote is none: it is listed as such.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn listing(&self) -> Result<Listing, RegistryError> {
        let listing = self.inner.listing(self.inner.link.until());
        self.call("listing", &[], listing).await
    }

    /// The same without joining: for those who only want to look, and who may
    /// have the rights to read only.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](RedisRegistry::connect) and of
    /// [`listing`](RedisRegistry::listing).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time and I/O enabled.
    pub async fn list(
        url: &str,
        network: &str,
        mut options: RedisOptions,
    ) -> Result<Listing, RegistryError> {
        // For one question; remembering would take more rights.
        options.remember = Duration::ZERO;
        let failed =
            |shown: &str, failure: Failure| RegistryError::new(shown, "list", &[network], failure);
        let target =
            RedisUrl::parse(url).map_err(|failure| failed(&url::redacted(url), failure))?;
        let shown = target.shown.clone();
        let (place, deadline) = (Place::of(&target), options.bound());
        let listing = async {
            let inner = prepare(target, network, options).await?;
            inner.listing(inner.link.until()).await
        };
        let listing = Place::ask(place, deadline, listing).await;
        listing.map_err(|failure| failed(&shown, failure))
    }

    /// What was found on joining that does no harm yet: a server that may drop
    /// names when its memory is full, an index that is none, a server that cannot
    /// say what changes. It was also logged.
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

    pub(crate) fn error(&self, op: &'static str, args: &[&str], failure: Failure) -> RegistryError {
        RegistryError::new(&*self.shown, op, args, failure)
    }

    pub(crate) fn take_keeper(&self) -> Option<Keeper> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        keeper.take()
    }
}

/// Makes the connection, and tries what it is for.
async fn join(
    target: RedisUrl,
    network: &str,
    options: RedisOptions,
) -> Result<(Arc<RegistryInner>, Vec<String>), Failure> {
    let inner = prepare(target, network, options).await?;
    let until = inner.link.until();
    let no_index = inner.probe(until).await?;
    let evicts = eviction::warning(&inner.link, until).await;
    let untracked = inner.link.locator.tracking.warning();
    let warnings = [untracked, no_index, evicts].into_iter().flatten();
    Ok((Arc::new(inner), warnings.collect()))
}

/// All that is needed, before anything is sent.
async fn prepare(
    target: RedisUrl,
    network: &str,
    options: RedisOptions,
) -> Result<RegistryInner, Failure> {
    check_network(network)?;
    let terms = LeaseTiming::new(&options)?;
    let no_randomness = |_| Failure::other("the operating system gives no random bits");
    let keys = Keys::new(network);
    let link = Connection::new(target, keys.probe(), &options).await?;
    Ok(RegistryInner {
        keys,
        owner: Owner::random().map_err(no_randomness)?,
        terms,
        names: LeaseTable::default(),
        place: Where::new(options.whereabouts),
        link,
    })
}

impl Drop for RedisRegistry {
    fn drop(&mut self) {
        if let Some(keeper) = self.take_keeper() {
            drop(keeper.end());
        }
        parting::free_all(&self.inner);
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
