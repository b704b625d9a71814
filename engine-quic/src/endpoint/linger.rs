//! Lingering streams: dropped by the user, and not yet delivered to the peer.
//!
//! Owns them until then. While the host is open, one task polls them at intervals: one
//! task for each stream would cost a wake-up for each, which slows down dials. A close
//! waits for them, and gives each a task. Never reads from a stream.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use quinn::{ConnectionError, SendStream, StoppedError, VarInt};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::sleep;
use tokio_util::future::FutureExt;

use crate::config::transport::StreamCode;
use crate::endpoint::flush::Unflushed;
use crate::endpoint::stream::{AbortHandle, StreamGuard};
use crate::endpoint::tasks::Tasks;

/// How often all streams are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How many of the oldest streams are polled when one is added, so that delivered streams
/// do not pile up.
const POLLED_PER_ADD: usize = 2;

/// How many streams are polled before the task yields: each poll takes the connection's
/// lock.
const POLLED_PER_YIELD: usize = 32;

/// The lingering streams of one host.
pub(crate) struct Lingerers {
    tasks: Tasks,
    unflushed: Unflushed,
    /// In the order in which they are polled. `None` once the host closes.
    streams: Mutex<Option<VecDeque<Lingerer>>>,
    /// Notified when the first stream is added.
    not_empty: Notify,
}

/// A stream whose writer was dropped.
pub(crate) struct Lingerer {
    pub(crate) send: SendStream,
    pub(crate) guard: Arc<StreamGuard>,
    /// Data was written.
    pub(crate) wrote: bool,
    /// If the peer is lost, the close must report it: the user has seen no error yet.
    pub(crate) report_loss: bool,
    /// Aborts it, before or during delivery.
    pub(crate) abort_handle: Arc<AbortHandle>,
}

impl Lingerers {
    pub(crate) fn new(tasks: Tasks, unflushed: Unflushed) -> Arc<Lingerers> {
        Arc::new(Lingerers {
            tasks,
            unflushed,
            streams: Mutex::new(Some(VecDeque::new())),
            not_empty: Notify::new(),
        })
    }

    /// Finishes the stream, and delivers written data.
    ///
    /// The delivery ends with the last acknowledgement, when the peer stops reading, or at
    /// QUIC's idle timeout. An aborted stream is reset instead.
    pub(crate) fn add(self: &Arc<Lingerers>, mut lingerer: Lingerer) {
        if !lingerer.abort_handle.is_aborted() {
            let _ = lingerer.send.finish();
        }
        if self.poll_done(&mut lingerer) {
            return;
        }
        if let Some(lingerer) = self.enqueue(lingerer) {
            self.spawn_delivery(lingerer);
        }
    }

    /// Resets the stream that has this handle, if it lingers here.
    pub(crate) fn abort(&self, abort_handle: &AbortHandle) {
        let mut streams = self.streams.lock();
        let Some(streams) = &mut *streams else {
            return;
        };
        let is_it = |lingerer: &Lingerer| std::ptr::eq(&*lingerer.abort_handle, abort_handle);
        let found = streams.iter().position(is_it);
        if let Some(mut lingerer) = found.and_then(|at| streams.remove(at)) {
            self.poll_done(&mut lingerer);
        }
    }

    /// Adds a stream to the queue; gives it back once the host closes.
    fn enqueue(&self, mut lingerer: Lingerer) -> Option<Lingerer> {
        let mut streams = self.streams.lock();
        let Some(streams) = &mut *streams else {
            return Some(lingerer);
        };
        // Checked under the lock: a later abort finds the stream in the queue.
        if lingerer.abort_handle.is_aborted() && self.poll_done(&mut lingerer) {
            return None;
        }
        let first = streams.is_empty();
        self.poll_next(streams, POLLED_PER_ADD);
        streams.push_back(lingerer);
        if first {
            self.not_empty.notify_one();
        }
        None
    }

    /// Polls the streams as long as the host is open.
    pub(crate) async fn run(self: Arc<Lingerers>) {
        let polling = self.poll_loop();
        polling.with_cancellation_token(self.tasks.closing()).await;
    }

    async fn poll_loop(&self) {
        loop {
            self.not_empty.notified().await;
            let mut left: usize = 1;
            while left > 0 {
                sleep(POLL_INTERVAL).await;
                for _ in 0..left.div_ceil(POLLED_PER_YIELD) {
                    left = self.poll_some();
                    yield_now().await;
                }
            }
        }
    }

    /// Polls a number of streams; returns how many are left in the queue.
    fn poll_some(&self) -> usize {
        let mut streams = self.streams.lock();
        let Some(streams) = &mut *streams else {
            return 0;
        };
        self.poll_next(streams, POLLED_PER_YIELD);
        if streams.is_empty() {
            // Frees the memory after a burst.
            *streams = VecDeque::new();
        }
        streams.len()
    }

    /// Gives each stream a task, which the close waits for or cancels.
    pub(crate) fn close(self: &Arc<Lingerers>) {
        let streams = self.streams.lock().take();
        for mut lingerer in streams.into_iter().flatten() {
            if !self.poll_done(&mut lingerer) {
                self.spawn_delivery(lingerer);
            }
        }
    }

    /// Polls the next `count` streams, and removes those that are done. The caller holds
    /// the lock, so that a close misses none.
    fn poll_next(&self, streams: &mut VecDeque<Lingerer>, count: usize) {
        for _ in 0..count.min(streams.len()) {
            if let Some(mut lingerer) = streams.pop_front()
                && !self.poll_done(&mut lingerer)
            {
                streams.push_back(lingerer);
            }
        }
    }

    /// Whether nothing is left to deliver.
    fn poll_done(&self, lingerer: &mut Lingerer) -> bool {
        if lingerer.abort_handle.is_aborted() {
            self.give_up(
                &mut lingerer.send,
                StreamCode::Aborted.into(),
                &lingerer.guard,
            );
            return true;
        }
        let mut cx = Context::from_waker(Waker::noop());
        match pin!(lingerer.send.stopped()).poll(&mut cx) {
            Poll::Ready(stopped) => self.done(lingerer, stopped),
            Poll::Pending => return false,
        }
        true
    }

    /// Delivers the stream in its own task.
    fn spawn_delivery(self: &Arc<Lingerers>, mut lingerer: Lingerer) {
        let (lingerers, cut) = (Arc::clone(self), self.tasks.cut().clone());
        self.tasks.spawn_delivery(lingerer.wrote, async move {
            let stopped = tokio::select! {
                biased;
                stopped = lingerer.send.stopped() => stopped,
                () = cut.cancelled() => Ok(Some(StreamCode::Undelivered.into())),
            };
            lingerers.done(&mut lingerer, stopped);
        });
    }

    fn done(&self, lingerer: &mut Lingerer, stopped: Result<Option<VarInt>, StoppedError>) {
        match stopped {
            Ok(None) => {}
            Ok(Some(code)) => self.give_up(&mut lingerer.send, code, &lingerer.guard),
            Err(err) if lingerer.report_loss && is_loss(&err) => self.tasks.count_lost(),
            Err(_) => {}
        }
    }

    /// Resets a stream whose data is not needed any more.
    pub(crate) fn give_up(&self, send: &mut SendStream, code: VarInt, guard: &StreamGuard) {
        // An error only says that this direction has ended already.
        let _ = send.reset(code);
        if let Some(conn) = guard.conn() {
            self.unflushed.add(conn);
        }
    }
}

/// Whether the connection was lost, not closed by either side.
fn is_loss(err: &StoppedError) -> bool {
    use ConnectionError::{ApplicationClosed, LocallyClosed};
    match err {
        StoppedError::ConnectionLost(ApplicationClosed(_) | LocallyClosed) => false,
        StoppedError::ConnectionLost(_) => true,
        StoppedError::ZeroRttRejected => false,
    }
}
