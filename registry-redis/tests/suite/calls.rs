//! Helpers that the tests of this package share.
//!
//! Owns joining, waiting with a bound, and polling a call a limited number of times. Never
//! asserts what a single test is about.

use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use virtnet_registry_redis::{RedisOptions, RedisRegistry};

use virtnet_testkit::redis::RedisServer;

/// How long a wait may take before the test fails.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

pub(crate) async fn join(server: &RedisServer, network: &str) -> RedisRegistry {
    join_url(&server.url(), network).await
}

pub(crate) async fn join_url(url: &str, network: &str) -> RedisRegistry {
    join_with(url, network, RedisOptions::default()).await
}

pub(crate) fn deadline(millis: u64) -> RedisOptions {
    let mut options = RedisOptions::default();
    options.deadline = Duration::from_millis(millis);
    options
}

/// Options with this lease, renewal and deadline, in milliseconds.
pub(crate) fn timing(lease: u64, renewal: u64, deadline: u64) -> RedisOptions {
    let mut options = self::deadline(deadline);
    options.lease = Duration::from_millis(lease);
    options.renewal = Duration::from_millis(renewal);
    options
}

pub(crate) async fn join_with(url: &str, network: &str, options: RedisOptions) -> RedisRegistry {
    let joined = RedisRegistry::connect(url, network, options).await;
    joined.unwrap_or_else(|err| panic!("{}", chain(&err)))
}

/// Prints a measurement for a row of docs/failures.md.
pub(crate) fn figure(row: &str, what: &str) {
    println!("{row}: {what}");
}

/// Waits until a condition holds that other tasks or processes bring about.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + BOUND;
    while !is_so() {
        assert!(Instant::now() < until, "not within {BOUND:?}: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Polls a call each time it is woken, but at most `most` times.
pub(crate) async fn poll_at_most<F: Future + ?Sized>(
    most: usize,
    mut call: Pin<&mut F>,
) -> Option<F::Output> {
    let mut polls = 0;
    poll_fn(|cx| {
        if polls == most {
            return Poll::Ready(None);
        }
        polls += 1;
        match call.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polls == most => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// The tasks alive on this test's runtime.
pub(crate) fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// An error with its sources, except those that repeat it.
pub(crate) fn chain(err: &dyn Error) -> String {
    let mut text = err.to_string();
    let mut next = err.source();
    while let Some(source) = next {
        let said = source.to_string();
        if !text.contains(&said) {
            text += &format!(" <- {said}");
        }
        next = source.source();
    }
    text
}
