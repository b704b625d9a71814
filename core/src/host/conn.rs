//! Connections: a byte stream with two addresses, whose errors say why.
//!
//! Owns [`Conn`], the user's handle. Never touches a stream: [`ConnInner`] does.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::host::conn_inner::{ConnInner, OpenConn};
use crate::host::gate::Service;
use crate::host::port::Port;
use crate::host::split::{self, OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::trace::conn_trace::ConnTrace;
use crate::{Addr, ByteStream, Cause, Failure};

/// A connection between two hosts: an ordered byte stream both ways.
///
/// Reading and writing are tokio's [`AsyncRead`] and [`AsyncWrite`].
/// [`shutdown`](tokio::io::AsyncWriteExt::shutdown) half-closes as in TCP: the
/// peer reads what was written, then end-of-file, and can still write back.
/// Closing or dropping delivers what was written before it, in the background.
/// It keeps its host open until it is dropped.
///
/// # Errors
///
/// Every [`io::Error`] is made from an [`OpError`](crate::OpError);
/// [`OpError::of`](crate::OpError::of) finds it. Reading and writing report
///
/// - [`Cause::SocketDown`] after [`close`](Conn::close), [`Cause::HostDown`] after the host of
///   this end was closed, [`Cause::NetworkDown`] after its subnetwork was;
/// - end-of-file (reading) or [`Cause::BrokenPipe`] (writing) when the peer's end is closed;
///   over a real network it takes a moment until this end knows;
/// - [`Cause::ConnectionCut`] or [`Cause::TimedOut`], never a clean end-of-file, when the
///   connection is cut. It is also cut when the peer aborts it ([`abort`](Conn::abort)), and
///   when the peer's listener took it but no caller of accept ever got it.
///
/// # Faults
///
/// Rules of [`faults`](crate::faults) act on an open connection, at both ends:
///
/// - a *cut* withholds what has not been read yet, ends and aborts of the peer included. If it
///   lasts for the engine's idle bound (10 s by default), both ends report [`Cause::TimedOut`];
///   healed before that, the connection goes on, and no byte is lost. Writes succeed until the
///   buffers are full;
/// - a *hold* withholds the same, and ends nothing;
/// - a *reset* ends both ends with [`Cause::ConnectionCut`]. The source of the error names the rule.
///
/// A connection that a rule ended keeps its port until it is closed or dropped, like any other.
///
/// # Cancel safety
///
/// Reading and writing are as cancel safe as the method of
/// [`AsyncReadExt`](tokio::io::AsyncReadExt) or
/// [`AsyncWriteExt`](tokio::io::AsyncWriteExt) that you use: a single `read` or
/// `write` that is dropped before it is ready has transferred nothing.
pub struct Conn {
    open: OpenConn,
}

impl Conn {
    /// Makes `port` one end of a connection, unless its host is down. Until a caller gets it
    /// ([`handed`](Conn::handed)), going down cuts it.
    pub(crate) fn open(
        port: Arc<Port>,
        peer: Addr,
        stream: ByteStream,
        service: Service,
        trace: Option<ConnTrace>,
    ) -> Result<Conn, Failure> {
        let open = ConnInner::open(port, peer, stream, service, trace)?;
        Ok(Conn { open })
    }

    /// The caller gets it in this very poll: from here on it ends the way the caller ends it.
    pub(crate) fn handed(self) -> Conn {
        self.open.hand();
        self
    }

    /// The address of this end.
    pub fn local_addr(&self) -> &Addr {
        self.open.local()
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> &Addr {
        self.open.peer()
    }

    /// Splits the connection into halves for one task, at no cost. Dropping them has no
    /// effect.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        split::borrow(&self.open)
    }

    /// Splits the connection into halves that can go to two tasks.
    ///
    /// Dropping the write half half-closes the connection; dropping both closes it.
    /// [`OwnedReadHalf::reunite`] joins them again.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        split::pair(self.open)
    }

    /// Makes a connection again from what two halves share.
    pub(crate) fn reunited(open: OpenConn) -> Conn {
        Conn { open }
    }

    /// Closes the connection: its port is free, blocked and later reads and writes at this
    /// end report [`Cause::SocketDown`], and the peer reads what was written and then
    /// end-of-file.
    ///
    /// Does not wait: what was written is delivered in the background, within
    /// the engine's time limit. Closing the subnetwork waits for it.
    pub fn close(&self) {
        self.open.go_down(Cause::SocketDown.into());
    }

    /// Cuts the connection, as TCP does when a socket is closed with a linger time of 0:
    /// unsent data is discarded, and the peer's reads and writes report
    /// [`Cause::ConnectionCut`], never a clean end-of-file. Use it when the peer must not take
    /// partial data for all of it, such as when a copy fails halfway.
    ///
    /// The port is free at once; blocked and later reads and writes at this end report
    /// [`Cause::SocketDown`]. Data that the peer has received but not read may be lost too.
    /// If you called [`shutdown`](tokio::io::AsyncWriteExt::shutdown) before and all data
    /// is delivered, the peer may have read a clean end-of-file already. After
    /// [`close`](Conn::close) this has no effect.
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
        self.open.abort();
    }
}

impl AsyncRead for Conn {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.open.poll_read(cx, buf)
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.open.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.open.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.open.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open.poll_shutdown(cx)
    }
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.open.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use crate::pipe::PipeNetwork;
    use crate::{Host, Listener};

    async fn hosts() -> (Host, Listener) {
        let subnet = PipeNetwork::new("visited").expect("a name").subnetwork();
        let host = subnet.new_host("α").await.expect("it is free");
        let listener = host.listen("α:1").expect("it is free");
        (host, listener)
    }

    #[tokio::test]
    async fn a_visitor_delays_no_close() {
        let (host, listener) = hosts().await;
        for split in [false, true] {
            let met = tokio::try_join!(host.dial("α:1"), listener.accept());
            let (dialed, (mut accepted, _)) = met.expect("it listens");
            // As a swap of fault rules does.
            let visitors = host.shared.conns();
            assert_eq!(visitors.len(), 2);
            if split {
                let (reader, writer) = dialed.into_split();
                drop(reader);
                drop(writer);
            } else {
                drop(dialed);
            }
            assert_eq!(host.sockets().len(), 2, "the dialed one's port is free");
            let read = accepted.read(&mut [0]).await;
            assert_eq!(read.expect("it ends cleanly"), 0);
        }
    }
}
