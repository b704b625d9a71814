//! One direction of a connection, which can be taken away from under its user.
//!
//! Owns an engine's stream until then, and the waker of who waits for it. Never
//! knows why it was taken away: the connection does.

use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use crate::context::sync::lock;
use crate::subnet::directory::KeepOpen;

/// One direction. The lock lets the close take the stream from under a reader
/// or writer; it is held for one poll, and only a close contends for it. An
/// engine's stream wakes by scheduling, as tokio's do: a waker that closed this
/// very connection from within its poll would wait for itself.
pub(crate) struct Half<S: ?Sized>(Mutex<HalfState<S>>);

pub(crate) struct HalfState<S: ?Sized> {
    /// Who waits, to be woken when the stream is taken away.
    waiting: Option<Waker>,
    /// The peer will see, or has seen, the end of this direction.
    pub(crate) ended: bool,
    stream: Option<HeldStream<S>>,
}

/// A stream, and what keeps its engine from closing; dropped in this order.
struct HeldStream<S: ?Sized> {
    stream: Box<S>,
    _hold: KeepOpen,
}

impl<S: ?Sized> Half<S> {
    pub(crate) fn new(stream: Box<S>, hold: KeepOpen) -> Half<S> {
        Half(Mutex::new(HalfState {
            waiting: None,
            ended: false,
            stream: Some(HeldStream {
                stream,
                _hold: hold,
            }),
        }))
    }

    /// The state, for one poll.
    pub(crate) fn lock(&self) -> MutexGuard<'_, HalfState<S>> {
        lock(&self.0)
    }

    /// Takes the stream, to be dropped by the caller, outside of any lock.
    pub(crate) fn take_away(&self) -> TakenStream<S> {
        let mut half = lock(&self.0);
        TakenStream {
            stream: half.stream.take(),
            waiting: half.waiting.take(),
        }
    }
}

/// What was taken away. Dropping it drops the stream and then wakes who waits
/// for it. Both run foreign code; if that panics, other streams that were taken
/// along are dropped all the same.
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

    /// Whether the stream is like that; one that was taken away is like nothing.
    pub(crate) fn is(&self, like: impl FnOnce(&S) -> bool) -> bool {
        self.stream.as_ref().is_some_and(|held| like(&held.stream))
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
        match (&polled, &mut self.waiting) {
            // Nobody waits any more: who drops the connection is not to be woken
            // for it.
            (Poll::Ready(_), waiting) => *waiting = None,
            (Poll::Pending, Some(waiting)) => waiting.clone_from(cx.waker()),
            (Poll::Pending, waiting) => *waiting = Some(cx.waker().clone()),
        }
        polled.map(Some)
    }
}
