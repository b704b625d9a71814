//! The loop that accepts programs' connections, for reach and proxy.
//!
//! Owns the tasks of these connections, and when the loop ends. Never knows what is done with a
//! connection.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, JoinSet};
use virtnet_core::OpError;

use super::forward::Limit;
use super::links::Links;
use super::local::{LocalListener, LocalStream};

/// How long a forward that cannot accept waits until it tries again: for a free file
/// descriptor, for example.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The work for one connection, in one type, so that the program has one copy of what runs it. It
/// fails if no later connection can be carried either.
pub(super) type Carried = Pin<Box<dyn Future<Output = Result<(), OpError>> + Send>>;

/// Carries a program's connection, for which there is room.
pub(super) type Carry =
    Box<dyn Fn(LocalStream, String, OwnedSemaphorePermit) -> Carried + Send + Sync>;

/// The tasks of a forward's connections. One that fails ends the forward.
pub(super) type Tasks = JoinSet<Result<(), OpError>>;

/// The result of a connection's task.
pub(super) fn checked(done: Result<Result<(), OpError>, JoinError>) -> Result<(), OpError> {
    // A panic is a defect: it must not be hidden.
    done.unwrap_or_else(|err| std::panic::resume_unwind(err.into_panic()))
}

/// Accepts programs' connections, and has `carry` carry each, until that reports that no
/// connection can be carried any more.
pub(super) async fn accept_programs(
    listener: LocalListener,
    (forward, limit, links): (&str, &Limit, Links),
    carry: Carry,
) -> OpError {
    let mut tasks = Tasks::new();
    loop {
        let accepted = tokio::select! {
            accepted = links.unless_paused(listener.accept()) => accepted,
            Some(done) = tasks.join_next() => match checked(done) {
                Ok(()) => continue,
                Err(down) => return down,
            },
        };
        let (local, program) = match accepted {
            Ok(accepted) => accepted,
            Err(err) => {
                accept_failed(forward, &err).await;
                continue;
            }
        };
        if let Some(permit) = limit.take(forward, &program) {
            let (carried, links) = (carry(local, program, permit), links.clone());
            tasks.spawn(async move { links.unless_paused(carried).await });
        }
    }
}

async fn accept_failed(forward: &str, err: &io::Error) {
    tracing::warn!("{forward}: cannot accept: {err}");
    tokio::time::sleep(ACCEPT_AGAIN).await;
}
