//! Subnetworks: one process's hosts.
//!
//! Owns [`SubNetwork`], the user's handle, and the start of its one task. Never
//! moves a byte of a connection.

pub(crate) mod close;
pub(crate) mod directory;
pub(crate) mod faults;
pub(crate) mod notifier;
pub(crate) mod stats;
mod trace;
mod wait_for_hosts;

use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::addr::name::{Noun, check_name, clipped};
use crate::context::Context;
use crate::control::joining::{Joining, JoiningRegistry};
use crate::control::state::Control;
use crate::error::Op;
use crate::host::Host;
use crate::host::inner::{HostInner, HostOwner};
use crate::subnet::close::{Closed, End, close, watch_names};
use crate::subnet::directory::{Directory, Reservation};
use crate::subnet::faults::Hosts;
use crate::trace::live::sender::Sender;
use crate::{Addr, AddrError, Cause, Engine, Failure, Limits, Notifier, OpError, Registry};

/// How often a taken name is tried again.
const TRY: Duration = Duration::from_millis(100);

/// One process's part of a virtual network, in which it makes its hosts.
///
/// Clones are the same subnetwork. It lives until [`close`](SubNetwork::close),
/// or until the last clone and everything made from it are dropped; it then
/// closes in the background, as long as its runtime runs. When the runtime that it was
/// made on ends, all of it goes down, even if handles are still held.
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
    pub(crate) directory: Arc<Directory>,
    pub(crate) control: Arc<Control>,
    /// The outcome of the close, once it is over.
    pub(crate) closed: watch::Receiver<Option<Closed>>,
}

impl SubNetwork {
    /// Makes a subnetwork of the network with the full name `network`, whose
    /// hosts are found in `registry` and reached by the engine that
    /// `make_engine` returns.
    ///
    /// Starts one task, which takes down hosts that lost their names, sends what is recorded live, and closes
    /// engine and registry in the end.
    ///
    /// # Errors
    ///
    /// [`AddrError`] when `network` is not a valid name ([`Addr::new`]).
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

    /// The same as [`new`](SubNetwork::new), with other limits than the default ones.
    ///
    /// # Errors
    ///
    /// Those of [`new`](SubNetwork::new).
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
        let (keep_open, mut kept_open) = mpsc::unbounded_channel();
        let (done, closed) = watch::channel(None);
        let context = Context::new(network, limits, Arc::clone(&registry), keep_open);
        let calls = Arc::clone(&context.calls);
        let directory = Arc::new(Directory::new(context));
        let notifier = Notifier(Arc::downgrade(&directory));
        let engine: Arc<dyn Engine> = Arc::new(make_engine(notifier));
        directory.context.set_engine(Arc::clone(&engine));
        // Holds what it closes, but not the subnetwork, which may be dropped.
        let end = End {
            directory: Arc::downgrade(&directory),
            calls,
            recorder: Arc::clone(&directory.context.recorder),
            closed: done,
        };
        let recorder = Arc::clone(&directory.context.recorder);
        let mut sender = Sender::new(recorder, Arc::clone(&registry));
        let control = Arc::new(Control::new(Arc::clone(&registry)));
        let task = Arc::clone(&control);
        tokio::spawn(async move {
            let hosts = Hosts(Weak::clone(&end.directory));
            let reason = tokio::select! {
                biased;
                reason = watch_names(&*registry, &end.directory, &mut kept_open) => reason,
                never = follow(&task, &hosts) => match never {},
                never = sender.run() => match never {},
            };
            let mut closed =
                close(reason, &end.calls, engine, registry, (&task, &mut sender)).await;
            closed.extend(end.complete_trace().await);
            end.tell(closed);
        });
        Ok(SubNetwork {
            directory,
            control,
            closed,
        })
    }

    /// The full name of the network.
    pub fn network(&self) -> &str {
        &self.directory.context.network
    }

    /// Creates a host and announces it to the whole network.
    ///
    /// # Errors
    ///
    /// An [`OpError`] whose cause is [`Cause::InvalidAddr`] when `hostname` is not a valid
    /// name, [`Cause::HostAlreadyRegistered`], [`Cause::RegistryDown`],
    /// [`Cause::NetworkDown`], [`Cause::Other`] when there are [`Limits::hosts`] already, or
    /// the one that the engine reports when it can't make the host's resources.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no host and no name behind.
    pub async fn new_host(&self, hostname: &str) -> Result<Host, OpError> {
        let network = &self.directory.context.network;
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

    /// Creates a host as [`new_host`](SubNetwork::new_host) does, but tries again while the
    /// name is taken or the registry is down: after a crash, a restarted process finds its
    /// old name still leased.
    ///
    /// Tries every 100 ms, at most for `timeout`; the last try begins when that is over.
    ///
    /// # Errors
    ///
    /// Those of [`new_host`](SubNetwork::new_host); when the time is over, the error of the
    /// last try.
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
        let down = &self.directory.context.down;
        if down.get().is_some() {
            // Its runtime, and so the timer, may be gone.
            return self.new_host(hostname).await;
        }
        // Without a deadline, if it is too late for the clock to tell.
        let deadline = Instant::now().checked_add(timeout);
        let mut tries = tokio::time::interval(TRY);
        // A registry that is slow to fail is not asked more often because of that.
        tries.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                // The next try says so.
                _ = down.wait() => {}
                _ = tries.tick() => {}
            }
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
        let context = &self.directory.context;
        let owner = Arc::clone(&self.directory) as Arc<dyn HostOwner>;
        let host = HostInner::new(Arc::clone(context), owner, home.clone());
        // Known before it is announced: a dial may come before this returns.
        let reservation = Reservation::new(&self.directory, &host)?;
        let (engine, registry) = (Arc::clone(context.engine()), Arc::clone(&context.registry));
        let hostname = home.clone();
        let recorder = Arc::clone(&context.recorder);
        let joining = Joining::new(&self.control, home.host()).map(Arc::new);
        context
            .run(async move {
                if let Some(outbox) = recorder.outbox() {
                    outbox.joined().await;
                }
                let Some(joining) = joining else {
                    return engine.vnet_new_host(hostname.host(), &*registry).await;
                };
                let registry = JoiningRegistry::new(registry, &joining);
                engine.vnet_new_host(hostname.host(), &registry).await?;
                joining.complete();
                Ok(())
            })
            .await?;
        reservation.complete()?;
        host.record_made();
        Ok(Host::new(host))
    }
}

/// Follows the plan of faults, without end.
async fn follow(control: &Arc<Control>, hosts: &Hosts) -> Infallible {
    control.run(Some(hosts)).await;
    pending().await
}

impl std::fmt::Debug for SubNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SubNetwork({})", self.network())
    }
}
