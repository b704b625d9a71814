//! The attempt to connect: one at a time, for all calls that wait for it.
//!
//! Owns who polls it. Never connects by itself.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use virtnet_core::Failure;

use crate::connection::current::OpenConnection;

type Connected = Result<OpenConnection, Failure>;

/// An attempt to connect, with its own deadline, whichever call polls it.
pub(super) struct Attempt {
    pub(super) until: Instant,
    pub(super) connecting: Pin<Box<dyn Future<Output = Connected> + Send>>,
}

/// The attempt that is under way: one at a time, so that a returning server does not get as many
/// connections as there are calls.
///
/// All calls that wait for it poll it, so that it goes on if one of them ends, or is not polled
/// for a while.
#[derive(Default)]
pub(super) struct Attempts {
    /// Locked while it is polled.
    under_way: Mutex<Option<Attempt>>,
    waiting: Arc<Waiting>,
}

/// The calls that wait. The attempt wakes all of them, as any may be one that nobody polls.
#[derive(Default)]
struct Waiting(Notify);

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.0.notify_waiters();
    }
}

impl Attempts {
    /// Waits for the attempt under way, or for the one that this begins, unless there is a connection by then.
    pub(super) async fn connected(
        &self,
        there: impl Fn() -> Option<OpenConnection>,
        begin: impl Fn() -> Attempt,
    ) -> Connected {
        loop {
            let mut woken = pin!(self.waiting.0.notified());
            woken.as_mut().enable();
            if let Some(open) = there() {
                return Ok(open);
            }
            if let Poll::Ready(connected) = self.poll(&begin) {
                return connected;
            }
            woken.await;
        }
    }

    /// Drops the attempt under way.
    pub(super) fn cancel(&self) {
        *self.under_way.lock() = None;
        self.waiting.0.notify_waiters();
    }

    /// Polls the attempt on behalf of all that wait.
    fn poll(&self, begin: impl Fn() -> Attempt) -> Poll<Connected> {
        let mut under_way = self.under_way.lock();
        // One that no call continued in time may be out of date.
        under_way.take_if(|attempt| attempt.until <= Instant::now());
        let attempt = under_way.get_or_insert_with(begin);
        let waker = Waker::from(Arc::clone(&self.waiting));
        let connecting = attempt.connecting.as_mut();
        let connected = ready!(connecting.poll(&mut Context::from_waker(&waker)));
        *under_way = None;
        drop(under_way);
        self.waiting.0.notify_waiters();
        Poll::Ready(connected)
    }
}
