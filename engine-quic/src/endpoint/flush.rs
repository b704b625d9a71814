//! Connections that may not be able to say goodbye, and the remedy.
//!
//! Owns the list of them. Never closes a connection.
//!
//! QUIC's closing message is held back while there are frames to send and
//! congestion control does not let them go, and once closed nothing that comes
//! in changes that: quinn up to 0.11.12 (its issue 2785) then never says goodbye,
//! and the peer waits for its idle timeout. So it is where a stream was reset
//! while as much was in flight as may be. The remedy is to have something acknowledged first that was sent
//! after it: an empty stream.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use quinn::Connection;
use tokio::task::JoinSet;

/// The connections of one endpoint on which a stream was reset.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unflushed(Arc<Mutex<HashMap<usize, Connection>>>);

impl Unflushed {
    /// Notes that a stream was reset on `conn`.
    pub(crate) fn note(&self, conn: &Connection) {
        let mut conns = self.0.lock();
        if conn.close_reason().is_none() {
            conns
                .entry(conn.stable_id())
                .or_insert_with(|| conn.clone());
        }
    }

    /// Drops a connection from the list: it has ended.
    pub(crate) fn forget(&self, conn: &Connection) {
        let forgotten = self.0.lock().remove(&conn.stable_id());
        drop(forgotten);
    }

    /// Waits until what was in flight on these connections is not any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up.
    pub(crate) async fn flush(&self) {
        let conns = std::mem::take(&mut *self.0.lock());
        let mut flushing = JoinSet::new();
        for conn in conns.into_values() {
            flushing.spawn(async move {
                // Each error is a connection that is lost already.
                if let Ok(mut empty) = conn.open_uni().await {
                    let _ = empty.finish();
                    let _ = empty.stopped().await;
                }
            });
        }
        while flushing.join_next().await.is_some() {}
    }
}
