//! Closing a subnetwork, and the work of its one task: it watches the names, then closes.
//!
//! Owns the wait for lost names, and the closing of engine and registry, so that a close runs
//! to its end even if no caller waits for it. Never marks a host down: closing starts once
//! that is done.

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Weak};

use tokio::sync::{mpsc, watch};

use crate::context::calls::Calls;
use crate::control::state::Control;
use crate::error::Op;
use crate::subnet::directory::Directory;
use crate::trace::live::sender::Sender;
use crate::trace::recorder::Recorder;
use crate::{Cause, Engine, Failure, OpError, Registry, SubNetwork};

/// Every failure of a subnetwork's close; each call of `close` reports them all.
pub(crate) type Closed = Vec<Failure>;

/// Reports how the subnetwork's task ended: with the outcome of the close; or, if its runtime
/// ended and dropped it, without a close.
pub(crate) struct End {
    pub(crate) directory: Weak<Directory>,
    pub(crate) calls: Arc<Calls>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) closed: watch::Sender<Option<Closed>>,
}

impl End {
    /// Completes the trace's file, if there is one; the result is why it is incomplete.
    pub(crate) async fn complete_trace(&self) -> Option<Failure> {
        if !self.recorder.has_file() {
            return None;
        }
        let recorder = Arc::clone(&self.recorder);
        let done = tokio::task::spawn_blocking(move || recorder.finish_file()).await;
        done.unwrap_or_else(|died| Err(Failure::other(died))).err()
    }

    /// Ends every call of `close` that waits.
    pub(crate) fn tell(self, closed: Closed) {
        self.closed.send_replace(Some(closed));
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.closed.borrow().is_some() {
            return;
        }
        // Engine and registry lived on that runtime: none of their calls and streams would
        // ever make progress. So everything ends here.
        let ended = Failure::other(match std::thread::panicking() {
            true => "the subnetwork's task panicked",
            false => "the runtime ended before the subnetwork was closed",
        });
        if let Some(directory) = self.directory.upgrade() {
            directory.go_down(Some(ended.clone()));
        }
        self.calls.close();
        let mut failures = vec![ended];
        failures.extend(self.recorder.finish_file().err());
        self.closed.send_replace(Some(failures));
    }
}

/// Takes hosts down that lost their names, until all of `directory` is down and
/// every stream is dropped. Returns the reason for going down, if it was not a close.
pub(crate) async fn watch_names(
    registry: &dyn Registry,
    directory: &Weak<Directory>,
    kept_open: &mut mpsc::UnboundedReceiver<Failure>,
) -> Option<Failure> {
    let mut reason = None;
    loop {
        tokio::select! {
            biased;
            message = kept_open.recv() => match message {
                Some(failure) => reason = Some(failure),
                None => return reason,
            },
            lost = registry.lost() => {
                tracing::warn!(host = lost.hostname, reason = %lost.reason, "a host lost its name");
                if let Some(directory) = directory.upgrade() {
                    directory.lose(lost);
                }
            }
        }
    }
}

/// Ends the running calls, then closes the engine, then sends the end of the live trace, then closes the registry;
/// `reason` is reported first.
///
/// Each close has a task of its own. So a panic in one is reported as a failure, and the
/// other still runs.
pub(crate) async fn close(
    reason: Option<Failure>,
    calls: &Calls,
    engine: Arc<dyn Engine>,
    registry: Arc<dyn Registry>,
    (control, sender): (&Control, &mut Sender),
) -> Closed {
    calls.close();
    let engine = tokio::spawn(async move { engine.close().await });
    // Plans of faults that are held here are healed meanwhile.
    let (engine, ()) = tokio::join!(engine, control.farewell());
    let engine = engine.unwrap_or_else(|died| Err(Failure::other(died)));
    let unsent = sender.finish().await;
    let registry = tokio::spawn(async move { registry.close().await.map_err(Failure::from) });
    let registry = registry
        .await
        .unwrap_or_else(|died| Err(Failure::other(died)));
    [reason, engine.err(), unsent, registry.err()]
        .into_iter()
        .flatten()
        .collect()
}

/// Makes one failure of all.
pub(crate) fn add_up(mut failures: Closed) -> Result<(), Failure> {
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0)),
        _ => Err(Failure::wrap(failures[0].cause(), Several(failures))),
    }
}

impl SubNetwork {
    /// Has the subnetwork close by itself when its last open host closes. On a subnetwork
    /// that is down already it has no effect.
    ///
    /// # Errors
    ///
    /// An [`OpError`] whose cause is [`Cause::Other`] when no host is open: the call is a
    /// mistake in the program, because no host is left whose close could close the subnetwork.
    ///
    /// ```
    /// # use virtnet_core::pipe::PipeNetwork;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let subnet = PipeNetwork::new("pipet")?.subnetwork();
    /// let err = subnet.auto_close().unwrap_err();
    /// assert_eq!(
    ///     err.to_string(),
    ///     r#"virtnet "pipet": auto close: expected at least one open host, got none"#,
    /// );
    /// let host = subnet.new_host("α").await?;
    /// subnet.auto_close()?;
    /// # Ok(()) }
    /// ```
    pub fn auto_close(&self) -> Result<(), OpError> {
        if self.directory.auto_close() || self.directory.context.down.get().is_some() {
            return Ok(());
        }
        let why = Failure::other("expected at least one open host, got none");
        Err(OpError::new(Op::AutoClose, self.network(), None, None, why))
    }

    /// Closes the subnetwork: every blocked and later operation on it, its hosts, listeners
    /// and connections reports [`Cause::NetworkDown`]; then the engine delivers
    /// what was written and closes, then the registry frees the names.
    ///
    /// A later call, or one after the network went down by itself, waits for the same close
    /// and gets the same result.
    ///
    /// # Errors
    ///
    /// All that went wrong, added up: the reason why the network went down, if it was not
    /// closed, then the failures of the engine's and the registry's close. They include data
    /// that was written to connections, dropped since, and that never reached a peer that was
    /// cut off: no other operation reports this. A test that kills hosts, or cuts them off,
    /// expects it, with the cause [`Cause::ConnectionCut`]: use
    /// [`close_expecting`](SubNetwork::close_expecting).
    ///
    /// # Cancel safety
    ///
    /// The close goes on in the background when the future is dropped.
    pub async fn close(&self) -> Result<(), OpError> {
        self.close_but(|_| true).await
    }

    /// Closes the subnetwork as [`close`](SubNetwork::close) does, but does not report
    /// failures with the cause `expected`: for a test that killed hosts, or cut them off, so
    /// that what was written to them can't be delivered.
    ///
    /// # Errors
    ///
    /// Those of [`close`](SubNetwork::close) with other causes.
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

    /// Crashes all its hosts ([`Host::crash`](crate::Host::crash)), then closes: as if its process had
    /// been killed. No name is freed, not even one of a host that was closed before: each is that of a killed
    /// process. Plans of faults that are held here end by their leases. For up to 1.2 times the time
    /// after which a silent peer counts as lost (12 s by default), setting a plan for its hosts reports that
    /// they did not answer.
    ///
    /// # Errors
    ///
    /// That of the first host that could not be crashed: then it is [closed](SubNetwork::close) instead;
    /// otherwise those of `close`. It is closed in either case.
    ///
    /// # Cancel safety
    ///
    /// The hosts crash when the future is polled first. The close goes on in the background when the
    /// future is dropped.
    pub async fn crash(&self) -> Result<(), OpError> {
        let (_, hosts) = self.directory.hosts();
        let open = hosts.iter().filter(|host| host.check().is_ok());
        let crashed: Vec<_> = open
            .map(|host| {
                let failed =
                    |why| OpError::new(Op::Crash, self.network(), None, Some(host.home()), why);
                host.crash().map_err(failed)
            })
            .collect();
        let crashed = crashed.into_iter().collect::<Result<(), _>>();
        // After a close there is nothing left to crash, and the engine may be closed.
        if crashed.is_ok() && self.directory.context.down.get().is_none() {
            self.control.crash();
            self.directory.crash_rest();
        }
        let closed = self.close().await;
        crashed?;
        closed
    }

    /// Closes it, and reports the failures for which `counts` holds.
    async fn close_but(&self, counts: impl Fn(&Failure) -> bool) -> Result<(), OpError> {
        self.directory.go_down(None);
        let mut closed = self.closed.clone();
        let mut failures = match closed.wait_for(Option::is_some).await {
            Ok(failures) => failures.clone().unwrap_or_default(),
            // Its end panicked in an engine's stream, and could not say so.
            Err(_) => vec![Failure::other(
                "the subnetwork's task ended without a result",
            )],
        };
        failures.retain(counts);
        let result = add_up(failures);
        result.map_err(|why| OpError::new(Op::Close, self.network(), None, None, why))
    }
}

/// Several failures, all of them shown.
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
