//! Connections to flush before they are closed, so that the peer gets the close.
//!
//! Owns the list of them. Never closes a connection.
//!
//! quinn up to 0.11.12 (its issue 2785) never sends the CONNECTION_CLOSE frame of a
//! connection that is closed while it has frames to send and the congestion window is
//! full. The peer then waits for its idle timeout. This happens when a stream was reset
//! while the window was full. The workaround: open an empty stream before closing, and
//! wait until it is acknowledged.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use quinn::Connection;
use tokio::task::JoinSet;

/// The connections of one endpoint on which a stream was reset.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unflushed(Arc<Mutex<HashMap<usize, Connection>>>);

impl Unflushed {
    /// Adds `conn`, on which a stream was reset.
    pub(crate) fn add(&self, conn: &Connection) {
        let mut conns = self.0.lock();
        if conn.close_reason().is_none() {
            conns
                .entry(conn.stable_id())
                .or_insert_with(|| conn.clone());
        }
    }

    /// Removes a connection that has ended from the list.
    pub(crate) fn remove(&self, conn: &Connection) {
        let removed = self.0.lock().remove(&conn.stable_id());
        drop(removed);
    }

    /// Waits until the peers have acknowledged what was sent on these connections.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops waiting, and the list stays empty.
    pub(crate) async fn flush(&self) {
        let conns = std::mem::take(&mut *self.0.lock());
        let mut flushing = JoinSet::new();
        for conn in conns.into_values() {
            flushing.spawn(async move {
                // An error says that the connection is lost already.
                if let Ok(mut empty) = conn.open_uni().await {
                    let _ = empty.finish();
                    let _ = empty.stopped().await;
                }
            });
        }
        while flushing.join_next().await.is_some() {}
    }
}
