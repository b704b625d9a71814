//! Connections: a byte stream with two addresses, and causes put into errors.
//!
//! Owns [`Conn`], and why it is down. Never buffers: bytes go straight between
//! caller and engine.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::Op;
use crate::half::{Half, Taken};
use crate::socket::{Port, Socket};
use crate::split::{self, OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::{Abort, Addr, ByteStream, Cause, Failure, OpError};

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
/// Every [`io::Error`] is made of an [`OpError`], which [`OpError::of`] finds
/// again. Reading and writing report [`Cause::SocketDown`] after the own
/// [`close`](Conn::close), [`Cause::HostDown`] after the own host's,
/// [`Cause::NetworkDown`] after the own subnetwork's. When the peer's end is
/// closed, reading gives end-of-file and writing reports
/// [`Cause::BrokenPipe`], over a real network after the moment that the news
/// takes. A connection that is cut reports [`Cause::ConnectionCut`] or
/// [`Cause::TimedOut`], never a clean end-of-file.
///
/// # Cancel safety
///
/// Reading and writing are as cancel safe as the method of
/// [`AsyncReadExt`](tokio::io::AsyncReadExt) or
/// [`AsyncWriteExt`](tokio::io::AsyncWriteExt) that is used: one `read` or
/// `write` that is dropped before it is ready has transferred nothing.
pub struct Conn {
    shared: Arc<Shared>,
}

impl Conn {
    /// Makes `port` one end of a connection, unless its host is down. Until it is
    /// [`handed`](Conn::handed) to a caller, nobody has it: going down cuts it.
    pub(crate) fn open(port: Arc<Port>, peer: Addr, stream: ByteStream) -> Result<Conn, Failure> {
        let hold = port.host().hold()?;
        let stream = stream.into_parts();
        let shared = Arc::new(Shared {
            local: port.addr().clone(),
            peer: peer.clone(),
            why: OnceLock::new(),
            reader: Half::new(stream.reader, hold.clone()),
            writer: Half::new(stream.writer, hold),
            abort: stream.abort,
            handed: AtomicBool::new(false),
            port,
        });
        let socket = Socket::Connected(peer, Arc::downgrade(&shared));
        shared.port.become_socket(socket)?;
        Ok(Conn { shared })
    }

    /// The caller gets it in this very poll: from here on it ends as the caller ends it.
    pub(crate) fn handed(self) -> Conn {
        self.shared.handed.store(true, Ordering::Relaxed);
        self
    }

    /// The address of the own end.
    pub fn local_addr(&self) -> &Addr {
        &self.shared.local
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> &Addr {
        &self.shared.peer
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
    pub(crate) fn reunited(shared: Arc<Shared>) -> Conn {
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

type Reader = dyn AsyncRead + Send + Unpin;
type Writer = dyn AsyncWrite + Send + Unpin;

/// What the handles of one connection share, and what its host can close.
pub(crate) struct Shared {
    local: Addr,
    peer: Addr,
    /// Why it is down, set once, before the streams are taken away.
    why: OnceLock<Failure>,
    reader: Half<Reader>,
    writer: Half<Writer>,
    abort: Option<Arc<dyn Abort>>,
    /// A caller has it.
    handed: AtomicBool,
    port: Arc<Port>,
}

impl Shared {
    pub(crate) fn local(&self) -> &Addr {
        &self.local
    }

    pub(crate) fn peer(&self) -> &Addr {
        &self.peer
    }

    /// Says that it is down and why, which reads and writes report from now
    /// on, and frees its port. Whoever comes first has to let go of it.
    pub(crate) fn mark(&self, why: Failure) -> bool {
        let first = self.why.set(why).is_ok();
        if first {
            self.port.free();
            tracing::debug!(conn = ?self, why = self.why.get().map(display), "down");
        }
        first
    }

    /// Takes the streams away: when what this returns is dropped, the peer sees
    /// the end, or a cut where no caller ever got the connection.
    pub(crate) fn let_go(&self) -> (Taken<Reader>, Taken<Writer>) {
        if !self.handed.load(Ordering::Relaxed) {
            self.cut();
        }
        (self.reader.take_away(), self.writer.take_away())
    }

    /// Both: its port is free before the peer can know.
    pub(crate) fn go_down(&self, why: Failure) {
        if self.mark(why) {
            drop(self.let_go());
        }
    }

    /// Goes down by the hand of its owner, and has the peer see a cut.
    pub(crate) fn abort(&self) {
        if self.mark(Cause::SocketDown.into()) {
            self.cut();
            drop(self.let_go());
        }
    }

    /// Whatever of the streams is dropped from here on is cut.
    fn cut(&self) {
        if let Some(abort) = &self.abort {
            abort.abort();
        }
    }

    /// Ends the writing direction for good: its handle is gone.
    pub(crate) fn drop_writer(&self) {
        drop(self.writer.take_away());
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut half = self.reader.lock();
        let read = half.poll(cx, |stream, cx| Pin::new(stream).poll_read(cx, buf));
        self.report(Op::Read, ready!(read))
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| Pin::new(stream).poll_write(cx, buf))
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| {
            Pin::new(stream).poll_write_vectored(cx, bufs)
        })
    }

    /// What the engine's stream says.
    pub(crate) fn is_write_vectored(&self) -> bool {
        self.writer.lock().is(|stream| stream.is_write_vectored())
    }

    fn write(
        &self,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut Writer, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let mut half = self.writer.lock();
        if half.ended && half.is_there() {
            return Poll::Ready(Err(self.error(Op::Write, Cause::BrokenPipe.into())));
        }
        let written = half.poll(cx, write);
        self.report(Op::Write, ready!(written))
    }

    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut half = self.writer.lock();
        let flushed = half.poll(cx, |stream, cx| Pin::new(stream).poll_flush(cx));
        self.report(Op::Write, ready!(flushed))
    }

    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut half = self.writer.lock();
        if half.ended && half.is_there() {
            return Poll::Ready(Ok(()));
        }
        let shut = ready!(half.poll(cx, |stream, cx| Pin::new(stream).poll_shutdown(cx)));
        half.ended = matches!(shut, Some(Ok(())));
        self.report(Op::Write, shut)
    }

    /// Puts the operation and both ends into what came of a poll.
    fn report<T>(&self, op: Op, done: Option<io::Result<T>>) -> Poll<io::Result<T>> {
        Poll::Ready(match done {
            Some(Ok(value)) => Ok(value),
            Some(Err(err)) => {
                // What the other end of a close looks like is not the cause.
                let why = self.why.get().cloned();
                Err(self.error(op, why.unwrap_or_else(|| failure(err))))
            }
            None => {
                // Without a reason only this direction was ended, by its handle.
                let why = self.why.get().cloned();
                Err(self.error(op, why.unwrap_or(Cause::SocketDown.into())))
            }
        })
    }

    fn error(&self, op: Op, failure: Failure) -> io::Error {
        let (src, addr) = match op {
            Op::Read => (&self.peer, &self.local),
            _ => (&self.local, &self.peer),
        };
        OpError::new(op, src.network(), Some(src), Some(addr), failure).into()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.go_down(Cause::SocketDown.into());
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Conn({} {}-{})",
            self.local.network(),
            self.local,
            self.peer
        )
    }
}

/// What an engine's stream reported, in the vocabulary.
fn failure(err: io::Error) -> Failure {
    use io::ErrorKind as Kind;
    match err.kind() {
        Kind::BrokenPipe => Cause::BrokenPipe.into(),
        Kind::TimedOut => Failure::because(Cause::TimedOut, err),
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::NotConnected => {
            Failure::because(Cause::ConnectionCut, err)
        }
        _ => Failure::other(err),
    }
}
