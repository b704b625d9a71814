//! Subnetworks: the home of one process's hosts.
//!
//! Owns [`SubNetwork`], the user's handle, and the start of its one task. Never
//! moves a byte of a connection.

pub(crate) mod close;
pub(crate) mod dialing;
pub(crate) mod directory;
pub(crate) mod notifier;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::addr::name::{Noun, check_name, clipped};
use crate::context::calls::Calls;
use crate::context::dials::Outcomes;
use crate::context::down::Down;
use crate::error::Op;
use crate::host::Host;
use crate::host::inner::HostInner;
use crate::subnet::close::{End, close, watch_names};
use crate::subnet::directory::{Context, Reservation};
use crate::{
    Addr, AddrError, Cause, Engine, Failure, Limits, Notifier, OpError, Refused, Registry,
};

/// How long to wait before a taken name is tried again.
const TRY: Duration = Duration::from_millis(100);

/// One process's part of a virtual network, and the home of its hosts.
///
/// Clones are the same subnetwork. It lives until [`close`](SubNetwork::close),
/// or until the last clone and everything made from it is dropped; it then
/// closes in the background, as long as its runtime runs. When the runtime that it was
/// made on ends, all of it is down, whoever still holds a handle.
///
/// ```
/// use std::sync::Arc;
/// use virtnet_core::SubNetwork;
/// use virtnet_core::memory::MemoryHub;
/// use virtnet_core::pipe::{PipeEngine, Switchboard};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let registry = Arc::new(MemoryHub::new().registry());
/// let switchboard = Switchboard::new();
/// let subnet = SubNetwork::new("pipet", registry, |notifier| {
///     PipeEngine::new(&switchboard, notifier)
/// })?;
/// let host = subnet.new_host("α").await?;
/// assert_eq!(host.name(), "α");
/// subnet.close().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SubNetwork {
    pub(crate) shared: Arc<Context>,
}

impl SubNetwork {
    /// Makes a subnetwork of the network with the full name `network`, whose
    /// hosts are found in `registry` and reached by the engine that
    /// `make_engine` returns.
    ///
    /// Starts one task, which takes down hosts that lost their names, and closes
    /// engine and registry when the time comes.
    ///
    /// # Errors
    ///
    /// [`AddrError`] when `network` is no name ([`Addr::new`]).
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new<E: Engine>(
        network: &str,
        registry: Arc<dyn Registry>,
        make_engine: impl FnOnce(Notifier) -> E,
    ) -> Result<SubNetwork, AddrError> {
        SubNetwork::with_limits(network, Limits::default(), registry, make_engine)
    }

    /// The same, but for its limits.
    ///
    /// # Errors
    ///
    /// As of [`new`](SubNetwork::new).
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn with_limits<E: Engine>(
        network: &str,
        limits: Limits,
        registry: Arc<dyn Registry>,
        make_engine: impl FnOnce(Notifier) -> E,
    ) -> Result<SubNetwork, AddrError> {
        check_name(Noun::Network, network)?;
        let ops = Arc::new(Calls::default());
        let (hold, mut held) = mpsc::unbounded_channel();
        let (done, closed) = watch::channel(None);
        let shared = Arc::new(Context {
            network: Arc::from(network),
            engine: OnceLock::new(),
            registry: Arc::clone(&registry),
            limits,
            refusals: Arc::default(),
            outcomes: Outcomes::default(),
            down: Down::default(),
            hold: Mutex::new(Some(hold)),
            ops: Arc::clone(&ops),
            hosts: Mutex::default(),
            closed,
        });
        let notifier = Notifier(Arc::downgrade(&shared));
        let engine: Arc<dyn Engine> = Arc::new(make_engine(notifier));
        drop(shared.engine.set(Arc::clone(&engine)));
        // Holds what it closes, but not the subnetwork, which may be dropped.
        let end = End {
            subnet: Arc::downgrade(&shared),
            ops,
            closed: done,
        };
        tokio::spawn(async move {
            let reason = watch_names(&*registry, &end.subnet, &mut held).await;
            let closed = close(reason, &end.ops, engine, registry).await;
            end.tell(closed);
        });
        Ok(SubNetwork { shared })
    }

    /// The full name of the network.
    pub fn network(&self) -> &str {
        &self.shared.network
    }

    /// How many dials that came in were refused since it was made, and why.
    pub fn refused(&self) -> Refused {
        self.shared.refusals.count()
    }

    /// Creates a host and announces it to the whole network.
    ///
    /// # Errors
    ///
    /// An [`OpError`] whose cause is [`Cause::InvalidAddr`] for what is no
    /// name, [`Cause::HostAlreadyRegistered`], [`Cause::RegistryDown`],
    /// [`Cause::NetworkDown`], or what the engine reports when it can't make
    /// the host's resources; [`Cause::Other`] when there are [`Limits::hosts`] already.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no host and no name behind.
    pub async fn new_host(&self, hostname: &str) -> Result<Host, OpError> {
        let network = &self.shared.network;
        let checked = check_name(Noun::Hostname, hostname);
        let shown = checked
            .as_ref()
            .map_or_else(|_| clipped(hostname), |()| hostname.to_owned());
        let home = Addr::unchecked(Arc::clone(network), shown.into(), 0);
        let made = match checked {
            Ok(()) => self.try_new_host(&home).await,
            Err(err) => Err(err.into()),
        };
        made.map_err(|why| OpError::new(Op::NewHost, Arc::clone(network), None, Some(&home), why))
    }

    /// Creates a host as [`new_host`](SubNetwork::new_host) does, and waits at
    /// for `timeout`, and one more try, while its name is taken or the registry is
    /// down: for a
    /// process that is restarted after it was killed, whose name is leased to
    /// who it was.
    ///
    /// Tries every 100 ms.
    ///
    /// # Errors
    ///
    /// As of [`new_host`](SubNetwork::new_host): the last one, when the time is
    /// over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no host and no name behind.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use virtnet_core::pipe::PipeNetwork;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let network = PipeNetwork::new("pipet")?;
    /// let (was, is) = (network.subnetwork(), network.subnetwork());
    /// let _host = was.new_host("β").await?;
    /// let within = Duration::from_secs(20);
    /// let (host, ()) = tokio::try_join!(is.new_host_within("β", within), was.close())?;
    /// assert_eq!(host.name(), "β");
    /// # Ok(()) }
    /// ```
    pub async fn new_host_within(
        &self,
        hostname: &str,
        timeout: Duration,
    ) -> Result<Host, OpError> {
        // No deadline is one that no clock can tell.
        let deadline = Instant::now().checked_add(timeout);
        let mut tries = tokio::time::interval(TRY);
        // A registry that is slow to fail is not asked the more often for it.
        tries.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tries.tick().await;
            let why = match self.new_host(hostname).await {
                Ok(host) => return Ok(host),
                Err(why) => why,
            };
            let passing = [Cause::HostAlreadyRegistered, Cause::RegistryDown];
            let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if late || !passing.contains(&why.cause()) {
                return Err(why);
            }
        }
    }

    async fn try_new_host(&self, home: &Addr) -> Result<Host, Failure> {
        let sockets = HostInner::new(Arc::clone(&self.shared), home.clone());
        // Known before it is announced: a dial may be faster than our return.
        let arrival = Reservation::new(&self.shared, home, &sockets)?;
        let engine = Arc::clone(self.shared.engine());
        let registry = Arc::clone(&self.shared.registry);
        let hostname = home.clone();
        self.shared
            .run(async move { engine.vnet_new_host(hostname.host(), &*registry).await })
            .await?;
        arrival.complete()?;
        Ok(Host::new(sockets))
    }

    /// Waits until all of `hostnames` are announced, at most for `timeout`: so
    /// that a test starts when everybody is there.
    ///
    /// Looks every 50 ms. A registry that is down is waited for as well.
    ///
    /// # Errors
    ///
    /// An [`OpError`] whose cause is [`Cause::TimedOut`] and which names the
    /// hosts that are missing; [`Cause::NetworkDown`]; or what else the registry
    /// reports.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use virtnet_core::pipe::PipeNetwork;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let network = PipeNetwork::new("pipet")?;
    /// let (here, there) = (network.subnetwork(), network.subnetwork());
    /// let beta = there.new_host("β").await?;
    /// here.wait_for_hosts(&["β"], Duration::from_secs(10)).await?;
    ///
    /// let missing = here.wait_for_hosts(&["β", "γ"], Duration::ZERO).await.unwrap_err();
    /// assert_eq!(
    ///     missing.to_string(),
    ///     r#"virtnet "pipet": wait for hosts: within 0ns there was no "γ""#,
    /// );
    /// # Ok(()) }
    /// ```
    pub async fn wait_for_hosts<S: AsRef<str>>(
        &self,
        hostnames: &[S],
        timeout: Duration,
    ) -> Result<(), OpError> {
        let missing: Vec<&str> = hostnames.iter().map(AsRef::as_ref).collect();
        let waited = self.shared.wait_for_hosts(missing, timeout).await;
        waited.map_err(|why| OpError::new(Op::WaitForHosts, self.network(), None, None, why))
    }
}

impl std::fmt::Debug for SubNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SubNetwork({})", self.network())
    }
}
