//! One direction of a connection, which a close can take away while a task reads or writes.
//!
//! Owns an engine's stream until then, and the waker of the task that waits for it. Never
//! knows why it was taken away: the connection does.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::context::KeepOpen;

/// One direction. The lock lets a close take the stream away while a task reads or writes.
/// It is held for one poll, and only a close contends for it. An engine's stream wakes by
/// scheduling a task, as tokio's streams do: a waker that closed this connection while it
/// is polled would wait for itself.
pub(crate) struct Half<S: ?Sized>(Mutex<HalfState<S>>);

pub(crate) struct HalfState<S: ?Sized> {
    /// Woken when the stream is taken away, and when fault rules change.
    waiting: Option<Waker>,
    /// Only while a fault rule needs it.
    timer: Option<Pin<Box<Sleep>>>,
    stream: Option<HeldStream<S>>,
}

/// A stream, and what keeps its engine from closing; dropped in this order.
struct HeldStream<S: ?Sized> {
    stream: Box<S>,
    _keep_open: KeepOpen,
}

impl<S: ?Sized> Half<S> {
    pub(crate) fn new(stream: Box<S>, keep_open: KeepOpen) -> Half<S> {
        Half(Mutex::new(HalfState {
            waiting: None,
            timer: None,
            stream: Some(HeldStream {
                stream,
                _keep_open: keep_open,
            }),
        }))
    }

    /// The state, for one poll.
    pub(crate) fn lock(&self) -> MutexGuard<'_, HalfState<S>> {
        self.0.lock()
    }

    /// Has the task that waits look again.
    pub(crate) fn wake(&self) {
        let waiting = self.0.lock().waiting.take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Takes the stream, to be dropped by the caller, outside of any lock.
    pub(crate) fn take_away(&self) -> TakenStream<S> {
        let mut half = self.0.lock();
        TakenStream {
            stream: half.stream.take(),
            waiting: half.waiting.take(),
        }
    }
}

/// A stream that was taken away. Dropping this drops the stream, and then wakes the task
/// that waits for it. Both run foreign code; if that panics, other streams that were taken
/// with it are still dropped.
#[must_use]
pub(crate) struct TakenStream<S: ?Sized> {
    stream: Option<HeldStream<S>>,
    waiting: Option<Waker>,
}

impl<S: ?Sized> Drop for TakenStream<S> {
    fn drop(&mut self) {
        drop(self.stream.take());
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

impl<S: ?Sized> HalfState<S> {
    /// It has not been taken away.
    pub(crate) fn is_there(&self) -> bool {
        self.stream.is_some()
    }

    /// Whether `test` holds for the stream; `false` if it was taken away.
    pub(crate) fn is(&self, test: impl FnOnce(&S) -> bool) -> bool {
        self.stream.as_ref().is_some_and(|held| test(&held.stream))
    }

    /// Polls the stream; `None` when it was taken away.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut S, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<Option<T>> {
        let Some(stream) = self.stream.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = poll(&mut stream.stream, cx);
        match &polled {
            // No task waits any more: dropping the connection must wake none.
            Poll::Ready(_) => self.waiting = None,
            Poll::Pending => self.wait(cx),
        }
        polled.map(Some)
    }

    /// The task of `cx` waits for this direction.
    fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waiting {
            Some(waiting) => waiting.clone_from(cx.waker()),
            waiting => *waiting = Some(cx.waker().clone()),
        }
    }

    /// The task of `cx` waits until it is woken, or until `at`: then ready.
    pub(crate) fn wait_until(&mut self, at: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        self.wait(cx);
        let Some(at) = at else {
            self.timer = None;
            return Poll::Pending;
        };
        let timer = match &mut self.timer {
            Some(timer) => {
                if timer.deadline() != at {
                    timer.as_mut().reset(at);
                }
                timer
            }
            timer => timer.insert(Box::pin(sleep_until(at))),
        };
        ready!(timer.as_mut().poll(cx));
        self.timer = None;
        Poll::Ready(())
    }
}
