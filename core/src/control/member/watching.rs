//! The waits of a member's task: for a change of the plan, and for a time.
//!
//! Owns what is read with a change. Never acts on it.

use std::future::{Future, pending};
use std::pin::Pin;

use tokio::time::{Instant, sleep_until};

use crate::RegistryError;
use crate::control::board::{ASK, PLAN};

/// The documents that are read with each change of the plan's topic.
pub(super) const WATCHED: &[&str] = &[PLAN, ASK];

/// The change number of the plan's topic, and the documents with the keys [`WATCHED`].
pub(super) type Change = Result<(u64, Vec<Option<String>>), RegistryError>;

/// The wait for a change of the plan, if there is one.
pub(super) type Watch<'a> = Option<Pin<Box<dyn Future<Output = Change> + Send + 'a>>>;

pub(super) async fn changed(watch: &mut Watch<'_>) -> Change {
    match watch {
        Some(watch) => watch.await,
        None => pending().await,
    }
}

/// Waits until then, or without end.
pub(super) async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}
