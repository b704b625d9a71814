//! The open connections of one forward.
//!
//! Owns that they are cut when the forward is dropped, before the drop returns: a close of the
//! subnetwork that follows would end them cleanly. Never moves bytes, and never decides which
//! connections there are.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
        // The lock is only held for one poll, and only a drop of the forward contends for it.
        let ended = poll_fn(|cx| match lock(&self.slot).as_mut() {
            Some(State::Open(pump)) => pump.poll(cx).map(Some),
            _ => std::task::Poll::Ready(None),
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
