//! A dial that a program has seen, and not answered yet.
//!
//! Owns [`IncomingDial`]. Never waits for a dial: the listener does.

use std::fmt;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::host::accept_queue::{AcceptQueue, PendingDial, refusal};
use crate::host::inner::HostInner;
use crate::host::socket::Socket;
use crate::{Accept, Addr, Cause, Conn, Failure, OpError};

/// A dial that waits for an answer; made by [`Listener::next_dial`](crate::Listener::next_dial).
///
/// Dropping it refuses the dial: it ends with [`Cause::ConnectionRefused`]. Nothing of this end is taken
/// meanwhile: no port, and no connection. It keeps its host open, as a listener does.
pub struct IncomingDial {
    queue: Arc<AcceptQueue>,
    host: Arc<HostInner>,
    dial: PendingDial,
}

impl IncomingDial {
    pub(crate) fn new(
        queue: Arc<AcceptQueue>,
        host: Arc<HostInner>,
        dial: PendingDial,
    ) -> IncomingDial {
        IncomingDial { queue, host, dial }
    }

    /// The address that dials. Its host is proved, as that of a connection is.
    pub fn peer_addr(&self) -> &Addr {
        &self.dial.src
    }

    /// The listener's address, which was dialed.
    pub fn dialed_addr(&self) -> &Addr {
        &self.queue.addr
    }

    /// Refuses the dial, as dropping this does.
    pub fn refuse(self) {}

    /// Waits until the dial was given up, or its listener, its host or the network has gone down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn given_up(&mut self) {
        self.dial.taken.closed().await;
    }

    /// Accepts the dial, as [`Listener::accept`](crate::Listener::accept) does: this end gets the lowest
    /// free port now.
    ///
    /// # Errors
    ///
    /// Those of [`Listener::accept`](crate::Listener::accept), and [`Cause::ConnectionCut`] if the dial was
    /// given up.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the dial is refused, or its connection cut, and the port is free.
    pub async fn accept(self) -> Result<Conn, OpError> {
        let queue = Arc::clone(&self.queue);
        let accepted = tokio::select! {
            biased;
            why = queue.down.wait() => Err(why.clone()),
            accepted = self.try_accept() => accepted,
        };
        accepted.map_err(|failure| queue.failed(failure))
    }

    async fn try_accept(self) -> Result<Conn, Failure> {
        let PendingDial { src, taken } = self.dial;
        let port = match self.host.reserve(Socket::Accepting(src.clone())) {
            Ok(port) => Arc::new(port),
            Err(why) => {
                drop(taken.send(Err(refusal(&why))));
                return Err(why);
            }
        };
        let (sender, conn) = oneshot::channel();
        let accept = Accept::new(&port, src, self.queue.addr.port(), sender);
        // If the dialer is gone by now, the accept is dropped, which cancels it.
        drop(taken.send(Ok(accept)));
        match conn.await {
            Ok(conn) => Ok(conn.handed()),
            Err(_) => Err(Cause::ConnectionCut.into()),
        }
    }
}

impl fmt::Debug for IncomingDial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IncomingDial({}->{})", self.dial.src, self.queue.addr)
    }
}
