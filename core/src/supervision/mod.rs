//! Hosts whose programs are killed, paused, resumed and restarted from anywhere on the network.
//!
//! Owns the documents by which that is asked for and answered, the handle of those who ask,
//! [`Supervision`], and that of those who do it, [`Supervisor`]. Never touches a process: the
//! supervisor's owner does.
//!
//! `virtnet run` is such an owner. Requests take the way of a plan of [faults](crate::faults): the
//! registry's documents, which no fault cuts. So a host inside of a partition can be paused.
//!
//! A request is done once at most: its supervisor *takes* it before it acts, and whoever gives up
//! *withdraws* it; only one of both succeeds.
//!
//! ```
//! use virtnet_core::pipe::PipeNetwork;
//! use virtnet_core::supervision::{Action, HostState};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let network = PipeNetwork::new("pipet")?;
//! let (here, there) = (network.subnetwork(), network.subnetwork());
//! let beta = there.new_host("β").await?;
//! let mut supervisor = there.supervise(&beta).await?;
//!
//! let operator = here.supervision();
//! let supervise = async {
//!     let request = supervisor.next().await?;
//!     assert_eq!(request.action(), Action::Pause);
//!     // ... stop the program ...
//!     supervisor.done(request, HostState::Paused).await
//! };
//! let (paused, supervised) = tokio::join!(operator.pause("β"), supervise);
//! paused?;
//! supervised?;
//! assert_eq!(operator.hosts().await?[0].state, HostState::Paused);
//! # Ok(()) }
//! ```

mod document;
mod error;
mod request;
mod supervisor;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::context::Context;
use crate::{Failure, Registry};

pub use document::{Action, HostState, SupervisedHost};
pub use error::{Reason, SupervisionError};
pub use supervisor::{Request, Supervisor};

/// The default time limit of each operation: a restart waits for a port or a name that is
/// not free at once.
const WITHIN: Duration = Duration::from_secs(10);

/// The shortest time limit, as the registry's documents live no shorter.
const SHORTEST: Duration = Duration::from_millis(200);

/// Kills, pauses, resumes and restarts the programs of hosts, on whichever machine they are:
/// [`SubNetwork::supervision`](crate::SubNetwork::supervision), or [`Supervision::of`] without a
/// subnetwork.
///
/// It works while rules of [faults](crate::faults) are in force, for these hosts too. At the
/// registry, it needs a member's rights.
///
/// # Cancel safety
///
/// When the future of an action is dropped, the action may be done, or not; it is not done later
/// than the time limit.
#[derive(Clone)]
pub struct Supervision {
    calls: Calls,
    /// The subnetwork, which stays open.
    _owner: Option<Arc<dyn Any + Send + Sync>>,
    within: Duration,
    by: String,
}

impl Supervision {
    /// For a program without hosts on the network of `registry`, which it closes itself.
    pub fn of(registry: Arc<dyn Registry>) -> Supervision {
        Supervision::new(Calls::new(registry, None), None)
    }

    pub(crate) fn new(calls: Calls, owner: Option<Arc<dyn Any + Send + Sync>>) -> Supervision {
        Supervision {
            calls,
            _owner: owner,
            within: WITHIN,
            by: format!("process {}", std::process::id()),
        }
    }

    /// Sets the time limit of each operation of this handle. The default is 10 s, the least 200 ms.
    #[must_use]
    pub fn within(mut self, within: Duration) -> Supervision {
        self.within = within.max(SHORTEST);
        self
    }

    /// Sets who asks, for logs and traces; by default `process` and its number. At most 200 bytes,
    /// without control characters; the rest is clipped.
    #[must_use]
    pub fn by(mut self, by: &str) -> Supervision {
        self.by = document::line(by);
        self
    }

    /// Has the program and all that it has started end as if its machine had lost its power, and the host
    /// [crash](crate::Host::crash): its peers hear nothing. A second kill changes nothing.
    ///
    /// # Errors
    ///
    /// A [`SupervisionError`], which names the host, the action and the [`Reason`].
    pub async fn kill(&self, host: &str) -> Result<(), SupervisionError> {
        self.ask(Action::Kill, host).await
    }

    /// Stops the program, all that it has started, and its forwards, as if its machine stood
    /// still: its peers hear nothing, and nothing ends. A second pause changes nothing.
    ///
    /// # Errors
    ///
    /// A [`SupervisionError`], which names the host, the action and the [`Reason`].
    pub async fn pause(&self, host: &str) -> Result<(), SupervisionError> {
        self.ask(Action::Pause, host).await
    }

    /// Lets what was paused go on. Changes nothing if nothing was.
    ///
    /// # Errors
    ///
    /// A [`SupervisionError`], which names the host, the action and the [`Reason`].
    pub async fn resume(&self, host: &str) -> Result<(), SupervisionError> {
        self.ask(Action::Resume, host).await
    }

    /// Kills the program as [`kill`](Supervision::kill) does, unless that was done, and starts
    /// host, forwards and program again, with the same arguments and variables.
    ///
    /// # Errors
    ///
    /// A [`SupervisionError`], which names the host, the action and the [`Reason`].
    pub async fn restart(&self, host: &str) -> Result<(), SupervisionError> {
        self.ask(Action::Restart, host).await
    }

    /// Does one of these.
    ///
    /// # Errors
    ///
    /// A [`SupervisionError`], which names the host, the action and the [`Reason`].
    pub async fn ask(&self, action: Action, host: &str) -> Result<(), SupervisionError> {
        request::ask(&self.calls, (action, host), &self.by, self.within).await
    }

    /// The hosts that can be asked for, sorted by name, and what they do.
    ///
    /// A supervisor that was killed is listed for up to 10 s longer.
    ///
    /// # Errors
    ///
    /// A [`SupervisionError`], which names the [`Reason`].
    pub async fn hosts(&self) -> Result<Vec<SupervisedHost>, SupervisionError> {
        let found = request::supervisors(&self.calls).await;
        let found = found.map_err(|reason| SupervisionError::new(None, "", reason))?;
        let mut hosts: Vec<_> = found.into_iter().map(|found| found.shown()).collect();
        hosts.sort_by(|one, other| one.host.cmp(&other.host));
        Ok(hosts)
    }
}

impl fmt::Debug for Supervision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervision")
            .field("within", &self.within)
            .field("by", &self.by)
            .finish_non_exhaustive()
    }
}

/// The way to the registry's documents, which a close of the subnetwork ends.
#[derive(Clone)]
pub(crate) struct Calls {
    registry: Arc<dyn Registry>,
    context: Option<Arc<Context>>,
}

impl Calls {
    pub(crate) fn new(registry: Arc<dyn Registry>, context: Option<Arc<Context>>) -> Calls {
        Calls { registry, context }
    }

    /// Runs calls to the registry until they are done or the subnetwork is down.
    async fn run<T, C>(&self, call: impl FnOnce(Arc<dyn Registry>) -> C) -> Result<T, Failure>
    where
        T: 'static,
        C: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let call = call(Arc::clone(&self.registry));
        match &self.context {
            Some(context) => context.run(call).await,
            None => call.await,
        }
    }
}
