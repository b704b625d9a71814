//! Incoming: a listener's connections as a stream.
//!
//! Owns [`Incoming`], which keeps the accept that is under way. Never accepts by itself: the
//! listener does.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream};

use crate::{Addr, Cause, Conn, Listener, OpError};

type Accepting = Pin<Box<dyn Future<Output = Result<(Conn, Addr), OpError>> + Send>>;

/// The connections that a listener accepts, as a stream; made by
/// [`Listener::into_incoming`].
///
/// Use it in loops that wait for other things too: dropping [`next`](Incoming::next) loses no
/// dial, because the accept under way stays here. It is also a [`Stream`], for servers that
/// take one.
///
/// When the listener, its host or the network goes down, it yields the error once, and then
/// ends. After [`Cause::NoFreePort`] it goes on. Dropping it closes the listener, and
/// cuts a connection that was accepted but not yielded yet.
///
/// ```
/// # use virtnet_core::pipe::PipeNetwork;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let network = PipeNetwork::new("pipet")?;
/// # let subnet = network.subnetwork();
/// # let host = subnet.new_host("α").await?;
/// # let (stop, mut stopped) = tokio::sync::mpsc::channel::<()>(1);
/// # let dialer = host.clone();
/// # tokio::spawn(async move { drop(dialer.dial("α:1").await); drop(stop) });
/// let mut incoming = host.listen("α:1")?.into_incoming();
/// loop {
///     tokio::select! {
///         biased;
///         Some(accepted) = incoming.next() => {
///             println!("{} dialed", accepted?.peer_addr());
///         }
///         _ = stopped.recv() => break,
///     }
/// }
/// # Ok(()) }
/// ```
pub struct Incoming {
    listener: Arc<Listener>,
    accepting: Option<Accepting>,
    ended: bool,
}

impl Incoming {
    pub(crate) fn new(listener: Listener) -> Incoming {
        Incoming {
            listener: Arc::new(listener),
            accepting: None,
            ended: false,
        }
    }

    /// The listener, for its address or to close it.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    /// Waits for the next connection; `None` after the last error.
    ///
    /// # Errors
    ///
    /// Those of [`Listener::accept`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the next call continues.
    pub async fn next(&mut self) -> Option<Result<Conn, OpError>> {
        poll_fn(|cx| self.poll_conn(cx)).await
    }

    fn poll_conn(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Conn, OpError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let accepting = self.accepting.get_or_insert_with(|| {
            let listener = Arc::clone(&self.listener);
            Box::pin(async move { listener.accept().await })
        });
        let accepted = ready!(accepting.as_mut().poll(cx));
        self.accepting = None;
        if let Err(err) = &accepted {
            self.ended = err.cause() != Cause::NoFreePort;
        }
        Poll::Ready(Some(accepted.map(|(conn, _)| conn)))
    }
}

impl Stream for Incoming {
    type Item = Result<Conn, OpError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_conn(cx)
    }
}

impl FusedStream for Incoming {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incoming({})", self.listener.local_addr())
    }
}
