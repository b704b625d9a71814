//! Observing a network without being a member: listing its hosts, waiting for them.
//!
//! Owns [`Observer`]. It waits with a subnetwork that has no engine, so
//! that there is one way to wait. Never creates a host and never opens a UDP socket.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use virtnet_core::faults::Faults;
use virtnet_core::supervision::Supervision;
use virtnet_core::{Addr, ByteStream, Cause, Engine, Failure, Registry, RegistryError, SubNetwork};

use crate::registries::{Access, HostEntry, RegistryUrl};
use crate::setting::{SettingError, redacted};
#[cfg(feature = "trace-files")]
use crate::trace::LiveTrace;
use crate::{Config, OpenError};

/// Observes a network without being a member: lists its hosts, and waits for them.
///
/// It creates no host and opens no UDP socket. For the driver of a
/// test, for example. A [`SubNetwork`] waits with [`SubNetwork::wait_for_hosts`].
///
/// To list hosts and to wait for them needs no secret. Faults, programs and live traces are shared by
/// documents that only members can write, so they need the members' [secret](Config::secret), if they have one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = virtnet::testing::config()?;
/// let net = config.clone().open().await?;
/// let _alpha = net.new_host("α").await?;
/// let hosts = config.observer().hosts().await?;
/// assert_eq!(hosts[0].name, "α");
/// # net.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Observer(Config);

impl Config {
    /// An [`Observer`] of the network. Nothing is checked, and nothing is connected to,
    /// before its methods are called.
    pub fn observer(self) -> Observer {
        Observer(self)
    }
}

impl Observer {
    /// The network's hosts, sorted by name. At the registry, the right to read is enough.
    ///
    /// A damaged entry is left out, and reported to
    /// [`on_warning`](Config::on_warning).
    ///
    /// # Errors
    ///
    /// [`OpenError::Setting`] for an unusable setting, [`OpenError::Registry`] when the
    /// registry cannot be reached or refuses.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn hosts(&self) -> Result<Vec<HostEntry>, OpenError> {
        let config = &self.0;
        let url = config.registry_url()?;
        Ok(url.hosts(config.checked_network()?, &config.access).await?)
    }

    /// Describes where [`hosts`](Observer::hosts) looks, for people: the network, and the
    /// registry without its password; for `local:` also the folder, and the user's number.
    ///
    /// ```
    /// # #[cfg(feature = "redis")] {
    /// let config = virtnet::Config::new("quicα").registry("redis://:hunter2@10.0.0.9");
    /// let place = config.observer().describe()?;
    /// assert_eq!(place, "network \"quicα\" at redis://***@10.0.0.9");
    /// # }
    /// # Ok::<(), virtnet::SettingError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A [`SettingError`] for an invalid network name or registry URL.
    pub fn describe(&self) -> Result<String, SettingError> {
        let config = &self.0;
        let network = config.checked_network()?;
        let more = match RegistryUrl::parse(&config.registry)? {
            RegistryUrl::Memory => " of this process".to_owned(),
            #[cfg(feature = "local")]
            RegistryUrl::Local(dir) => {
                format!(", which is {dir:?} for user {}", crate::local::user())
            }
            #[cfg(feature = "redis")]
            RegistryUrl::Redis(_) => String::new(),
        };
        let url = redacted(&config.registry.value);
        Ok(format!("network {network:?} at {url}{more}"))
    }

    /// Waits until all of `hostnames` are announced, at most for `timeout`, as
    /// [`SubNetwork::wait_for_hosts`] does. At the registry, this needs a member's rights.
    ///
    /// While the registry is down, this goes on waiting.
    ///
    /// # Errors
    ///
    /// [`OpenError::Setting`] for an unusable setting or an invalid hostname.
    /// [`OpenError::Wait`] with [`Cause::TimedOut`], naming the missing hosts, or with the
    /// error of the registry.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind. The connection to the registry
    /// is closed in the background.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time and I/O enabled.
    pub async fn wait_for_hosts<S: AsRef<str>>(
        &self,
        hostnames: &[S],
        timeout: Duration,
    ) -> Result<(), OpenError> {
        let config = &self.0;
        let network = config.checked_network()?;
        let url = config.registry_url()?;
        for hostname in hostnames {
            Addr::new(network, hostname.as_ref(), 0)
                .map_err(|err| SettingError::new("wait_for_hosts", None, err))?;
        }
        let registry = Arc::new(LazyRegistry {
            url,
            network: network.to_owned(),
            access: config.access.clone(),
            opened: OnceCell::new(),
        });
        let subnet = SubNetwork::new(network, registry, |_| NoEngine)
            .map_err(|err| config.network.refuse(err))?;
        let waited = subnet.wait_for_hosts(hostnames, timeout).await;
        let closed = subnet.close().await;
        waited.and(closed).map_err(OpenError::Wait)
    }

    /// The network's faults, to set, heal and show them: see [`virtnet_core::faults`]. At the
    /// registry, this needs a member's rights; and the members' secret, if they have one.
    ///
    /// # Errors
    ///
    /// [`OpenError::Setting`] for an unusable setting, [`OpenError::Registry`] when the
    /// registry cannot be reached or refuses.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time and I/O enabled.
    pub async fn faults(&self) -> Result<Faults, OpenError> {
        Ok(Faults::of(self.registry().await?))
    }

    /// The programs of the network's hosts, to kill, pause, resume and restart them: see
    /// [`virtnet_core::supervision`]. At the registry, this needs a member's rights; and the members' secret,
    /// if they have one.
    ///
    /// # Errors
    ///
    /// Those of [`faults`](Observer::faults).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time and I/O enabled.
    pub async fn supervision(&self) -> Result<Supervision, OpenError> {
        Ok(Supervision::of(self.registry().await?))
    }

    /// Opens the registry of the network, to read and write what its members share.
    async fn registry(&self) -> Result<Arc<dyn Registry>, OpenError> {
        let config = &self.0;
        let (network, url) = (config.checked_network()?, config.registry_url()?);
        let given = config.identity()?;
        let mut opened = url.open(network, &config.access).await?;
        let identity = opened.identity(given);
        let identity = identity.map_err(|err| config.registry.refuse(err))?;
        let registry = opened.marked(network, &config.registry.value, identity.as_ref());
        Ok(Arc::new(registry.for_observer()))
    }
}

#[cfg(feature = "trace-files")]
impl Observer {
    /// What happens on the network, as its members that record live send it: see
    /// [`SubNetwork::live_trace`]. At the registry, this needs a member's rights; and the members' secret, if they
    /// have one.
    ///
    /// # Errors
    ///
    /// [`OpenError::Setting`] for an unusable setting, [`OpenError::Registry`] when the
    /// registry cannot be reached or refuses.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time and I/O enabled.
    pub async fn live_trace(&self) -> Result<LiveTrace, OpenError> {
        let trace = LiveTrace::new(self.0.checked_network()?, self.registry().await?);
        trace.map_err(|err| SettingError::new("registry", None, err).into())
    }
}

/// A registry that is opened by the first query, and by the next one if that fails. So a
/// registry that has not started yet is treated as one that is down.
struct LazyRegistry {
    url: RegistryUrl,
    network: String,
    access: Access,
    opened: OnceCell<Arc<dyn Registry>>,
}

#[async_trait]
impl Registry for LazyRegistry {
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError> {
        let why = Failure::from(Cause::RegistryDown);
        let args = [hostname, hostdata];
        Err(RegistryError::new("observer", "announce", &args, why))
    }

    async fn query(&self, hostname: &str) -> Result<String, RegistryError> {
        let open = async || {
            let opened = self.url.open(&self.network, &self.access).await?;
            Ok::<_, RegistryError>(opened.registry)
        };
        let registry = self.opened.get_or_try_init(open).await?;
        registry.query(hostname).await
    }

    async fn close(&self) -> Result<(), RegistryError> {
        match self.opened.get() {
            Some(registry) => registry.close().await,
            None => Ok(()),
        }
    }
}

/// The engine of a subnetwork that has no hosts.
struct NoEngine;

#[async_trait]
impl Engine for NoEngine {
    async fn vnet_new_host(&self, _: &str, _: &dyn Registry) -> Result<(), Failure> {
        Err(Cause::NetworkDown.into())
    }

    async fn vnet_dial(&self, _: &Addr, _: &Addr, _: &str) -> Result<(ByteStream, Addr), Failure> {
        Err(Cause::NetworkDown.into())
    }

    async fn close(&self) -> Result<(), Failure> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_within_one_process() {
        let config = || Config::new("waiting");
        let subnet = config().open().await.unwrap();
        let driver = config().observer();
        let names = ["α", "β"];
        let waiting = driver.wait_for_hosts(&names, Duration::from_secs(60));
        let arriving = async {
            let alpha = subnet.new_host("α").await?;
            let beta = subnet.new_host("β").await?;
            Ok::<_, virtnet_core::OpError>((alpha, beta))
        };
        let (waited, hosts) = tokio::join!(waiting, arriving);
        waited.unwrap();
        drop(hosts.unwrap());

        // They are there already: this takes no time, and the longest timeout does no harm.
        let there = driver.wait_for_hosts(&names, Duration::MAX).await;
        there.unwrap();

        let names = ["α", "γ", "δ"];
        let err = driver.wait_for_hosts(&names, Duration::ZERO).await;
        let err = err.unwrap_err();
        assert_eq!(
            err.to_string(),
            r#"virtnet "waiting": wait for hosts: within 0ns there was no "γ", "δ""#
        );
        assert_eq!(std::io::Error::from(err).kind(), Cause::TimedOut.kind());

        let err = driver.wait_for_hosts(&["[x]"], Duration::from_secs(60));
        let err = err.await.unwrap_err();
        assert!(matches!(err, OpenError::Setting(_)), "{err}");
        subnet.close().await.unwrap();
    }

    #[cfg(feature = "redis")]
    #[tokio::test]
    async fn a_registry_that_stays_down_is_named() {
        // Port 1 of this machine, where nothing listens.
        let config = Config::new("waiting").registry("redis://127.0.0.1:1");
        let err = config
            .observer()
            .wait_for_hosts(&["α"], Duration::ZERO)
            .await;
        let OpenError::Wait(err) = err.unwrap_err() else {
            panic!("it was waited for");
        };
        assert_eq!(err.cause(), Cause::RegistryDown);
        assert!(err.to_string().contains("127.0.0.1:1"), "{err}");
    }
}
