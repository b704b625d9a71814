//! Connections that carry a copy, which is whole or cut.
//!
//! Owns that no peer takes a part of the data for all of it: whatever ends a copy
//! early (a signal, an error, a panic) cuts its connection. Never moves a byte.

use virtnet::{Conn, ReadHalf, WriteHalf};

/// A connection that is cut when this is dropped, unless the copy is whole.
pub(crate) struct Copy {
    conn: Conn,
    whole: bool,
}

impl Copy {
    pub(crate) fn of(conn: Conn) -> Copy {
        Copy { conn, whole: false }
    }

    pub(crate) fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        self.conn.split()
    }

    /// All of it was moved: the connection is closed in order.
    pub(crate) fn end_whole(mut self) {
        self.whole = true;
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if !self.whole {
            self.conn.abort();
        }
    }
}
