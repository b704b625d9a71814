//! The open connections of one forward.
//!
//! Owns that they are cut when the forward is dropped, before the drop returns: a close of the
//! subnetwork that follows would end them cleanly; and that nothing moves while the forward is paused.
//! Never moves bytes, and never decides which connections there are.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use virtnet_core::Conn;

use super::local::LocalStream;
use super::pump::{Ended, Pump};

/// One connection: none after the forward was dropped.
type Slot = Arc<Mutex<Option<State>>>;

enum State {
    /// The program is not connected yet.
    Half(CutOnDrop),
    Open(Box<Pump>),
}

/// A connection that dropping this cuts.
struct CutOnDrop(Option<Conn>);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            conn.abort();
        }
    }
}

/// All connections of a forward. Dropping the last clone does nothing: see [`CutAll`].
#[derive(Clone, Default)]
pub(super) struct Links {
    slots: Arc<Mutex<Slots>>,
    pause: Arc<Pause>,
}

/// Whether the forward is paused.
#[derive(Default)]
struct Pause {
    is_on: AtomicBool,
    /// Of those who wait for its end: each task is here as often as it was woken since, which what it
    /// waits for does once each.
    waiting: Mutex<Vec<Waker>>,
}

#[derive(Default)]
struct Slots {
    closed: bool,
    next: u64,
    open: HashMap<u64, Slot>,
}

/// Cuts all connections when it is dropped, and those that come later.
pub(super) struct CutAll(pub(super) Links);

/// The place of one connection; dropping it cuts the connection, unless it has ended.
pub(super) struct Link {
    links: Links,
    number: u64,
    slot: Slot,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole after a panic, too: values are only put in and taken.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Links {
    /// Nothing moves from now on: no poll of a connection is under way when it returns.
    pub(super) fn pause(&self) {
        self.pause.is_on.store(true, Ordering::SeqCst);
        let open: Vec<_> = lock(&self.slots).open.values().map(Arc::clone).collect();
        for slot in open {
            drop(lock(&slot));
        }
    }

    /// Everything goes on.
    pub(super) fn resume(&self) {
        self.pause.is_on.store(false, Ordering::SeqCst);
        let waiting = std::mem::take(&mut *lock(&self.pause.waiting));
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether the forward is paused; then the task is woken when it goes on.
    fn is_paused(&self, cx: &mut Context<'_>) -> bool {
        if !self.pause.is_on.load(Ordering::SeqCst) {
            return false;
        }
        lock(&self.pause.waiting).push(cx.waker().clone());
        // It may have gone on before that.
        self.pause.is_on.load(Ordering::SeqCst)
    }

    /// Polls the future only while the forward is not paused.
    pub(super) async fn unless_paused<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| match self.is_paused(cx) {
            true => Poll::Pending,
            false => future.as_mut().poll(cx),
        })
        .await
    }

    /// Takes a connection whose program is not connected yet.
    pub(super) fn add(&self, conn: Conn) -> Link {
        let state = State::Half(CutOnDrop(Some(conn)));
        let slot = Arc::new(Mutex::new(Some(state)));
        let mut slots = lock(&self.slots);
        let number = slots.next;
        slots.next += 1;
        match slots.closed {
            true => drop(lock(&slot).take()),
            false => drop(slots.open.insert(number, Arc::clone(&slot))),
        }
        Link {
            links: self.clone(),
            number,
            slot,
        }
    }
}

impl Link {
    /// Moves bytes between the connection and the program until it has ended; `None` if the
    /// forward was dropped. Dropping the future cuts the connection.
    ///
    /// `to_network` and `to_program` are sent first.
    pub(super) async fn pump(
        self,
        local: LocalStream,
        to_network: Vec<u8>,
        to_program: Vec<u8>,
    ) -> Option<Ended> {
        {
            let mut slot = lock(&self.slot);
            let Some(State::Half(CutOnDrop(conn))) = slot.as_mut() else {
                return None;
            };
            let conn = conn.take()?;
            let pump = Pump::new(conn, local, to_network, to_program);
            *slot = Some(State::Open(Box::new(pump)));
        }
        // The lock is only held for one poll, and only a drop or a pause of the forward contends for it.
        let ended = poll_fn(|cx| {
            let mut slot = lock(&self.slot);
            match slot.as_mut() {
                // Looked at under the lock: a pause waits for that.
                Some(State::Open(_)) if self.links.is_paused(cx) => Poll::Pending,
                Some(State::Open(pump)) => pump.poll(cx).map(Some),
                _ => Poll::Ready(None),
            }
        });
        let ended = ended.await;
        // Ends both sides before anybody is told.
        drop(self);
        ended
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        lock(&self.links.slots).open.remove(&self.number);
        let state = lock(&self.slot).take();
        drop(state);
    }
}

impl Drop for CutAll {
    fn drop(&mut self) {
        let open = {
            let mut slots = lock(&self.0.slots);
            slots.closed = true;
            std::mem::take(&mut slots.open)
        };
        for slot in open.into_values() {
            let state = lock(&slot).take();
            drop(state);
        }
    }
}
