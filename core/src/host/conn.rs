//! Connections: a byte stream with two addresses, and causes put into errors.
//!
//! Owns [`Conn`], the user's handle. Never touches a stream by itself: what it shares with
//! its host does (`stream.rs`).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) use crate::host::conn_inner::ConnInner;
use crate::host::inner::Port;
use crate::host::split::{self, OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::{Addr, ByteStream, Cause, Failure};

/// A connection between two hosts: an ordered byte stream both ways.
///
/// Reading and writing are tokio's [`AsyncRead`] and [`AsyncWrite`].
/// [`shutdown`](tokio::io::AsyncWriteExt::shutdown) half-closes as in TCP: the
/// peer reads what was written, then end-of-file, and can still write back.
/// Closing or dropping delivers what was written before it, in the background.
/// It keeps its host open as long as it lives.
///
/// # Errors
///
/// Every [`io::Error`] is made of an [`OpError`](crate::OpError), which [`OpError::of`](crate::OpError::of) finds
/// again. Reading and writing report [`Cause::SocketDown`] after the own
/// [`close`](Conn::close), [`Cause::HostDown`] after the own host's,
/// [`Cause::NetworkDown`] after the own subnetwork's. When the peer's end is
/// closed, reading gives end-of-file and writing reports
/// [`Cause::BrokenPipe`], over a real network after the moment that the news
/// takes. A connection that is cut reports [`Cause::ConnectionCut`] or
/// [`Cause::TimedOut`], never a clean end-of-file; so is one that the peer aborted
/// ([`abort`](Conn::abort)), and one that was taken there and that no caller of accept ever
/// got.
///
/// # Cancel safety
///
/// Reading and writing are as cancel safe as the method of
/// [`AsyncReadExt`](tokio::io::AsyncReadExt) or
/// [`AsyncWriteExt`](tokio::io::AsyncWriteExt) that is used: one `read` or
/// `write` that is dropped before it is ready has transferred nothing.
pub struct Conn {
    shared: Arc<ConnInner>,
}

impl Conn {
    /// Makes `port` one end of a connection, unless its host is down. Until it is
    /// [`handed`](Conn::handed) to a caller, nobody has it: going down cuts it.
    pub(crate) fn open(port: Arc<Port>, peer: Addr, stream: ByteStream) -> Result<Conn, Failure> {
        let shared = ConnInner::open(port, peer, stream)?;
        Ok(Conn { shared })
    }

    /// The caller gets it in this very poll: from here on it ends as the caller ends it.
    pub(crate) fn handed(self) -> Conn {
        self.shared.hand();
        self
    }

    /// The address of the own end.
    pub fn local_addr(&self) -> &Addr {
        self.shared.local()
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> &Addr {
        self.shared.peer()
    }

    /// Splits it into halves for one task, at no cost. Dropping them has no effect.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        split::borrow(&self.shared)
    }

    /// Splits it into halves that can go to two tasks.
    ///
    /// Dropping the write half half-closes the connection; once both are
    /// dropped it is closed. [`OwnedReadHalf::reunite`] makes them one again.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        split::pair(self.shared)
    }

    /// What two halves share is a connection again.
    pub(crate) fn reunited(shared: Arc<ConnInner>) -> Conn {
        Conn { shared }
    }

    /// Closes it: the port is free, blocked and later reads and writes here
    /// report [`Cause::SocketDown`], the peer reads what was written and then
    /// end-of-file.
    ///
    /// Does not wait: what was written is delivered in the background, within
    /// the engine's bound, and waited for when the subnetwork closes.
    pub fn close(&self) {
        self.shared.go_down(Cause::SocketDown.into());
    }

    /// Cuts it, as a TCP connection that is closed with a linger time of 0: what was
    /// not sent is thrown away, and the peer's reads and writes report
    /// [`Cause::ConnectionCut`], never a clean end. For what must not look as if it were
    /// whole, like a copy that was broken off.
    ///
    /// The port is free at once; blocked and later reads and writes here report
    /// [`Cause::SocketDown`]. What the peer has received and not read may be lost, too.
    /// Where [`shutdown`](tokio::io::AsyncWriteExt::shutdown) was called before and all
    /// is delivered, the peer may have read a clean end already. After a
    /// [`close`](Conn::close) it has no effect.
    ///
    /// ```
    /// # use virtnet_core::pipe::PipeNetwork;
    /// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let subnet = PipeNetwork::new("pipet")?.subnetwork();
    /// # let host = subnet.new_host("α").await?;
    /// # let listener = host.listen("α:1")?;
    /// # let (dialed, accepted) = tokio::try_join!(host.dial("α:1"), listener.accept())?;
    /// # let (mut dialed, (mut accepted, _)) = (dialed, accepted);
    /// dialed.write_all(b"half of the da").await?;
    /// dialed.abort();
    ///
    /// let err = accepted.read_to_end(&mut Vec::new()).await.unwrap_err();
    /// assert_eq!(err.kind(), std::io::ErrorKind::ConnectionReset);
    /// # Ok(()) }
    /// ```
    pub fn abort(&self) {
        self.shared.abort();
    }
}

impl AsyncRead for Conn {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.shared.poll_read(cx, buf)
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.shared.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.shared.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.shared.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.poll_shutdown(cx)
    }
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.shared.fmt(f)
    }
}
