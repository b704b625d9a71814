//! A dial that an accept has taken, until the engine hands its connection over.
//!
//! Owns [`Accept`]. Never decides which accept takes a dial: the accept queue does.

use std::sync::{Arc, Weak};

use tokio::sync::oneshot;

use crate::host::gate::Service;
use crate::host::port::Port;
use crate::trace::conn_trace::AcceptTrace;
use crate::{Addr, ByteStream, Conn};

/// A dial that came in and that an accept has taken: the address of the accepting end. The
/// engine acknowledges it with [`ack`](Accept::ack).
///
/// Dropping it cancels: the address is free again, and the accept waits for the next dial.
pub struct Accept {
    addr: Addr,
    src: Addr,
    service: Service,
    trace: Option<AcceptTrace>,
    /// The accept that waits holds the port; this only frees it early.
    port: Weak<Port>,
    /// Taken by the acknowledgement.
    conn: Option<oneshot::Sender<Conn>>,
}

impl Accept {
    /// The dial from `src` to the port `dialed` is taken at `port`; the connection is to be sent
    /// to `conn`.
    pub(crate) fn new(
        port: &Arc<Port>,
        src: Addr,
        dialed: u16,
        conn: oneshot::Sender<Conn>,
    ) -> Accept {
        Accept {
            service: Service {
                port: dialed,
                dialed: false,
            },
            // Its number is taken before the engine can reply.
            trace: port.host().trace().accepting(port.addr(), &src, dialed),
            addr: port.addr().clone(),
            src,
            port: Arc::downgrade(port),
            conn: Some(conn),
        }
    }

    /// The address of the accepting end: the dialer's peer address.
    pub fn addr(&self) -> &Addr {
        &self.addr
    }

    /// Hands the connection over. Call it as soon as the reply, with this address, is on its
    /// way to the dialer; do not wait for the dialer, because the accept waits for this call
    /// and cannot take another dial.
    ///
    /// So the dialer may have given up, and a dropped dial may leave this end alone. The stream
    /// must then be cut: its reads fail, and never return a clean end-of-file. The port is free
    /// when the connection is closed. A dial that is known to be given up before that is
    /// cancelled instead: drop the `Accept`.
    ///
    /// If no accept waits for it any more, the stream is dropped, which cuts it
    /// ([`Abort`](crate::Abort)), so that the dialer does not take it for a connection that
    /// was read and closed. The same holds until a caller of accept has got the connection.
    pub fn ack(mut self, stream: ByteStream) {
        // Recorded also if nobody gets it: the dialer has a connection.
        let trace = self.trace.take().map(|trace| trace.accepted());
        // A connection from here on, even if the accept is polled later: a close in
        // between finds it among the host's sockets.
        if let (Some(accepting), Some(port)) = (self.conn.take(), self.port.upgrade())
            && let Ok(conn) = Conn::open(port, self.src.clone(), stream, self.service, trace)
        {
            tracing::debug!(?conn, "acknowledged");
            drop(accepting.send(conn));
        }
    }

    /// Waits until no accept waits for this connection any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn cancelled(&mut self) {
        if let Some(conn) = &mut self.conn {
            conn.closed().await;
        }
    }
}

impl std::fmt::Debug for Accept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accept")
            .field("addr", &self.addr)
            .field("src", &self.src)
            .finish_non_exhaustive()
    }
}

impl Drop for Accept {
    fn drop(&mut self) {
        if self.conn.is_some()
            && let Some(port) = self.port.upgrade()
        {
            tracing::debug!(local = %self.addr, src = %self.src, "not acknowledged");
            port.free();
        }
    }
}
