//! The engine's way back: an incoming connection, and the network going down.
//!
//! Owns [`Notifier`] and [`Accept`]. Never keeps the subnetwork alive, as the
//! engine that holds a notifier is itself held by the subnetwork.

use std::sync::{Arc, Weak};

use tokio::sync::oneshot;
use tracing::Instrument;

use crate::host::inner::Port;
use crate::subnet::Context;
use crate::{Addr, ByteStream, Cause, Conn, Failure};

/// What an engine tells its subnetwork.
#[derive(Clone)]
pub struct Notifier(pub(crate) Weak<Context>);

impl Notifier {
    /// Decides on a connection that came in from `src` for `dst`.
    ///
    /// Waits until an accept takes it. The engine then tells the dialer the
    /// accepting address and acknowledges with [`Accept::ack`].
    ///
    /// # Errors
    ///
    /// [`Cause::NoSuchHost`] when the host of `dst` is not on this subnetwork;
    /// [`Cause::ConnectionRefused`] when nothing listens there, when the
    /// listener's backlog is full, or when the listener, its host or the
    /// network goes down meanwhile.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws the connection: no accept will see it, or
    /// the one that already took it goes on waiting for the next.
    pub async fn vnet_accept(&self, src: &Addr, dst: &Addr) -> Result<Accept, Failure> {
        let span = tracing::debug_span!("incoming", network = dst.network(), %src, %dst);
        self.decide(src, dst).instrument(span).await
    }

    async fn decide(&self, src: &Addr, dst: &Addr) -> Result<Accept, Failure> {
        tracing::debug!("arrived");
        // The subnetwork is not held while waiting, so that it can go.
        let listener = self.upgrade()?.listener(dst)?;
        let accept = listener.offer(src).await?;
        // The name may have been lost while the dial waited.
        self.upgrade()?.check_held(dst)?;
        tracing::debug!(local = %accept.addr(), "taken");
        Ok(accept)
    }

    fn upgrade(&self) -> Result<Arc<Context>, Failure> {
        self.0.upgrade().ok_or(Cause::ConnectionRefused.into())
    }

    /// Says that the transport is gone: the subnetwork goes down as if it had
    /// been closed, and its `close` reports `cause`.
    ///
    /// Only the first of all closes and downs has an effect.
    pub fn vnet_down(&self, cause: impl Into<Failure>) {
        if let Some(subnet) = self.0.upgrade() {
            subnet.go_down(Some(cause.into()));
        }
    }
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").finish_non_exhaustive()
    }
}

/// An incoming connection that an accept has taken: the address it has on this
/// side, and the duty to acknowledge.
///
/// Dropping it cancels: the address is free again, and the accept goes on
/// waiting for the next dial.
#[derive(Debug)]
pub struct Accept {
    addr: Addr,
    src: Addr,
    /// The accept that waits holds the port; this only frees it early.
    port: Weak<Port>,
    /// Taken by the acknowledgement.
    conn: Option<oneshot::Sender<Conn>>,
}

impl Accept {
    /// An accept of `src` at `port`, and where the connection is to arrive.
    pub(crate) fn new(port: &Arc<Port>, src: Addr, conn: oneshot::Sender<Conn>) -> Accept {
        Accept {
            addr: port.addr().clone(),
            src,
            port: Arc::downgrade(port),
            conn: Some(conn),
        }
    }

    /// The address that accepts: the dialer's peer address.
    pub fn addr(&self) -> &Addr {
        &self.addr
    }

    /// Hands the connection over, once the dialer is known to hold its end.
    ///
    /// Where nobody waits any more the stream is dropped, which cuts it
    /// ([`Abort`](crate::Abort)): the dialer is not to take it for one that was read and
    /// closed. So it is until a caller of accept has got the connection.
    pub fn ack(mut self, stream: ByteStream) {
        // A connection from here on, though the accept may be polled late: a
        // close that comes in between finds it among the host's sockets.
        if let (Some(arrival), Some(port)) = (self.conn.take(), self.port.upgrade())
            && let Ok(conn) = Conn::open(port, self.src.clone(), stream)
        {
            tracing::debug!(?conn, "confirmed");
            drop(arrival.send(conn));
        }
    }

    /// Waits until nobody waits for this connection any more.
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

impl Drop for Accept {
    fn drop(&mut self) {
        if self.conn.is_some()
            && let Some(port) = self.port.upgrade()
        {
            tracing::debug!(local = %self.addr, src = %self.src, "not confirmed");
            port.free();
        }
    }
}
