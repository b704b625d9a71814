//! The meeting of dial and accept.
//!
//! Owns [`Listener`] and the queue of dials that wait for it. Never talks to
//! an engine: dials come in by the notifier, and leave as an
//! [`Accept`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, oneshot};

use crate::down::Down;
use crate::error::Op;
use crate::socket::{Port, Socket};
use crate::sync::lock;
use crate::{Accept, Addr, Cause, Conn, Failure, OpError};

/// How many dials may wait for one listener; what comes beyond is refused.
pub const BACKLOG: usize = 4096;

/// A host's ear at one of its ports, made by [`Host::listen`](crate::Host::listen).
///
/// Dropping it closes it. It keeps its host open as long as it lives.
#[derive(Debug)]
pub struct Listener {
    meeting: Arc<Meeting>,
    port: Port,
}

impl Listener {
    pub(crate) fn new(meeting: Arc<Meeting>, port: Port) -> Listener {
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
    /// accept. A dial that it was taking is closed as soon as it arrives, and
    /// its port is free: the dialer sees a connection that ends at once. So a loop
    /// that has more to wait for keeps the future until it is done:
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
            let Offer { src, taken } = self.meeting.next().await;
            let port = self.port.host().reserve(Socket::Accepting(src.clone()))?;
            let port = Arc::new(port);
            let (accept, arrival) = Accept::new(&port, src.clone());
            if taken.send(accept).is_err() {
                continue;
            }
            if let Ok(conn) = arrival.await {
                return Ok((conn, src));
            }
        }
    }

    /// How many dials wait to be accepted, at most [`BACKLOG`].
    pub fn pending(&self) -> usize {
        lock(&self.meeting.queue).offers.len()
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

/// Where the dials to one listening address wait to be taken.
pub(crate) struct Meeting {
    addr: Addr,
    down: Down,
    /// In order of arrival; a plain lock, held for a map operation only.
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Default)]
struct Queue {
    next: u64,
    offers: BTreeMap<u64, Offer>,
}

struct Offer {
    src: Addr,
    taken: oneshot::Sender<Accept>,
}

/// A place in the queue; given up when the dial is.
struct Place<'a> {
    meeting: &'a Meeting,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(&self.meeting.queue).offers.remove(&self.number);
    }
}

impl Meeting {
    pub(crate) fn new(addr: Addr) -> Meeting {
        Meeting {
            addr,
            down: Down::default(),
            queue: Mutex::default(),
            arrived: Notify::new(),
        }
    }

    /// Ends waiting accepts with `why`, and refuses waiting dials.
    pub(crate) fn go_down(&self, why: Failure) {
        self.down.set(why);
    }

    /// Waits in line until an accept takes the dial from `src`.
    pub(crate) async fn offer(&self, src: &Addr) -> Result<Accept, Failure> {
        let (taken, accept) = oneshot::channel();
        let src = src.clone();
        let _place = self.enqueue(Offer { src, taken })?;
        tokio::select! {
            biased;
            _ = self.down.wait() => Err(Cause::ConnectionRefused.into()),
            accept = accept => accept.map_err(|_| Cause::ConnectionRefused.into()),
        }
    }

    fn enqueue(&self, offer: Offer) -> Result<Place<'_>, Failure> {
        let mut queue = lock(&self.queue);
        if queue.offers.len() >= BACKLOG {
            return Err(Cause::ConnectionRefused.into());
        }
        let number = queue.next;
        queue.next += 1;
        queue.offers.insert(number, offer);
        drop(queue);
        self.arrived.notify_one();
        Ok(Place {
            meeting: self,
            number,
        })
    }

    async fn next(&self) -> Offer {
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            // In line before the look, so that an arrival in between is not
            // missed, nor left to another accept that needs none.
            arrived.as_mut().enable();
            if let Some((_, offer)) = lock(&self.queue).offers.pop_first() {
                return offer;
            }
            arrived.await;
        }
    }
}

impl std::fmt::Debug for Meeting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.addr)
    }
}
