//! Calls into the engine and the registry, so that closing can end them.
//!
//! Owns every such call while it runs. A call is polled by whoever asked for
//! it, but *dropped* by whoever comes first: the caller, or the close. So a
//! close never waits for a caller that has stopped polling, and the engine is
//! never closed under a running call. Never starts a task.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use crate::context::sync::lock;

type Call<T> = Mutex<Option<Pin<Box<dyn Future<Output = T> + Send>>>>;

/// The calls of one subnetwork that are running.
#[derive(Default)]
pub(crate) struct Calls(Mutex<CallTable>);

#[derive(Default)]
struct CallTable {
    closed: bool,
    next: u64,
    running: HashMap<u64, Arc<dyn Cancel>>,
}

trait Cancel: Send + Sync {
    /// Drops the call, or waits until whoever does so is done; waits at most
    /// for a poll that is under way.
    fn cancel(&self);
}

impl<T> Cancel for Call<T> {
    fn cancel(&self) {
        // Dropped under the lock, so that whoever comes second waits for it.
        *lock(self) = None;
    }
}

/// Drops the call when its caller is done with it, and only then takes it off
/// the list: what is not on the list is gone.
struct Running<'a> {
    ops: &'a Calls,
    id: u64,
    call: Arc<dyn Cancel>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.call.cancel();
        let listed = lock(&self.ops.0).running.remove(&self.id);
        drop(listed);
    }
}

impl Calls {
    /// Runs `call`, or ends with `None` when it was closed before or meanwhile.
    ///
    /// The caller has to watch for the close by itself: a call that the close
    /// dropped does not wake it.
    pub(crate) async fn run<T: 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let call: Arc<Call<T>> = Arc::new(Mutex::new(Some(Box::pin(call))));
        let _running = self.enter(Arc::clone(&call) as Arc<dyn Cancel>)?;
        poll_fn(|cx| {
            let mut slot = lock(&call);
            let Some(future) = slot.as_mut() else {
                return Poll::Ready(None);
            };
            let done = future.as_mut().poll(cx).map(Some);
            if done.is_ready() {
                *slot = None;
            }
            done
        })
        .await
    }

    fn enter(&self, call: Arc<dyn Cancel>) -> Option<Running<'_>> {
        let mut state = lock(&self.0);
        if state.closed {
            return None;
        }
        let id = state.next;
        state.next += 1;
        state.running.insert(id, Arc::clone(&call));
        Some(Running {
            ops: self,
            id,
            call,
        })
    }

    /// Drops every running call, and refuses all later ones.
    pub(crate) fn close(&self) {
        let running = {
            let mut state = lock(&self.0);
            state.closed = true;
            std::mem::take(&mut state.running)
        };
        for call in running.values() {
            call.cancel();
        }
    }
}
