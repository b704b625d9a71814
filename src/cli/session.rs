//! Sessions: the subnetworks that a subcommand works on, closed whatever happens.
//!
//! Owns signals, and that a subnetwork is closed (data delivered, names freed)
//! before the process ends: after success, after a failure, after a signal.
//! Never knows what the work is.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::task::JoinSet;
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
    /// None where it is to be ignored.
    #[cfg(unix)]
    hang_up: Option<tokio::signal::unix::Signal>,
}

impl Signals {
    #[cfg(unix)]
    pub(crate) fn new() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: match hang_up_is_ignored() {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
        })
    }

    #[cfg(not(unix))]
    pub(crate) fn new() -> io::Result<Signals> {
        Ok(Signals {})
    }

    /// The number of the next signal.
    #[cfg(unix)]
    async fn next(&mut self) -> i32 {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = hang_up => 1,
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

/// Whether whoever started this said so, as `nohup` does: a handler would undo that.
///
/// Where the system has no file that tells, a hang-up is left to do what it does.
#[cfg(unix)]
fn hang_up_is_ignored() -> bool {
    const SIGHUP: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_none_or(|mask| mask & SIGHUP != 0)
}

/// What the work has running besides itself. Ends before the subnetworks close.
pub(crate) type Tasks = JoinSet<Result<(), End>>;

/// How long tasks may take to end, each of which may be in the midst of a line that
/// nobody reads.
const TASKS: Duration = Duration::from_secs(1);

/// Joins the networks, does the work, and closes what was joined.
///
/// Work that a signal ends is dropped, and its tasks are, before anything is closed:
/// what they were in the midst of is theirs to cut, and a close would end it in order.
pub(crate) async fn with_subnetworks(
    configs: Vec<Config>,
    signals: &mut Signals,
    work: impl AsyncFnOnce(&[SubNetwork], &mut Tasks) -> Result<(), End>,
) -> Result<(), End> {
    let mut joined = Vec::new();
    let mut tasks = Tasks::new();
    let worked = signals.or(async {
        for config in configs {
            joined.push(config.open().await?);
        }
        work(&joined, &mut tasks).await
    });
    let worked = worked.await.and_then(|done| done);
    let _ = timeout(TASKS, tasks.shutdown()).await;
    let closed = close(&joined, signals, matches!(worked, Err(End::Signal(_)))).await;
    match (worked, closed) {
        (Ok(()), closed) => closed,
        (Err(End::Failed(line)), Err(End::Failed(closing))) => {
            Err(End::Failed(format!("{line}; {closing}")))
        }
        (Err(End::Misused(line)), Err(End::Failed(closing))) => {
            Err(End::Misused(format!("{line}; {closing}")))
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
