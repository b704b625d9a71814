//! Sessions: the subnetworks of a subcommand, which are always closed.
//!
//! Owns signals, and that subnetworks are closed (data delivered, names freed) before the
//! process ends: after success, a failure or a signal. Never knows what the work is.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use virtnet::{Config, OpError, SubNetwork};

use super::exit::{Exit, one_line};
use super::output::print_stderr;

/// How long closing may take after a signal: SIGKILL may follow soon.
const CLOSE_AFTER_SIGNAL: Duration = Duration::from_secs(8);

/// The signals that ask the process to end.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    /// None if the process ignores it.
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
    pub(crate) async fn next(&mut self) -> i32 {
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

    /// Runs the work; a signal drops it.
    pub(crate) async fn or<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Exit> {
        tokio::select! {
            done = work => Ok(done),
            number = self.next() => Err(Exit::Signal(number)),
        }
    }
}

/// Whether this process was started with SIGHUP ignored, as `nohup` does; a handler would
/// undo that.
///
/// True on systems without `/proc`, so that SIGHUP keeps its default action.
#[cfg(unix)]
fn hang_up_is_ignored() -> bool {
    const SIGHUP: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_none_or(|mask| mask & SIGHUP != 0)
}

/// The background tasks of the work. They end before the subnetworks close.
pub(crate) type Tasks = JoinSet<Result<(), Exit>>;

/// How long the tasks may take to end: one may be blocked in writing a line.
const END_TASKS: Duration = Duration::from_secs(1);

/// Opens the subnetworks, does the work, and closes them.
///
/// A signal drops the work and its tasks before anything is closed, so that they abort
/// unfinished connections, which a close would end cleanly.
pub(crate) async fn with_subnetworks(
    configs: Vec<Config>,
    signals: &mut Signals,
    work: impl AsyncFnOnce(&[SubNetwork], &mut Tasks) -> Result<(), Exit>,
) -> Result<(), Exit> {
    let mut subnets = Vec::new();
    let mut tasks = Tasks::new();
    let worked = signals.or(async {
        for config in configs {
            subnets.push(config.open().await?);
        }
        work(&subnets, &mut tasks).await
    });
    let worked = worked.await.and_then(|done| done);
    let _ = timeout(END_TASKS, tasks.shutdown()).await;
    let closed = close(&subnets, signals, matches!(worked, Err(Exit::Signal(_)))).await;
    match (worked, closed) {
        (Ok(()), closed) => closed,
        (Err(Exit::Failed(line)), Err(Exit::Failed(closing))) => {
            Err(Exit::Failed(format!("{line}; {closing}")))
        }
        (Err(Exit::Usage(line)), Err(Exit::Failed(closing))) => {
            Err(Exit::Usage(format!("{line}; {closing}")))
        }
        (Err(Exit::Signal(number)), Err(Exit::Failed(closing))) => {
            print_stderr(&format!("virtnet: {closing}"));
            Err(Exit::Signal(number))
        }
        (failed, _) => failed,
    }
}

/// Closes all subnetworks; the first signal sets a time limit, the second ends it.
pub(crate) async fn close(
    subnets: &[SubNetwork],
    signals: &mut Signals,
    hurry: bool,
) -> Result<(), Exit> {
    let mut closing = pin!(close_all(subnets));
    let signal = match hurry {
        true => None,
        false => match signals.or(closing.as_mut()).await {
            Ok(closed) => return closed,
            Err(signal) => Some(signal),
        },
    };
    let closed = match signals.or(timeout(CLOSE_AFTER_SIGNAL, closing)).await? {
        Ok(closed) => closed,
        Err(_) => Err(Exit::Failed(format!(
            "close: not finished within {CLOSE_AFTER_SIGNAL:?}"
        ))),
    };
    match (closed, signal) {
        (Ok(()), Some(signal)) => Err(signal),
        (closed, _) => closed,
    }
}

async fn close_all(subnets: &[SubNetwork]) -> Result<(), Exit> {
    let mut failed: Vec<OpError> = Vec::new();
    for subnet in subnets {
        failed.extend(subnet.close().await.err());
    }
    if failed.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = failed.iter().map(|err| one_line(err)).collect();
    Err(Exit::Failed(lines.join("; ")))
}
