//! The keeper: the one background task of a registry value.
//!
//! Owns when leases are renewed, and when abandoned names are freed. Never ends
//! by itself: the registry that started it ends it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use virtnet_core::Failure;

use crate::clock::Moment;
use crate::inner::Inner;

/// The pause before trying again what failed; it doubles from the first to the
/// longest. With the deadline of the try before, the longest bounds how long
/// the return of the server goes unnoticed.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Keeps names as long as they are ours, and frees those that were given up.
/// Neither waits for the other.
pub(crate) async fn keep(inner: Arc<Inner>) {
    tokio::join!(renew(&inner), free(&inner));
}

async fn renew(inner: &Inner) {
    let interval = inner.terms.renewal;
    let mut next = Instant::now() + interval;
    loop {
        tokio::select! {
            // What a stopped process finds out when it goes on: it looks into
            // its names at once, not when its timer says so.
            () = inner.names.overdue() => {}
            // It may be a server that was restarted empty, or another one after
            // a failover. Not at once, so that one that hangs up on each
            // connection is not asked without end.
            () = inner.link.shaken() => sleep(FIRST_PAUSE).await,
            () = sleep_until(next) => {}
        }
        next = Instant::now() + interval;
        let Err(failure) = inner.renew().await else {
            continue;
        };
        outage(inner, &failure).await;
        next = Instant::now() + interval;
    }
}

/// Goes on trying to renew until it succeeds. Tells what changes, once each: the
/// registry is down, the hosts stop accepting, all is well again.
async fn outage(inner: &Inner, failure: &Failure) {
    let network = inner.keys.network();
    let beneath = failure.source().map(|source| format!(": {source}"));
    let beneath = beneath.unwrap_or_default();
    tracing::warn!(network, "names can't be renewed: {failure}{beneath}");
    let begin = Instant::now();
    let (mut pause, mut overdue) = (FIRST_PAUSE, false);
    loop {
        if !overdue && inner.names.has_overdue(Moment::now()) {
            overdue = true;
            tracing::warn!(
                network,
                "hosts stop accepting until their names are renewed"
            );
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
        if inner.renew().await.is_ok() {
            let after = begin.elapsed();
            match overdue {
                false => tracing::info!(network, ?after, "the registry is back"),
                true => tracing::info!(network, ?after, "the registry is back: hosts accept again"),
            }
            return;
        }
    }
}

async fn free(inner: &Inner) {
    loop {
        inner.names.abandonment().await;
        let mut pause = FIRST_PAUSE;
        loop {
            let abandoned = inner.names.abandoned();
            if abandoned.is_empty() {
                break;
            }
            // What could not be freed is still on the list. Nobody is waiting
            // who could be told; closing tries again, and reports.
            if inner.free(inner.link.until(), &abandoned).await.is_err() {
                sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        }
    }
}
