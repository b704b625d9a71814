//! Closing a subnetwork, and what its one task does: it watches the names, then closes.
//!
//! Owns the waiting for lost names, and the closing of engine and registry, so
//! that a close runs to its end whoever asked for it and whoever still waits.
//! Never marks a host down: closing starts once that is done.

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Weak};

use tokio::sync::{mpsc, watch};

use crate::context::calls::Calls;
use crate::context::sync::lock;
use crate::error::Op;
use crate::subnet::Context;
use crate::{Cause, Engine, Failure, OpError, Registry, SubNetwork};

/// What every close of one subnetwork reports: all that went wrong.
pub(crate) type Closed = Vec<Failure>;

/// What the subnetwork's task ends with: the outcome of the close, or, where its runtime
/// ended and dropped it, the news that nothing runs any more.
pub(crate) struct End {
    pub(crate) subnet: Weak<Context>,
    pub(crate) ops: Arc<Calls>,
    pub(crate) closed: watch::Sender<Option<Closed>>,
}

impl End {
    /// Tells all who wait for the close.
    pub(crate) fn tell(self, closed: Closed) {
        self.closed.send_replace(Some(closed));
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.closed.borrow().is_some() {
            return;
        }
        // Engine and registry lived on that runtime: no call and no stream of theirs would
        // ever get on, whoever polls it. So everything ends here.
        let ended = Failure::other(match std::thread::panicking() {
            true => "its task panicked",
            false => "its runtime ended before it was closed",
        });
        if let Some(subnet) = self.subnet.upgrade() {
            subnet.go_down(Some(ended.clone()));
        }
        self.ops.close();
        self.closed.send_replace(Some(vec![ended]));
    }
}

/// Takes hosts down that lost their names, until all of `subnet` is down and
/// every stream let go of; returns what took it down, if it was not a close.
pub(crate) async fn watch_names(
    registry: &dyn Registry,
    subnet: &Weak<Context>,
    held: &mut mpsc::UnboundedReceiver<Failure>,
) -> Option<Failure> {
    let mut reason = None;
    loop {
        tokio::select! {
            biased;
            message = held.recv() => match message {
                Some(failure) => reason = Some(failure),
                None => return reason,
            },
            lost = registry.lost() => {
                tracing::warn!(host = lost.hostname, reason = %lost.reason, "a host lost its name");
                if let Some(subnet) = subnet.upgrade() {
                    subnet.lose(lost);
                }
            }
        }
    }
}

/// Ends the running calls, then closes engine and registry, one after the
/// other; `reason` is reported first.
///
/// Each close has a task of its own, so that one that panics is a failure like
/// any other, and keeps nothing from being closed.
pub(crate) async fn close(
    reason: Option<Failure>,
    ops: &Calls,
    engine: Arc<dyn Engine>,
    registry: Arc<dyn Registry>,
) -> Closed {
    ops.close();
    let engine = tokio::spawn(async move { engine.close().await });
    let engine = engine
        .await
        .unwrap_or_else(|died| Err(Failure::other(died)));
    let registry = tokio::spawn(async move { registry.close().await.map_err(Failure::from) });
    let registry = registry
        .await
        .unwrap_or_else(|died| Err(Failure::other(died)));
    [reason, engine.err(), registry.err()]
        .into_iter()
        .flatten()
        .collect()
}

/// All of them as one.
pub(crate) fn add_up(mut failures: Closed) -> Result<(), Failure> {
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0)),
        _ => Err(Failure::wrap(failures[0].cause(), Several(failures))),
    }
}

impl SubNetwork {
    /// Asks the subnetwork to close by itself when its last open host closes.
    ///
    /// # Panics
    ///
    /// Without an open host: it would never close, or should have already.
    pub fn auto_close(&self) {
        let open = {
            let mut hosts = lock(&self.shared.hosts);
            hosts.auto_close |= hosts.open > 0;
            hosts.open > 0
        };
        // One that is down already has nothing left to ask for.
        if open || self.shared.down.get().is_some() {
            return;
        }
        panic!("auto_close of {:?} without an open host", self.network());
    }

    /// Closes it: every blocked and later operation on it, its hosts, listeners
    /// and connections reports [`Cause::NetworkDown`]; then the engine delivers
    /// what was written and closes, then the registry frees the names.
    ///
    /// Whoever closes later, or after the network went down by itself, waits
    /// for the same close and gets the same result.
    ///
    /// # Errors
    ///
    /// All that went wrong, added up: what took the network down, if it was not
    /// a close, then what the engine's and the registry's close reported. That is
    /// also what was written to connections that were dropped since, and never
    /// reached a peer that was cut off: nobody else has been told. A test that kills
    /// hosts, or cuts them off, expects it, with the cause [`Cause::ConnectionCut`]:
    /// [`close_expecting`](SubNetwork::close_expecting).
    ///
    /// # Cancel safety
    ///
    /// The close goes on in the background when the future is dropped.
    pub async fn close(&self) -> Result<(), OpError> {
        self.close_but(|_| true).await
    }

    /// Closes it as [`close`](SubNetwork::close) does, where a failure of that cause is
    /// expected, and none: for a test that killed hosts, or cut them off, and then can't
    /// deliver what was written to them.
    ///
    /// # Errors
    ///
    /// As of [`close`](SubNetwork::close): all else that went wrong.
    ///
    /// # Cancel safety
    ///
    /// The close goes on in the background when the future is dropped.
    ///
    /// ```
    /// # use virtnet_core::{Cause, pipe::PipeNetwork};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let subnet = PipeNetwork::new("pipet")?.subnetwork();
    /// // β's process is killed …
    /// subnet.close_expecting(Cause::ConnectionCut).await?;
    /// # Ok(()) }
    /// ```
    pub async fn close_expecting(&self, expected: Cause) -> Result<(), OpError> {
        self.close_but(|failure| failure.cause() != expected).await
    }

    /// Closes it, and reports those failures that `counts` says count.
    async fn close_but(&self, counts: impl Fn(&Failure) -> bool) -> Result<(), OpError> {
        self.shared.go_down(None);
        let mut closed = self.shared.closed.clone();
        let mut failures = match closed.wait_for(Option::is_some).await {
            Ok(failures) => failures.clone().unwrap_or_default(),
            Err(_) => unreachable!("the task tells how it ended"),
        };
        failures.retain(counts);
        let result = add_up(failures);
        result.map_err(|why| OpError::new(Op::Close, self.network(), None, None, why))
    }
}

/// More than one thing went wrong; none is swallowed.
#[derive(Debug)]
struct Several(Vec<Failure>);

impl fmt::Display for Several {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, failure) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "; " })?;
            failure.fmt(f)?;
        }
        Ok(())
    }
}

impl StdError for Several {}
