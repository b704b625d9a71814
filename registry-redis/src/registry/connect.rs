//! Connecting: from a URL to a registry value, or to a single listing.
//!
//! Owns the order in which URL, options and server are checked. Never announces anything.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use virtnet_core::{Failure, RegistryError, check_network};

use crate::connection::Connection;
use crate::connection::not_redis::NotRedisCheck;
use crate::connection::url::{self, RedisUrl};
use crate::hostdata::CurrentHostdata;
use crate::lease::script::Owner;
use crate::lease::table::LeaseTable;
use crate::lease::timing::LeaseTiming;
use crate::options::RedisOptions;
use crate::registry::inner::RegistryInner;
use crate::registry::listing::Listing;
use crate::registry::renewer::Renewer;
use crate::registry::{RedisRegistry, eviction};
use crate::schema::keys::Keys;

impl RedisRegistry {
    /// Connects to the Redis server at `url`, for the network of that name.
    ///
    /// The URL is `redis://user:password@host:port/db`, of which all but the host may be
    /// left out. The crate's documentation has the URLs for sentinels and clusters, and says
    /// how TLS certificates are verified.
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
    /// - [`Cause::RegistryDown`] if the server cannot be reached within the deadline, or
    ///   says that it cannot serve for now.
    /// - [`Cause::PermissionDenied`] if the server refuses the user or the password, if this
    ///   user lacks a right that announcing needs, or if the server's certificate is not
    ///   trusted.
    /// - [`Cause::Protocol`] if the peer is not a Redis server.
    /// - [`Cause::InvalidAddr`] if the URL or the network's name is invalid.
    /// - [`Cause::Other`] with the server's own message for anything else, such as a database
    ///   that it does not have; and for options whose times do not fit together.
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
        let (check, deadline) = (NotRedisCheck::of(&target), options.limited_deadline());
        let joining = join(target, network, options);
        let (inner, warnings) = NotRedisCheck::run(check, deadline, joining)
            .await
            .map_err(|failure| failed(&shown, failure))?;
        for warning in &warnings {
            tracing::warn!(registry = shown, network, "{warning}");
        }
        let renewer = Renewer::start(Arc::clone(&inner));
        Ok(RedisRegistry {
            shown,
            network: network.to_owned(),
            inner,
            warnings,
            closed: watch::Sender::new(false),
            renewer: Mutex::new(Some(renewer)),
        })
    }

    /// A [`listing`](RedisRegistry::listing) without joining the network. Needs read rights
    /// only.
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
        // A cache is of no use for one question, and would need more rights.
        options.remember = Duration::ZERO;
        let failed =
            |shown: &str, failure: Failure| RegistryError::new(shown, "list", &[network], failure);
        let target =
            RedisUrl::parse(url).map_err(|failure| failed(&url::redacted(url), failure))?;
        let shown = target.shown.clone();
        let (check, deadline) = (NotRedisCheck::of(&target), options.limited_deadline());
        let listing = async {
            let inner = prepare(target, network, options).await?;
            inner.listing(inner.connection.until()).await
        };
        let listing = NotRedisCheck::run(check, deadline, listing).await;
        listing.map_err(|failure| failed(&shown, failure))
    }
}

/// Connects, and tries all commands that will be needed.
async fn join(
    target: RedisUrl,
    network: &str,
    options: RedisOptions,
) -> Result<(Arc<RegistryInner>, Vec<String>), Failure> {
    let inner = prepare(target, network, options).await?;
    let until = inner.connection.until();
    let no_index = inner.probe(until).await?;
    let evicts = eviction::warning(&inner.connection, until).await;
    let untracked = inner.connection.locator.tracking.warning();
    let warnings = [untracked, no_index, evicts].into_iter().flatten();
    Ok((Arc::new(inner), warnings.collect()))
}

/// Does all that is needed before anything is sent.
async fn prepare(
    target: RedisUrl,
    network: &str,
    options: RedisOptions,
) -> Result<RegistryInner, Failure> {
    check_network(network)?;
    let timing = LeaseTiming::new(&options)?;
    let no_randomness = |_| Failure::other("cannot get random bits from the operating system");
    let keys = Keys::new(network);
    let connection = Connection::new(target, keys.probe(), &options).await?;
    Ok(RegistryInner {
        keys,
        owner: Owner::random().map_err(no_randomness)?,
        timing,
        leases: LeaseTable::default(),
        hostdata: CurrentHostdata::new(options.hostdata_source),
        connection,
    })
}
