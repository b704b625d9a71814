//! What a subnetwork's one task does: it watches the names, then closes.
//!
//! Owns the waiting for lost names, and the closing of engine and registry, so
//! that a close runs to its end whoever asked for it and whoever still waits.
//! Never marks anything down: closing starts once that is done.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Weak;

use tokio::sync::oneshot;

use crate::hosts::Shared;
use crate::ops::Ops;
use crate::{Engine, Failure, Registry};

/// What every close of one subnetwork reports.
pub(crate) type Closed = Result<(), Failure>;

/// Takes hosts down that lost their names, until all of `subnet` is down;
/// returns what took it down, if it was not a close.
pub(crate) async fn watch_names(
    registry: &dyn Registry,
    subnet: Weak<Shared>,
    mut all_down: oneshot::Receiver<Option<Failure>>,
) -> Option<Failure> {
    loop {
        tokio::select! {
            biased;
            // An error is a subnetwork that was dropped: as good as closed.
            reason = &mut all_down => return reason.ok().flatten(),
            lost = registry.lost() => {
                if let Some(subnet) = subnet.upgrade() {
                    subnet.lose(lost);
                }
            }
        }
    }
}

/// Ends the running calls, then closes engine and registry, one after the
/// other; `reason` is reported first.
pub(crate) async fn close(
    reason: Option<Failure>,
    ops: &Ops,
    engine: &dyn Engine,
    registry: &dyn Registry,
) -> Closed {
    ops.close();
    let engine = engine.close().await.err();
    let registry = registry.close().await.err().map(Failure::from);
    let failures = [reason, engine, registry].into_iter().flatten().collect();
    add_up(failures)
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
