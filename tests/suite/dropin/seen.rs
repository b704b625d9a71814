//! The observations of a caller, as values.
//!
//! Owns the list of observations, and how results become text. Never compares.

use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

/// Actions with their results.
#[derive(Default)]
pub(crate) struct Seen(pub(crate) Vec<(&'static str, String)>);

impl Seen {
    pub(crate) fn see(&mut self, action: &'static str, what: impl Outcome) {
        assert!(
            self.0.iter().all(|(seen, _)| *seen != action),
            "{action:?} twice"
        );
        self.0.push((action, what.say()));
    }
}

/// The result of an action.
pub(crate) trait Outcome {
    fn say(self) -> String;
}

impl Outcome for &str {
    fn say(self) -> String {
        self.to_owned()
    }
}

impl Outcome for bool {
    fn say(self) -> String {
        (if self { "yes" } else { "no" }).to_owned()
    }
}

/// Only the kind of an error: programs match on nothing else.
impl<T: Debug> Outcome for io::Result<T> {
    fn say(self) -> String {
        match self {
            Ok(value) => match &*format!("{value:?}") {
                "()" => "done".to_owned(),
                said => said.to_owned(),
            },
            Err(err) => format!("`{:?}`", err.kind()),
        }
    }
}

/// A value that is ready at once, if it is.
impl<T> Outcome for Option<T>
where
    T: Outcome,
{
    fn say(self) -> String {
        self.map_or_else(|| "waits".to_owned(), Outcome::say)
    }
}

/// Drops a value that differs on each run.
pub(crate) fn only_kind<T>(result: io::Result<T>) -> io::Result<Done> {
    result.map(|_| Done)
}

/// It worked.
pub(crate) struct Done;

impl Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("done")
    }
}

/// Polls once, and drops the future.
pub(crate) async fn glance<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
