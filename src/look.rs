//! Looking at a network without being on it: who is there, and waiting for them.
//!
//! Owns [`HostInfo`], and a subnetwork that only looks, so that there is one way
//! to wait. Never makes a host and never opens a UDP socket, so it needs no
//! secret.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use virtnet_core::{Addr, ByteStream, Cause, Engine, Failure, Registry, RegistryError, SubNetwork};

use crate::registries::{Access, RegistryUrl};
use crate::setting::{SettingError, redacted};
use crate::{Config, OpenError};

/// One host of a network, as the registry knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostInfo {
    /// Its name.
    pub name: String,
    /// Where the engine of its subnetwork says that it is reached: `host:port`.
    pub address: String,
    /// For how long the name stays taken unless it is renewed; `None` where names
    /// are not leased, but held as long
    /// as their process lives, as with `memory:` and `local:`.
    pub lease_left: Option<Duration>,
    /// Who announced it: 32 hexadecimal digits, another one for every subnetwork;
    /// `None` with `memory:`.
    pub owner: Option<String>,
    /// The process that holds it, where that is one of this machine.
    pub pid: Option<u32>,
}

impl Config {
    /// The network's hosts, sorted by name. Needs no secret, and of the registry's
    /// rights those to read only.
    ///
    /// An entry that cannot be read is told to
    /// [`on_warning`](Config::on_warning), and left out.
    ///
    /// # Errors
    ///
    /// As of [`open`](Config::open).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn hosts(&self) -> Result<Vec<HostInfo>, OpenError> {
        let url = RegistryUrl::parse(&self.registry)?;
        self.check_lease(&url)?;
        Ok(url.hosts(self.checked_network()?, &self.access).await?)
    }

    /// Where [`hosts`](Config::hosts) looks, for people: the network, and the registry
    /// without its password; with `local:` also the folder, and the user's number.
    ///
    /// ```
    /// let config = virtnet::Config::new("quicα").registry("redis://:hunter2@10.0.0.9");
    /// assert_eq!(config.looks_at()?, "network \"quicα\" at redis://***@10.0.0.9");
    /// # Ok::<(), virtnet::SettingError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A [`SettingError`] for a network or registry that can be none.
    pub fn looks_at(&self) -> Result<String, SettingError> {
        let network = self.checked_network()?;
        let more = match RegistryUrl::parse(&self.registry)? {
            RegistryUrl::Memory => " of this process".to_owned(),
            RegistryUrl::Local(dir) => {
                format!(", which is {dir:?} for user {}", crate::local::user())
            }
            RegistryUrl::Redis(_) => String::new(),
        };
        let url = redacted(&self.registry.value);
        Ok(format!("network {network:?} at {url}{more}"))
    }

    /// Waits until all of `hostnames` are announced, at most for `timeout`, as
    /// [`SubNetwork::wait_for_hosts`] does: for who is not on the network, as a
    /// test's driver. Needs no secret, but a member's rights at the registry.
    ///
    /// A registry that is down is waited for as well.
    ///
    /// # Errors
    ///
    /// [`OpenError::Setting`] for a setting that can't be used, or a name that
    /// can be no host's; [`OpenError::Wait`], whose cause is
    /// [`Cause::TimedOut`] and which names the hosts that are missing, or that
    /// has what the registry reports.
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
        let network = self.checked_network()?;
        let url = RegistryUrl::parse(&self.registry)?;
        self.check_lease(&url)?;
        for hostname in hostnames {
            Addr::new(network, hostname.as_ref(), 0)
                .map_err(|err| SettingError::new("wait_for_hosts", None, err))?;
        }
        let registry = Arc::new(Lookout {
            url,
            network: network.to_owned(),
            access: self.access.clone(),
            opened: OnceCell::new(),
        });
        let subnet = SubNetwork::new(network, registry, |_| Onlooker)
            .map_err(|err| self.network.refuse(err))?;
        let waited = subnet.wait_for_hosts(hostnames, timeout).await;
        let closed = subnet.close().await;
        waited.and(closed).map_err(OpenError::Wait)
    }
}

/// A registry that is opened by the first question, and again as long as that
/// fails: so that one which is yet to come up is like one that is down.
struct Lookout {
    url: RegistryUrl,
    network: String,
    access: Access,
    opened: OnceCell<Arc<dyn Registry>>,
}

#[async_trait]
impl Registry for Lookout {
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError> {
        let why = Failure::from(Cause::RegistryDown);
        let args = [hostname, hostdata];
        Err(RegistryError::new("lookout", "announce", &args, why))
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

/// The engine of who only looks.
struct Onlooker;

#[async_trait]
impl Engine for Onlooker {
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
        let driver = config();
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

        // Who is there needs no time, and no time is too long.
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

    #[tokio::test]
    async fn a_registry_that_stays_down_is_named() {
        // Port 1 of this machine, where nothing listens.
        let config = Config::new("waiting").registry("redis://127.0.0.1:1");
        let err = config.wait_for_hosts(&["α"], Duration::ZERO).await;
        let OpenError::Wait(err) = err.unwrap_err() else {
            panic!("it was waited for");
        };
        assert_eq!(err.cause(), Cause::RegistryDown);
        assert!(err.to_string().contains("127.0.0.1:1"), "{err}");
    }
}
