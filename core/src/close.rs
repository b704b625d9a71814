//! The closing of a subnetwork's engine and registry.
//!
//! Owns the one task that does it, so that a close runs to its end whoever
//! asked for it and whoever still waits. Never marks anything down: it starts
//! once that is done.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use crate::ops::Ops;
use crate::{Engine, Failure, Registry};

/// What every close of one subnetwork reports.
pub(crate) type Closed = Result<(), Failure>;

/// Waits until all of the subnetwork is down, ends its running calls, then
/// closes engine and registry, one after the other.
///
/// `start` carries what took it down, if it was not a close.
pub(crate) async fn close(
    start: oneshot::Receiver<Option<Failure>>,
    ops: Arc<Ops>,
    engine: Arc<dyn Engine>,
    registry: Arc<dyn Registry>,
    done: watch::Sender<Option<Closed>>,
) {
    // An error is a subnetwork that was dropped: as good as closed.
    let reason = start.await.ok().flatten();
    ops.close();
    let engine = engine.close().await.err();
    let registry = registry.close().await.err().map(Failure::from);
    let failures = [reason, engine, registry].into_iter().flatten().collect();
    done.send_replace(Some(add_up(failures)));
}

fn add_up(mut failures: Vec<Failure>) -> Closed {
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0)),
        _ => Err(Failure::wrap(failures[0].cause(), Several(failures))),
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
