//! Connections: a byte stream with two addresses, and causes put into errors.
//!
//! Owns [`Conn`] and the two directions under it, so that closing from
//! elsewhere (the host, the subnetwork) takes the stream away at once. Never
//! buffers: bytes go straight between caller and engine.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::Op;
use crate::socket::{Port, Socket};
use crate::split::{OwnedReadHalf, OwnedWriteHalf};
use crate::sync::lock;
use crate::{Addr, ByteStream, Cause, Failure, OpError};

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
    /// Makes `port` one end of a connection, unless its host is down.
    pub(crate) fn open(port: Port, peer: Addr, stream: ByteStream) -> Result<Conn, Failure> {
        let shared = Arc::new(Shared {
            local: port.addr().clone(),
            peer: peer.clone(),
            why: OnceLock::new(),
            reader: Half::new(stream.reader),
            writer: Half::new(stream.writer),
            port,
        });
        let socket = Socket::Connected(peer, Arc::downgrade(&shared));
        shared.port.become_socket(socket)?;
        Ok(Conn { shared })
    }

    /// The address of the own end.
    pub fn local_addr(&self) -> &Addr {
        &self.shared.local
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> &Addr {
        &self.shared.peer
    }

    /// Splits it into halves that can go to two tasks.
    ///
    /// Dropping the write half half-closes the connection; once both are
    /// dropped it is closed.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        OwnedReadHalf::pair(self.shared)
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

/// What the handles of one connection share, and what its host can close.
pub(crate) struct Shared {
    local: Addr,
    peer: Addr,
    /// Why the stream was taken away, set once and before it is.
    why: OnceLock<Failure>,
    reader: Half<dyn AsyncRead + Send + Unpin>,
    writer: Half<dyn AsyncWrite + Send + Unpin>,
    port: Port,
}

/// One direction. The lock lets the close take the stream from under a reader
/// or writer; it is held for one poll, and nobody else contends for it.
struct Half<S: ?Sized>(Mutex<HalfState<S>>);

struct HalfState<S: ?Sized> {
    /// Who waits, to be woken when the stream is taken away.
    waiting: Option<Waker>,
    /// The peer will see, or has seen, the end of this direction.
    ended: bool,
    stream: Option<Box<S>>,
}

impl<S: ?Sized> Half<S> {
    fn new(stream: Box<S>) -> Half<S> {
        Half(Mutex::new(HalfState {
            waiting: None,
            ended: false,
            stream: Some(stream),
        }))
    }

    /// Drops the stream, and wakes who waits for it.
    fn take_away(&self) {
        let (stream, waiting) = {
            let mut half = lock(&self.0);
            (half.stream.take(), half.waiting.take())
        };
        // Outside the lock: both run foreign code.
        drop(stream);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

impl<S: ?Sized> HalfState<S> {
    /// Polls the stream; `None` when it was taken away.
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut S, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<Option<T>> {
        let Some(stream) = self.stream.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = poll(stream, cx);
        if polled.is_pending() {
            match &mut self.waiting {
                Some(waiting) => waiting.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        polled.map(Some)
    }
}

impl Shared {
    pub(crate) fn local(&self) -> &Addr {
        &self.local
    }

    pub(crate) fn peer(&self) -> &Addr {
        &self.peer
    }

    /// Takes the stream away; `why` is what reads and writes then report.
    pub(crate) fn go_down(&self, why: Failure) {
        if self.why.set(why).is_ok() {
            self.reader.take_away();
            self.writer.take_away();
            self.port.free();
        }
    }

    /// Ends the writing direction for good: its handle is gone.
    pub(crate) fn drop_writer(&self) {
        self.writer.take_away();
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut half = lock(&self.reader.0);
        let read = half.poll(cx, |stream, cx| Pin::new(stream).poll_read(cx, buf));
        self.report(Op::Read, ready!(read))
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut half = lock(&self.writer.0);
        if half.ended && half.stream.is_some() {
            return Poll::Ready(Err(self.error(Op::Write, Cause::BrokenPipe.into())));
        }
        let written = half.poll(cx, |stream, cx| Pin::new(stream).poll_write(cx, buf));
        self.report(Op::Write, ready!(written))
    }

    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut half = lock(&self.writer.0);
        let flushed = half.poll(cx, |stream, cx| Pin::new(stream).poll_flush(cx));
        self.report(Op::Write, ready!(flushed))
    }

    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut half = lock(&self.writer.0);
        if half.ended && half.stream.is_some() {
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
            Some(Err(err)) => Err(self.error(op, failure(err))),
            None => Err(self.error(op, self.why_taken())),
        })
    }

    fn why_taken(&self) -> Failure {
        // Without a reason only this direction was ended, by its own handle.
        self.why.get().cloned().unwrap_or(Cause::SocketDown.into())
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
