//! Streams that were dropped, until what was written to them is delivered.
//!
//! Owns them meanwhile. A task for each would be woken for each, in the midst of
//! dials; so while the host is open they are looked at now and then, and only a
//! close, which waits for them, gives each a task. Never reads.

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
use crate::endpoint::stream::{Fate, StreamGuard};
use crate::endpoint::tasks::Tasks;

/// How often all of them are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How many of the oldest are looked at when one more comes: so there are never
/// many more than are under way.
const AT_ONCE: usize = 2;

/// How many are looked at before others may go on: each look takes its connection's
/// lock.
const BATCH: usize = 32;

/// The dropped streams of one host.
pub(crate) struct Lingerers {
    tasks: Tasks,
    clogged: Unflushed,
    /// In the order in which they are looked at. `None` once the host closes.
    streams: Mutex<Option<VecDeque<Lingerer>>>,
    /// There is one again.
    some: Notify,
}

/// A stream whose writer was dropped.
pub(crate) struct Lingerer {
    pub(crate) send: SendStream,
    pub(crate) held: Arc<StreamGuard>,
    /// There was something to deliver.
    pub(crate) wrote: bool,
    /// The loss of the peer would be news.
    pub(crate) owed: bool,
    /// It may be aborted, before or while it is delivered.
    pub(crate) fate: Arc<Fate>,
}

impl Lingerers {
    pub(crate) fn new(tasks: Tasks, clogged: Unflushed) -> Arc<Lingerers> {
        Arc::new(Lingerers {
            tasks,
            clogged,
            streams: Mutex::new(Some(VecDeque::new())),
            some: Notify::new(),
        })
    }

    /// Ends the stream, and has what was written delivered.
    ///
    /// The delivery ends by itself: with the last acknowledgement, when the peer
    /// stops reading, or when the peer is silent for so long that QUIC gives it up.
    /// What was aborted is cut instead.
    pub(crate) fn add(self: &Arc<Lingerers>, mut leaver: Lingerer) {
        if !leaver.fate.is_aborted() {
            let _ = leaver.send.finish();
        }
        if self.is_gone(&mut leaver) {
            return;
        }
        if let Some(leaver) = self.keep_open(leaver) {
            self.watch(leaver);
        }
    }

    /// Cuts the stream of that fate, which is aborted, if it is here.
    pub(crate) fn abort(&self, fate: &Fate) {
        let mut streams = self.streams.lock();
        let Some(streams) = &mut *streams else {
            return;
        };
        let is_it = |leaver: &Lingerer| std::ptr::eq(&*leaver.fate, fate);
        let found = streams.iter().position(is_it);
        if let Some(mut leaver) = found.and_then(|at| streams.remove(at)) {
            self.is_gone(&mut leaver);
        }
    }

    /// Puts it among the others; gives it back once the host closes.
    fn keep_open(&self, mut leaver: Lingerer) -> Option<Lingerer> {
        let mut streams = self.streams.lock();
        let Some(streams) = &mut *streams else {
            return Some(leaver);
        };
        // An abort looks for it under this lock.
        if leaver.fate.is_aborted() && self.is_gone(&mut leaver) {
            return None;
        }
        let first = streams.is_empty();
        self.look(streams, AT_ONCE);
        streams.push_back(leaver);
        if first {
            self.some.notify_one();
        }
        None
    }

    /// Looks at them as long as the host is open.
    pub(crate) async fn keep(self: Arc<Lingerers>) {
        let looking = self.look_for_ever();
        looking.with_cancellation_token(self.tasks.closing()).await;
    }

    async fn look_for_ever(&self) {
        loop {
            self.some.notified().await;
            let mut left: usize = 1;
            while left > 0 {
                sleep(LOOK).await;
                for _ in 0..left.div_ceil(BATCH) {
                    left = self.look_at_some();
                    yield_now().await;
                }
            }
        }
    }

    /// Returns how many are left.
    fn look_at_some(&self) -> usize {
        let mut streams = self.streams.lock();
        let Some(streams) = &mut *streams else {
            return 0;
        };
        self.look(streams, BATCH);
        if streams.is_empty() {
            // A burst's memory goes with it.
            *streams = VecDeque::new();
        }
        streams.len()
    }

    /// From here on each has a task, which the close waits for or cuts short.
    pub(crate) fn close(self: &Arc<Lingerers>) {
        let streams = self.streams.lock().take();
        for mut leaver in streams.into_iter().flatten() {
            if !self.is_gone(&mut leaver) {
                self.watch(leaver);
            }
        }
    }

    /// Lets go of those among the next `count` that are gone. Under the lock, so that a
    /// close misses none.
    fn look(&self, streams: &mut VecDeque<Lingerer>, count: usize) {
        for _ in 0..count.min(streams.len()) {
            if let Some(mut leaver) = streams.pop_front()
                && !self.is_gone(&mut leaver)
            {
                streams.push_back(leaver);
            }
        }
    }

    /// Whether there is nothing left to do for it.
    fn is_gone(&self, leaver: &mut Lingerer) -> bool {
        if leaver.fate.is_aborted() {
            self.give_up(&mut leaver.send, StreamCode::Aborted.into(), &leaver.held);
            return true;
        }
        let mut cx = Context::from_waker(Waker::noop());
        match pin!(leaver.send.stopped()).poll(&mut cx) {
            Poll::Ready(stopped) => self.settle(leaver, stopped),
            Poll::Pending => return false,
        }
        true
    }

    /// Gives it a task.
    fn watch(self: &Arc<Lingerers>, mut leaver: Lingerer) {
        let (leaving, cut) = (Arc::clone(self), self.tasks.cut().clone());
        self.tasks.deliver(leaver.wrote, async move {
            let stopped = tokio::select! {
                biased;
                stopped = leaver.send.stopped() => stopped,
                () = cut.cancelled() => Ok(Some(StreamCode::Undelivered.into())),
            };
            leaving.settle(&mut leaver, stopped);
        });
    }

    fn settle(&self, leaver: &mut Lingerer, stopped: Result<Option<VarInt>, StoppedError>) {
        match stopped {
            Ok(None) => {}
            Ok(Some(code)) => self.give_up(&mut leaver.send, code, &leaver.held),
            Err(err) if leaver.owed && is_loss(&err) => self.tasks.count_lost(),
            Err(_) => {}
        }
    }

    /// Resets a stream whose data nobody wants any more.
    pub(crate) fn give_up(&self, send: &mut SendStream, code: VarInt, held: &StreamGuard) {
        // An error only says that the direction has ended already.
        let _ = send.reset(code);
        if let Some(conn) = held.conn() {
            self.clogged.note(conn);
        }
    }
}

/// Whether the peer was lost, and not closed by either side.
fn is_loss(err: &StoppedError) -> bool {
    use ConnectionError::{ApplicationClosed, LocallyClosed};
    match err {
        StoppedError::ConnectionLost(ApplicationClosed(_) | LocallyClosed) => false,
        StoppedError::ConnectionLost(_) => true,
        StoppedError::ZeroRttRejected => false,
    }
}
