//! Sessions: the subnetworks that a subcommand works on, closed whatever happens.
//!
//! Owns signals, and that a subnetwork is closed (data delivered, names freed)
//! before the process ends: after success, after a failure, after a signal.
//! Never knows what the work is.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;
use virtnet::{Config, OpError, SubNetwork};

use super::end::{End, one_line, say};

/// How long closing may take once a signal has asked for the end: whoever sent
/// it may soon send one that cannot be caught.
const AFTER_SIGNAL: Duration = Duration::from_secs(8);

/// The signals that ask the process to end.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    pub(crate) fn new() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    #[cfg(not(unix))]
    pub(crate) fn new() -> io::Result<Signals> {
        Ok(Signals {})
    }

    /// The number of the next signal.
    #[cfg(unix)]
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => 2,
            _ = self.terminate.recv() => 15,
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> i32 {
        match tokio::signal::ctrl_c().await {
            Ok(()) => 2,
            Err(_) => std::future::pending().await,
        }
    }

    /// Does the work, unless a signal comes: the work is then dropped.
    pub(crate) async fn or<T>(&mut self, work: impl Future<Output = T>) -> Result<T, End> {
        tokio::select! {
            done = work => Ok(done),
            number = self.next() => Err(End::Signal(number)),
        }
    }
}

/// Joins the networks, does the work, and closes what was joined.
pub(crate) async fn with_subnetworks(
    configs: Vec<Config>,
    signals: &mut Signals,
    work: impl AsyncFnOnce(&[SubNetwork]) -> Result<(), End>,
) -> Result<(), End> {
    let mut joined = Vec::new();
    let worked = signals.or(async {
        for config in configs {
            joined.push(config.join().await?);
        }
        work(&joined).await
    });
    let worked = worked.await.and_then(|done| done);
    let closed = close(&joined, signals, matches!(worked, Err(End::Signal(_)))).await;
    match (worked, closed) {
        (Ok(()), closed) => closed,
        (Err(End::Failed(line)), Err(End::Failed(closing))) => {
            Err(End::Failed(format!("{line}; {closing}")))
        }
        (Err(End::Signal(number)), Err(End::Failed(closing))) => {
            say(&format!("virtnet: {closing}"));
            Err(End::Signal(number))
        }
        (failed, _) => failed,
    }
}

/// Closes all; the first signal sets it a limit, the next one ends it.
async fn close(joined: &[SubNetwork], signals: &mut Signals, hurry: bool) -> Result<(), End> {
    let mut closing = pin!(close_all(joined));
    let signal = match hurry {
        true => None,
        false => match signals.or(closing.as_mut()).await {
            Ok(closed) => return closed,
            Err(signal) => Some(signal),
        },
    };
    let closed = match signals.or(timeout(AFTER_SIGNAL, closing)).await? {
        Ok(closed) => closed,
        Err(_) => Err(End::Failed(format!(
            "close: not done within {AFTER_SIGNAL:?}"
        ))),
    };
    match (closed, signal) {
        (Ok(()), Some(signal)) => Err(signal),
        (closed, _) => closed,
    }
}

async fn close_all(joined: &[SubNetwork]) -> Result<(), End> {
    let mut failed: Vec<OpError> = Vec::new();
    for subnet in joined {
        failed.extend(subnet.close().await.err());
    }
    if failed.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = failed.iter().map(|err| one_line(err)).collect();
    Err(End::Failed(lines.join("; ")))
}
