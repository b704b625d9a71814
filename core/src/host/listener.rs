//! Listeners: sockets that accept connections on one of a host's ports.
//!
//! Owns [`Listener`]. Never sees a dial: the notifier offers dials to the accept queue, in
//! which the listener waits for them.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::host::accept_queue::AcceptQueue;
use crate::host::port::Port;
use crate::{Addr, Cause, Conn, Failure, Incoming, IncomingDial, OpError};

/// A socket that accepts connections on one of a host's ports; made by
/// [`Host::listen`](crate::Host::listen).
///
/// Dropping it closes it. It keeps its host open until it is dropped.
#[derive(Debug)]
pub struct Listener {
    queue: Arc<AcceptQueue>,
    port: Port,
}

impl Listener {
    pub(crate) fn new(queue: Arc<AcceptQueue>, port: Port) -> Listener {
        Listener { queue, port }
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> &Addr {
        &self.queue.addr
    }

    /// Waits for the next dial and takes it. Returns the connection and the
    /// dialer's address, which is also the connection's
    /// [`peer_addr`](Conn::peer_addr).
    ///
    /// The accepted end gets a port of its own, the lowest free one.
    ///
    /// It never waits for the dialer: it returns as soon as the reply is on its way, so a
    /// dialer that is slow, stopped or gone holds up no other. A dial that is given up before
    /// is skipped. One that is given up later leaves a connection that is cut: its first read
    /// reports [`Cause::ConnectionCut`], with the reason as the error's source, or
    /// [`Cause::TimedOut`] if the dialer's process is gone.
    ///
    /// # Errors
    ///
    /// An [`OpError`] whose cause is [`Cause::SocketDown`] after the listener was closed,
    /// [`Cause::HostDown`] after its host was, [`Cause::NetworkDown`] after its subnetwork
    /// was; [`Cause::NoFreePort`] when a dial came but all ports are taken (the dial is
    /// refused).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the dials that it has not taken to the next
    /// accept. A dial that it was taking is cut, and its port is free: the dialer is
    /// refused, or reads [`Cause::ConnectionCut`], never a clean end-of-file, because
    /// nothing has read what it wrote. The same happens when the listener, its host or its
    /// subnetwork goes down meanwhile. In a loop that waits for other things too, use
    /// [`into_incoming`](Listener::into_incoming), or keep the future until it is done:
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
            why = self.queue.down.wait() => Err(why.clone()),
            accepted = self.accept_next() => accepted,
        };
        accepted.map_err(|failure| self.queue.failed(failure))
    }

    /// Waits for the next dial, and lets the caller decide: it waits until it is
    /// [accepted](IncomingDial::accept) or refused. For programs that have to do something first, such as
    /// connect to another server: then the dialer's error is *connection refused* if that fails, and not a
    /// connection that is cut.
    ///
    /// Dials that are taken so do not count for [`Limits::backlog`](crate::Limits::backlog): bound
    /// how many you hold. With a backlog of 0 none comes.
    ///
    /// # Errors
    ///
    /// An [`OpError`] whose cause is [`Cause::SocketDown`], [`Cause::HostDown`] or
    /// [`Cause::NetworkDown`], as for [`accept`](Listener::accept).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the dial waits for the next call, or the next accept.
    ///
    /// ```
    /// # use virtnet_core::{Cause, pipe::PipeNetwork};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let subnet = PipeNetwork::new("pipet")?.subnetwork();
    /// # let (alpha, beta) = (subnet.new_host("α").await?, subnet.new_host("β").await?);
    /// let listener = beta.listen("β:1")?;
    /// let serve = async {
    ///     listener.next_dial().await?.refuse();
    ///     listener.next_dial().await?.accept().await
    /// };
    /// let dial = async {
    ///     let refused = alpha.dial("β:1").await.unwrap_err();
    ///     assert_eq!(refused.cause(), Cause::ConnectionRefused);
    ///     alpha.dial("β:1").await
    /// };
    /// let (accepted, dialed) = tokio::try_join!(serve, dial)?;
    /// assert_eq!(accepted.local_addr(), dialed.peer_addr());
    /// # Ok(()) }
    /// ```
    pub async fn next_dial(&self) -> Result<IncomingDial, OpError> {
        tokio::select! {
            biased;
            why = self.queue.down.wait() => Err(self.queue.failed(why.clone())),
            dial = self.queue.next_dial() => {
                let (queue, host) = (Arc::clone(&self.queue), Arc::clone(self.port.host()));
                Ok(IncomingDial::new(queue, host, dial))
            }
        }
    }

    async fn accept_next(&self) -> Result<(Conn, Addr), Failure> {
        loop {
            let (sender, conn) = oneshot::channel();
            let ticket = self.queue.accept(self.port.host(), sender);
            match conn.await {
                Ok(conn) => {
                    let peer = conn.peer_addr().clone();
                    return Ok((conn.handed(), peer));
                }
                // The dial was given up, unless there is another reason.
                Err(_) => ticket.check()?,
            }
        }
    }

    /// The connections as a stream: for loops that wait for other things too, and for
    /// servers that take a stream.
    pub fn into_incoming(self) -> Incoming {
        Incoming::new(self)
    }

    /// How many dials wait to be accepted, at most [`Limits::backlog`](crate::Limits::backlog).
    pub fn pending(&self) -> usize {
        self.queue.pending()
    }

    /// Stops listening: the port is free, waiting and later accepts report
    /// [`Cause::SocketDown`], and waiting dials are refused.
    ///
    /// Accepted connections stay open.
    pub fn close(&self) {
        self.queue.record_end();
        // First the port, so that a dialer that is refused can listen on it at once.
        self.port.free();
        self.queue.go_down(Cause::SocketDown.into());
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}
