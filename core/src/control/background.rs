//! Futures that one task runs beside its other work.
//!
//! Owns [`Background`]. Never starts a task: dropping it drops the futures.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A set of futures, all of which are polled when one is awake: for few, short ones.
pub(crate) struct Background<T>(Vec<BoxFuture<T>>);

impl<T> Background<T> {
    pub(crate) fn new() -> Background<T> {
        Background(Vec::new())
    }

    pub(crate) fn push(&mut self, future: impl Future<Output = T> + Send + 'static) {
        self.0.push(Box::pin(future));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The result of the next that is done. Waits without end if there is none.
    ///
    /// Dropping the returned future loses nothing.
    pub(crate) async fn next(&mut self) -> T {
        poll_fn(|cx| {
            for at in 0..self.0.len() {
                if let Poll::Ready(done) = self.0[at].as_mut().poll(cx) {
                    drop(self.0.swap_remove(at));
                    return Poll::Ready(done);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// The results of all futures, which run at the same time, in their order.
pub(crate) async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut results: Vec<_> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut pending = false;
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(done) => *result = Some(done),
                    Poll::Pending => pending = true,
                }
            }
        }
        match pending {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    })
    .await;
    results.into_iter().flatten().collect()
}
