//! Listeners: a host's ear at one of its ports.
//!
//! Owns [`Listener`]. Never sees a dial: those come in by the notifier, and meet
//! the accepts in line (`meeting.rs`).

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::error::Op;
use crate::host::accept_queue::AcceptQueue;
use crate::host::inner::Port;
use crate::{Addr, Cause, Conn, Failure, Incoming, OpError};

/// A host's ear at one of its ports, made by [`Host::listen`](crate::Host::listen).
///
/// Dropping it closes it. It keeps its host open as long as it lives.
#[derive(Debug)]
pub struct Listener {
    meeting: Arc<AcceptQueue>,
    port: Port,
}

impl Listener {
    pub(crate) fn new(meeting: Arc<AcceptQueue>, port: Port) -> Listener {
        Listener { meeting, port }
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> &Addr {
        &self.meeting.addr
    }

    /// Waits for the next dial and takes it; returns the connection and the
    /// dialer's address, which is also the connection's
    /// [`peer_addr`](Conn::peer_addr).
    ///
    /// The accepted end gets a port of its own, the lowest free one. A dial
    /// that is given up while it is being accepted is skipped, and its port is
    /// free again.
    ///
    /// # Errors
    ///
    /// An [`OpError`] whose cause is [`Cause::SocketDown`] after
    /// [`close`](Listener::close), [`Cause::HostDown`] after the host's,
    /// [`Cause::NetworkDown`] after the subnetwork's; [`Cause::NoFreePort`]
    /// when a dial came (it is refused) but all ports are taken.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves dials that it has not taken to the next
    /// accept. A dial that it was taking is cut, and its port is free: the dialer is
    /// refused, or reads [`Cause::ConnectionCut`], never an end, as nobody has read what
    /// it wrote. So it is where the listener, its host or its subnetwork goes down
    /// meanwhile. A loop that has more to wait for takes [`into_incoming`](Listener::into_incoming), or
    /// keeps the future until it is done:
    ///
    /// ```
    /// # use virtnet_core::{Listener, OpError};
    /// # async fn example(listener: Listener, mut more: tokio::sync::mpsc::Receiver<()>) -> Result<(), OpError> {
    /// let mut accept = Box::pin(listener.accept());
    /// loop {
    ///     tokio::select! {
    ///         accepted = &mut accept => {
    ///             let (conn, peer) = accepted?;
    ///             // …
    ///             # let _ = (conn, peer);
    ///             accept.set(listener.accept());
    ///         }
    ///         Some(()) = more.recv() => { /* … */ }
    ///     }
    /// }
    /// # }
    /// ```
    pub async fn accept(&self) -> Result<(Conn, Addr), OpError> {
        let accepted = tokio::select! {
            biased;
            why = self.meeting.down.wait() => Err(why.clone()),
            accepted = self.accept_next() => accepted,
        };
        accepted.map_err(|failure| {
            let addr = self.local_addr();
            OpError::new(Op::Accept, addr.network(), None, Some(addr), failure)
        })
    }

    async fn accept_next(&self) -> Result<(Conn, Addr), Failure> {
        loop {
            let (conn, arrival) = oneshot::channel();
            let seat = self.meeting.sit(self.port.host(), conn);
            match arrival.await {
                Ok(conn) => {
                    let peer = conn.peer_addr().clone();
                    return Ok((conn.handed(), peer));
                }
                // The dial was given up, unless there is another reason.
                Err(_) => seat.failure()?,
            }
        }
    }

    /// The connections as a stream, for loops that have more to wait for and for
    /// servers that take one.
    pub fn into_incoming(self) -> Incoming {
        Incoming::new(self)
    }

    /// How many dials wait to be accepted, at most [`Limits::backlog`](crate::Limits::backlog).
    pub fn pending(&self) -> usize {
        self.meeting.pending()
    }

    /// Stops listening: the port is free, waiting and later accepts report
    /// [`Cause::SocketDown`], and waiting dials are refused.
    ///
    /// Connections that were accepted live on.
    pub fn close(&self) {
        // First the port: whoever is refused may listen on it at once.
        self.port.free();
        self.meeting.go_down(Cause::SocketDown.into());
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}
