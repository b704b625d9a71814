//! Connections that are aborted unless all of the data was moved.
//!
//! Owns that no peer mistakes a part of the data for all of it: a transfer that ends
//! early (a signal, an error, a panic) aborts its connection. Never moves a byte.

use virtnet::{Conn, ReadHalf, WriteHalf};

/// A connection that dropping this aborts, unless [`finish`](AbortOnDrop::finish) was
/// called.
pub(crate) struct AbortOnDrop {
    conn: Conn,
    finished: bool,
}

impl AbortOnDrop {
    pub(crate) fn new(conn: Conn) -> AbortOnDrop {
        AbortOnDrop {
            conn,
            finished: false,
        }
    }

    pub(crate) fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        self.conn.split()
    }

    /// Closes the connection cleanly: all of the data was moved.
    pub(crate) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if !self.finished {
            self.conn.abort();
        }
    }
}
