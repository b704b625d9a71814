//! Current: the connection in use, if there is one.
//!
//! Owns that the cache follows it: values that were read over a connection are
//! forgotten with it. Never connects.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::cache::Cache;
use crate::connection::url::Node;
use crate::schema::keys;

/// A connection and its number. By the number, a call that found it broken discards exactly
/// this one, not its successor.
#[derive(Clone)]
pub(crate) struct OpenConnection {
    pub(crate) number: u64,
    /// The server at its other end.
    pub(crate) node: Node,
    pub(crate) connection: MultiplexedConnection,
}

pub(crate) struct Current {
    pub(crate) push_listener: Arc<PushListener>,
    /// A plain lock: held to look at it or to change it, never to wait.
    state: Mutex<CurrentState>,
}

/// Receives pushes from the connection's task. It does not hold the connection, which would
/// then never end.
pub(crate) struct PushListener {
    pub(crate) cache: Cache,
    /// Notified when the server may have lost names of ours.
    possible_data_loss: Notify,
    /// Notified when a change number of documents may have changed.
    pub(crate) changes: watch::Sender<()>,
    /// Notified when the live trace may have changed.
    pub(crate) traces: watch::Sender<()>,
}

impl PushListener {
    /// Handles a push on the connection of this number.
    pub(crate) fn on_push(&self, number: u64, push: &PushInfo) {
        self.cache.on_push(number, push);
        let may_be_data_loss = match push.kind {
            PushKind::Disconnection => true,
            // Without keys, it means that all data was flushed.
            PushKind::Invalidate => !matches!(push.data[..], [Value::Array(_)]),
            _ => false,
        };
        if may_be_data_loss {
            self.possible_data_loss.notify_one();
        }
        if may_be_data_loss || is_about(push, keys::is_changes) {
            self.changes.send_replace(());
        }
        if may_be_data_loss || is_about(push, keys::is_trace) {
            self.traces.send_replace(());
        }
    }
}

/// Whether a push is about such a key.
fn is_about(push: &PushInfo, is_such: impl Fn(&[u8]) -> bool) -> bool {
    let keys = match &push.data[..] {
        [Value::Array(keys)] if push.kind == PushKind::Invalidate => keys,
        _ => return false,
    };
    let mut keys = keys.iter();
    keys.any(|key| matches!(key, Value::BulkString(key) if is_such(key)))
}

#[derive(Default)]
struct CurrentState {
    /// With the time at which it was last confirmed to lead to the right server.
    current: Option<(OpenConnection, Instant)>,
    /// Whether there was a connection before.
    had_one: bool,
    /// The number of the last connection.
    last: u64,
}

impl Current {
    pub(crate) fn new(cache: Cache) -> Current {
        Current {
            push_listener: Arc::new(PushListener {
                cache,
                possible_data_loss: Notify::new(),
                changes: watch::Sender::new(()),
                traces: watch::Sender::new(()),
            }),
            state: Mutex::default(),
        }
    }

    /// A number for one more connection.
    pub(crate) fn next_number(&self) -> u64 {
        let mut state = self.state();
        state.last += 1;
        state.last
    }

    pub(crate) fn get(&self) -> Option<OpenConnection> {
        let state = self.state();
        state.current.as_ref().map(|(current, _)| current.clone())
    }

    /// The connection, if it was confirmed less than `age` ago.
    pub(crate) fn confirmed_within(&self, age: Duration) -> Option<OpenConnection> {
        let state = self.state();
        let (current, confirmed) = state.current.as_ref()?;
        (confirmed.elapsed() < age).then(|| current.clone())
    }

    pub(crate) fn install(&self, current: OpenConnection) {
        // First, because the cache must know the connection before a call can use it.
        self.push_listener.cache.track(current.number);
        let mut state = self.state();
        tracing::debug!(number = current.number, "connected to Redis");
        state.current = Some((current, Instant::now()));
        if std::mem::replace(&mut state.had_one, true) {
            self.push_listener.possible_data_loss.notify_one();
        }
        drop(state);
        self.wake_readers();
    }

    /// Wakes all that wait for a push.
    fn wake_readers(&self) {
        self.push_listener.changes.send_replace(());
        self.push_listener.traces.send_replace(());
    }

    /// Waits until the connection was lost or replaced, or all data was flushed; or until that
    /// has happened since the last wait.
    pub(crate) async fn possible_data_loss(&self) {
        self.push_listener.possible_data_loss.notified().await;
    }

    /// The connection of this number led to the right server at that time.
    pub(crate) fn confirm(&self, number: u64, at: Instant) {
        if let Some((current, confirmed)) = &mut self.state().current
            && current.number == number
        {
            *confirmed = at;
        }
    }

    pub(crate) fn discard(&self, number: u64) {
        self.push_listener.cache.connection_lost(number);
        let mut state = self.state();
        state
            .current
            .take_if(|(current, _)| current.number == number);
        drop(state);
        // Who waits for a change reads over a new connection.
        self.wake_readers();
    }

    fn state(&self) -> MutexGuard<'_, CurrentState> {
        self.state.lock()
    }
}
