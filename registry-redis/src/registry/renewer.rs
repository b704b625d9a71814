//! Renewer: the one background task of a registry value.
//!
//! Owns when leases are renewed, and when abandoned names are freed. Never ends
//! by itself: the registry that started it stops it.

use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep, sleep_until};
use virtnet_core::Failure;

use crate::lease::clock::Moment;
use crate::registry::inner::RegistryInner;

/// The pause before a retry; it doubles from the first to the longest. The longest, plus the
/// deadline of the attempt before, bounds how long the server's return goes unnoticed.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The running task. It can be stopped from outside its runtime, which may be shutting down
/// and polls nothing any more.
pub(crate) struct Renewer {
    work: Arc<Work>,
    task: JoinHandle<()>,
    /// Asks for changed hostdata. A task of its own, as it runs a user's code, whose pauses and
    /// panics must not keep names from being renewed.
    watch: AbortHandle,
}

/// Locked while it is polled; `None` once it was stopped.
type Work = Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>;

impl Renewer {
    /// Starts it on the current runtime.
    pub(crate) fn start(inner: Arc<RegistryInner>) -> Renewer {
        let watched = Arc::clone(&inner);
        let watch = async move {
            let (network, interval) = (watched.keys.network(), watched.timing.renewal);
            watched.hostdata.watch(network, interval).await;
        };
        Renewer::run(keep(inner), watch)
    }

    fn run(
        work: impl Future<Output = ()> + Send + 'static,
        watch: impl Future<Output = ()> + Send + 'static,
    ) -> Renewer {
        let work: Arc<Work> = Arc::new(Mutex::new(Some(Box::pin(work))));
        let polled = Arc::clone(&work);
        let task = tokio::spawn(poll_fn(move |cx| match &mut *polled.lock() {
            Some(work) => work.as_mut().poll(cx),
            None => Poll::Ready(()),
        }));
        let watch = tokio::spawn(watch).abort_handle();
        Renewer { work, task, watch }
    }

    /// Stops it at once: what it had not sent yet is never sent. Its task ends when it is
    /// next run.
    pub(crate) fn stop(self) -> JoinHandle<()> {
        let work = self.work.lock().take();
        drop(work);
        self.watch.abort();
        self.task.abort();
        self.task
    }
}

/// Renews the names that are ours and frees those that were given up. Neither waits for the
/// other.
async fn keep(inner: Arc<RegistryInner>) {
    tokio::join!(renew(&inner), free(&inner));
}

async fn renew(inner: &RegistryInner) {
    let interval = inner.timing.renewal;
    let mut next = Instant::now() + interval;
    loop {
        tokio::select! {
            // A process that was stopped and continues renews at once, not when its
            // timer fires.
            () = inner.leases.overdue() => {}
            // The server may have been restarted empty or replaced by a failover. Not at
            // once, so that a server that closes each connection is not flooded.
            () = inner.connection.possible_data_loss() => sleep(FIRST_PAUSE).await,
            () = inner.hostdata.changed() => {}
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

/// Tries to renew until it succeeds. Logs each change once: names cannot be renewed, hosts stop
/// accepting, the registry is back.
async fn outage(inner: &RegistryInner, failure: &Failure) {
    let network = inner.keys.network();
    let beneath = failure.source().map(|source| format!(": {source}"));
    let beneath = beneath.unwrap_or_default();
    tracing::warn!(network, "names can't be renewed: {failure}{beneath}");
    let begin = Instant::now();
    let (mut pause, mut overdue) = (FIRST_PAUSE, false);
    loop {
        if !overdue && inner.leases.has_overdue(Moment::now()) {
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

async fn free(inner: &RegistryInner) {
    loop {
        inner.leases.abandonment().await;
        let mut pause = FIRST_PAUSE;
        loop {
            let abandoned = inner.leases.abandoned();
            if abandoned.is_empty() {
                break;
            }
            // Names that could not be freed are still on the list. No caller waits for a
            // report; closing tries again, and reports.
            if inner
                .free(inner.connection.until(), &abandoned)
                .await
                .is_err()
            {
                sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client library does not write a command whose future was dropped before. So names
    /// that are freed after a stop stay free.
    #[tokio::test]
    async fn an_end_drops_what_is_under_way_whether_or_not_its_runtime_runs() {
        let under_way = Arc::new(());
        let held = Arc::clone(&under_way);
        let work = async move {
            std::future::pending::<()>().await;
            drop(held);
        };
        let renewer = Renewer::run(work, std::future::pending());
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&under_way), 2);
        let task = renewer.stop();
        assert_eq!(Arc::strong_count(&under_way), 1);
        assert!(task.await.is_err_and(|err| err.is_cancelled()));
    }
}
