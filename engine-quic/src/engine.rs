//! The engine: implements core's contract with one endpoint for each host.
//!
//! Owns the list of hosts, and the steps from a checked configuration to a running
//! engine. Never reads a frame or a certificate.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use virtnet_core::faults::FaultTable;
use virtnet_core::{Addr, ByteStream, Cause, Enforced, Engine, Failure, Notifier, Registry};

use crate::endpoint::{Endpoint, EndpointContext, EndpointInner};
use crate::hostdata::Advertised;
use crate::identity::tls::Trust;
use crate::udp::faults::EngineFaults;
use crate::udp::kept::KeptSockets;
use crate::{Counters, QuicConfig, Stats};

impl QuicConfig {
    /// Checks all settings, and derives what hosts of `network` need to prove their
    /// names.
    ///
    /// # Errors
    ///
    /// When a setting is invalid, or when hosts would announce an address at which
    /// nobody can reach them, such as `0.0.0.0`. The error names the setting.
    pub fn prepare(self, network: &str) -> Result<Prepared, Failure> {
        // Only the network's name is checked; any host's name would do.
        Addr::new(network, "host", 0)?;
        self.check()?;
        let network: Arc<str> = network.into();
        let mut trust = Trust::new(&self.identity, network.clone())?;
        if self.key_log {
            trust.log_keys();
        }
        if self.key_log && std::env::var_os("SSLKEYLOGFILE").is_some() {
            tracing::warn!(
                network = &*network,
                "all keys are written to SSLKEYLOGFILE: its readers can decrypt all connections"
            );
        }
        Ok(Prepared(EndpointContext {
            advertised: Advertised::new(self.advertise.as_deref(), self.bind)?,
            trust,
            network,
            counters: self.counters.clone().unwrap_or_default(),
            faults: EngineFaults::default(),
            config: self,
        }))
    }
}

/// A checked configuration for one network. Starting an engine from it cannot fail.
///
/// ```no_run
/// use virtnet_core::{Registry, SubNetwork};
/// use virtnet_engine_quic::{Identity, QuicConfig, Secret};
///
/// # fn example(registry: std::sync::Arc<dyn Registry>) -> Result<(), Box<dyn std::error::Error>> {
/// let secret = Secret::from_file("network.secret")?;
/// let prepared = QuicConfig::new(Identity::secret(secret))
///     .advertise("10.0.0.2")
///     .prepare("net")?;
/// let net = SubNetwork::new("net", registry, |notifier| prepared.start(notifier))?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Prepared(EndpointContext);

impl Prepared {
    /// Starts the engine. It passes incoming dials to `notifier`.
    pub fn start(self, notifier: Notifier) -> QuicEngine {
        let crashed = TaskTracker::new();
        // So that waiting for it ends as often as it is empty.
        crashed.close();
        QuicEngine {
            runtime: Handle::try_current().ok(),
            context: self.0,
            notifier,
            open: Mutex::new(Some(Open {
                hosts: Hosts::new(),
                kept: Arc::new(KeptSockets::default()),
            })),
            crashed,
            closed: OnceCell::new(),
        }
    }

    /// The counters of the engine. They can be read after the engine was moved into a
    /// subnetwork.
    pub fn counters(&self) -> Counters {
        self.0.counters.clone()
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("network", &self.0.network)
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

/// The engine that carries connections over QUIC.
///
/// Made by [`Prepared::start`]. Every host has its own UDP socket; all connections from
/// one host to another share one QUIC connection.
///
/// Closing the engine delivers what was written before, for up to the
/// [drain timeout](QuicConfig::drain_timeout). Dropping it without closing does not
/// wait.
pub struct QuicEngine {
    /// Where it was started, if that was on one: its hosts live there, whichever runtime asks for
    /// them, and so go down with it and no earlier.
    runtime: Option<Handle>,
    context: EndpointContext,
    notifier: Notifier,
    /// `None` once it was closed.
    open: Mutex<Option<Open>>,
    /// Hosts that crashed, as long as they have tasks.
    crashed: TaskTracker,
    /// The result of closing; the first caller that waits for it takes the failure.
    closed: OnceCell<Mutex<Option<Failure>>>,
}

type Hosts = HashMap<Arc<str>, Endpoint>;

/// What an engine holds until it is closed.
struct Open {
    hosts: Hosts,
    kept: Arc<KeptSockets>,
}

impl QuicEngine {
    /// What the engine has refused so far, by reason.
    pub fn stats(&self) -> Stats {
        self.context.counters.stats()
    }

    fn host(&self, hostname: &str) -> Result<Arc<EndpointInner>, Failure> {
        let open = self.open.lock();
        let open = open.as_ref().ok_or(Cause::NetworkDown)?;
        let endpoint = open.hosts.get(hostname).ok_or(Cause::HostDown)?;
        Ok(Arc::clone(endpoint.inner()))
    }

    /// What the engine holds, unless it was closed or has a host of that name.
    fn open_without(&self, hostname: &str) -> Result<MappedMutexGuard<'_, Open>, Failure> {
        let open = MutexGuard::try_map(self.open.lock(), Option::as_mut)
            .map_err(|_| Cause::NetworkDown)?;
        if open.hosts.contains_key(hostname) {
            return Err(Cause::HostAlreadyRegistered.into());
        }
        Ok(open)
    }

    /// Adds a host; where it can't be added, gives its endpoint back.
    fn add(&self, hostname: &str, endpoint: Endpoint) -> Result<(), (Failure, Endpoint)> {
        match self.open_without(hostname) {
            Ok(mut open) => {
                open.hosts.insert(hostname.into(), endpoint);
                Ok(())
            }
            Err(failure) => Err((failure, endpoint)),
        }
    }

    async fn close_hosts(&self) -> Mutex<Option<Failure>> {
        let open = self.open.lock().take();
        self.crashed.wait().await;
        let mut closing = JoinSet::new();
        for endpoint in open.into_iter().flat_map(|open| open.hosts.into_values()) {
            closing.spawn(endpoint.close());
        }
        let mut failures = Vec::new();
        while let Some(closed) = closing.join_next().await {
            match closed {
                Ok(closed) => failures.extend(closed.err()),
                Err(err) if err.is_panic() => std::panic::resume_unwind(err.into_panic()),
                // The runtime is shutting down, and ends all tasks.
                Err(_) => {}
            }
        }
        Mutex::new(joined(failures))
    }
}

/// Joins all failures to one.
fn joined(mut failures: Vec<Failure>) -> Option<Failure> {
    if failures.len() < 2 {
        return failures.pop();
    }
    let cause = failures[0].cause();
    let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
    Some(Failure::wrap(cause, texts.join("; ")))
}

#[async_trait]
impl Engine for QuicEngine {
    async fn vnet_new_host(&self, hostname: &str, registry: &dyn Registry) -> Result<(), Failure> {
        // Their UDP ports may be all that there are. No peer takes part in this.
        self.crashed.wait().await;
        let kept = Arc::clone(&self.open_without(hostname)?.kept);
        let (endpoint, hostdata) = {
            let _entered = self.runtime.as_ref().map(Handle::enter);
            Endpoint::start(&self.context, &self.notifier, &kept, hostname)?
        };
        let announced = registry.announce(hostname, &hostdata).await;
        let added = match announced {
            // Checked again: meanwhile the engine may have been closed, or the registry
            // may have accepted the name twice. Then the first host stays.
            Ok(()) => self.add(hostname, endpoint),
            Err(err) => Err((err.into(), endpoint)),
        };
        let Err((failure, endpoint)) = added else {
            return Ok(());
        };
        // Nothing was written yet that could be undelivered.
        let _ = endpoint.close().await;
        Err(failure)
    }

    async fn vnet_dial(
        &self,
        src: &Addr,
        dst: &Addr,
        dst_hostdata: &str,
    ) -> Result<(ByteStream, Addr), Failure> {
        let by = Instant::now() + self.context.config.dial_timeout;
        self.vnet_dial_by(src, dst, dst_hostdata, by).await
    }

    fn dial_bound(&self) -> Option<Duration> {
        Some(self.context.config.dial_timeout)
    }

    async fn vnet_dial_by(
        &self,
        src: &Addr,
        dst: &Addr,
        dst_hostdata: &str,
        by: Instant,
    ) -> Result<(ByteStream, Addr), Failure> {
        let host = self.host(src.host())?;
        host.dial(src, dst, dst_hostdata, by, &[]).await
    }

    async fn vnet_dial_with(
        &self,
        src: &Addr,
        dst: &Addr,
        dst_hostdata: &str,
        by: Option<Instant>,
        first: &[u8],
    ) -> Result<(ByteStream, Addr), Failure> {
        let by = by.unwrap_or_else(|| Instant::now() + self.context.config.dial_timeout);
        let host = self.host(src.host())?;
        host.dial(src, dst, dst_hostdata, by, first).await
    }

    fn vnet_enforce(&self, table: &Arc<FaultTable>) -> Enforced {
        self.context.faults.enforce(table);
        Enforced::Datagrams
    }

    fn idle_bound(&self) -> Duration {
        self.context.config.idle_timeout
    }

    fn vnet_crash(&self, hostname: &str) -> Option<Box<dyn FnOnce() + Send + '_>> {
        let endpoint = self.open.lock().as_mut()?.hosts.remove(hostname)?;
        endpoint.inner().faults.silence();
        let runtime = endpoint.inner().tasks.runtime().clone();
        // From now on, so that a host that is made at this moment waits, too.
        let token = self.crashed.token();
        Some(Box::new(move || {
            let release = async move {
                endpoint.crash().await;
                drop(token);
            };
            self.crashed.spawn_on(release, &runtime);
        }))
    }

    async fn close(&self) -> Result<(), Failure> {
        let closed = self.closed.get_or_init(|| self.close_hosts()).await;
        match closed.lock().take() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for QuicEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicEngine")
            .field("network", &self.context.network)
            .field("config", &self.context.config)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
