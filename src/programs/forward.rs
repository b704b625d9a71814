//! A running forward, and what all forwards of a process share.
//!
//! Owns the task of each forward, the limit on connections, and how failures are reported.
//! Never knows what kind of forward it is.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use virtnet_core::{Addr, AddrError, OpError};

use super::endpoint::Endpoint;
use super::links::{CutAll, Links};
use super::pump::Ended;

/// The default limit on connections that are forwarded at the same time.
pub const MAX_CONNECTIONS: usize = 1000;

/// How long a program may take to accept a connection, and a dial to be accepted.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(30);

/// Why a forward cannot start, or has ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The virtual network, a host or a listener failed.
    #[error(transparent)]
    Network(#[from] OpError),
    /// The virtual address is not valid.
    #[error(transparent)]
    Address(#[from] AddrError),
    /// The address of this machine cannot be listened at.
    #[error("cannot listen at {at}: {source}")]
    Listen {
        /// The address.
        at: Endpoint,
        /// Why not.
        source: io::Error,
    },
    /// Others could reach the address: see [`Forwarder::any_address`](super::Forwarder::any_address).
    #[error(
        "{0} can be reached from other machines: expected a loopback address or a Unix socket, \
         unless any address is allowed"
    )]
    NotLoopback(Endpoint),
    /// A proxy needs at least one host to dial from.
    #[error("a proxy needs at least one host to dial from")]
    NoHost,
}

/// A running forward. Dropping it ends it: no connection is accepted any more, and those that
/// are open are cut at both ends before the drop returns.
pub struct Forward {
    shown: String,
    virtual_addr: Option<Addr>,
    endpoint: Endpoint,
    task: JoinHandle<OpError>,
    cut: CutAll,
}

impl Forward {
    /// The virtual address: that which an exposed program has (with the port that was found
    /// for port 0), or that which is dialed. A proxy has none.
    pub fn virtual_addr(&self) -> Option<&Addr> {
        self.virtual_addr.as_ref()
    }

    /// The address on this machine: of the exposed program, or where programs connect to (with
    /// the port that was found for port 0).
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Waits until the forward ends by itself: its host, its network or its listener is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing. After it has returned, it must not be called
    /// again.
    pub async fn ended(&mut self) -> OpError {
        match (&mut self.task).await {
            Ok(err) => err,
            // A panic is a defect: it must not be hidden. The task is only cancelled by our drop.
            Err(err) => std::panic::resume_unwind(err.into_panic()),
        }
    }

    /// Stops moving bytes, accepting and dialing, as a machine does that stands still: the peers of its
    /// connections wait, and nothing ends. When it returns, nothing moves. A second pause has no effect.
    pub fn pause(&self) {
        self.cut.0.pause();
    }

    /// Goes on after a [`pause`](Forward::pause). Without one it has no effect.
    pub fn resume(&self) {
        self.cut.0.resume();
    }

    /// Starts what accepts connections.
    pub(super) fn start(
        (shown, virtual_addr, endpoint): (String, Option<Addr>, Endpoint),
        links: Links,
        serve: Pin<Box<dyn Future<Output = OpError> + Send>>,
    ) -> Forward {
        Forward {
            shown,
            virtual_addr,
            endpoint,
            task: tokio::spawn(serve),
            cut: CutAll(links),
        }
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Such as `expose β:5432 -> 127.0.0.1:5432`.
impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown.fmt(f)
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Forward({})", self.shown)
    }
}

/// How many connections may be open.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    free: Arc<Semaphore>,
    max: usize,
}

impl Limit {
    pub(super) fn new(max: usize) -> Limit {
        let max = max.min(Semaphore::MAX_PERMITS);
        Limit {
            free: Arc::new(Semaphore::new(max)),
            max,
        }
    }

    pub(super) fn is_unused(&self) -> bool {
        self.free.available_permits() == self.max
    }

    /// Room for one more connection; warns if there is none.
    pub(super) fn take(
        &self,
        forward: &str,
        peer: impl fmt::Display,
    ) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok();
        if permit.is_none() {
            let max = self.max;
            tracing::warn!("{forward}: reset {peer}: the limit of {max} connections is reached");
        }
        permit
    }
}

/// An error and its sources in one line.
pub(super) fn one_line(err: &OpError) -> String {
    format!("{err:?}").replace("\n  caused by: ", ": ")
}

/// Reports how a connection ended.
pub(super) fn report(ends: &str, ended: Option<Ended>) {
    let Some(ended) = ended else { return };
    let (out, back) = (ended.from_program, ended.from_network);
    match ended.cut {
        None => tracing::debug!("{ends}: ended after {out} bytes to the network, {back} from it"),
        Some(why) => {
            tracing::info!("{ends}: cut after {out} bytes to the network, {back} from it: {why}");
        }
    }
}
