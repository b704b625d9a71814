//! Calls to the engine and the registry, which closing can end.
//!
//! Owns every such call while it runs. The caller polls a call, but the caller or the close
//! *drops* it, the first of them. So a close never waits for a caller that has stopped
//! polling, and the engine is never closed while a call runs. Never starts a task.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use parking_lot::Mutex;

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
    /// Drops the call. Waits for a poll or another drop of it that is under way, and for
    /// nothing else.
    fn cancel(&self);
}

impl<T> Cancel for Call<T> {
    fn cancel(&self) {
        // Dropped under the lock, so that a second `cancel` waits for it.
        *self.lock() = None;
    }
}

/// Drops the call when its caller is done with it, and only then takes it off the list: a
/// call that is not on the list has been dropped.
struct Running<'a> {
    calls: &'a Calls,
    id: u64,
    call: Arc<dyn Cancel>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.call.cancel();
        let listed = self.calls.0.lock().running.remove(&self.id);
        drop(listed);
    }
}

impl Calls {
    /// Runs `call`, or ends with `None` if it was closed before or meanwhile.
    ///
    /// The caller has to watch for the close itself: it is not woken when the close drops
    /// the call.
    pub(crate) async fn run<T: 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let call: Arc<Call<T>> = Arc::new(Mutex::new(Some(Box::pin(call))));
        let _running = self.enter(Arc::clone(&call) as Arc<dyn Cancel>)?;
        poll_fn(|cx| {
            let mut slot = call.lock();
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
        let mut state = self.0.lock();
        if state.closed {
            return None;
        }
        let id = state.next;
        state.next += 1;
        state.running.insert(id, Arc::clone(&call));
        Some(Running {
            calls: self,
            id,
            call,
        })
    }

    /// Drops every running call, and refuses later ones.
    pub(crate) fn close(&self) {
        let running = {
            let mut state = self.0.lock();
            state.closed = true;
            std::mem::take(&mut state.running)
        };
        for call in running.values() {
            call.cancel();
        }
    }
}
