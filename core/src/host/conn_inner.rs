//! The state that the handles of a connection share: its two streams, and why it is down.
//!
//! Owns [`ConnInner`], and the causes of an engine's errors. Never buffers: bytes go straight
//! between caller and engine.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::Op;
use crate::host::half::{Half, TakenStream};
use crate::host::port::Port;
use crate::host::socket::Socket;
use crate::{Abort, Addr, ByteStream, Cause, Failure, OpError};

type Reader = dyn AsyncRead + Send + Unpin;
type Writer = dyn AsyncWrite + Send + Unpin;

/// The state that the handles of one connection share, and that its host can close.
pub(crate) struct ConnInner {
    local: Addr,
    peer: Addr,
    /// Why it is down, set once, before the streams are taken away.
    why: OnceLock<Failure>,
    reader: Half<Reader>,
    writer: Half<Writer>,
    abort: Option<Arc<dyn Abort>>,
    /// A caller has the connection.
    handed: AtomicBool,
    port: Arc<Port>,
}

impl ConnInner {
    /// Makes `port` one end of a connection, unless its host is down.
    pub(crate) fn open(
        port: Arc<Port>,
        peer: Addr,
        stream: ByteStream,
    ) -> Result<Arc<ConnInner>, Failure> {
        let keep_open = port.host().context().keep_open()?;
        let stream = stream.into_parts();
        let shared = Arc::new(ConnInner {
            local: port.addr().clone(),
            peer: peer.clone(),
            why: OnceLock::new(),
            reader: Half::new(stream.reader, keep_open.clone()),
            writer: Half::new(stream.writer, keep_open),
            abort: stream.abort,
            handed: AtomicBool::new(false),
            port,
        });
        let socket = Socket::Connected(peer, Arc::downgrade(&shared));
        shared.port.become_socket(socket)?;
        Ok(shared)
    }

    /// A caller has the connection from here on.
    pub(crate) fn hand(&self) {
        self.handed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn local(&self) -> &Addr {
        &self.local
    }

    pub(crate) fn peer(&self) -> &Addr {
        &self.peer
    }

    /// Marks it down, for the reason that reads and writes report from now on, and frees its
    /// port. Returns whether it was up: the caller then has to let go of its streams.
    pub(crate) fn mark(&self, why: Failure) -> bool {
        let first = self.why.set(why).is_ok();
        if first {
            self.port.free();
            tracing::debug!(conn = ?self, why = self.why.get().map(display), "down");
        }
        first
    }

    /// Takes the streams away: when the result is dropped, the peer sees the end, or a cut
    /// if no caller ever got the connection.
    pub(crate) fn let_go(&self) -> (TakenStream<Reader>, TakenStream<Writer>) {
        if !self.handed.load(Ordering::Relaxed) {
            self.cut();
        }
        (self.reader.take_away(), self.writer.take_away())
    }

    /// Marks it and lets go of its streams: the port is free before the peer can know.
    pub(crate) fn go_down(&self, why: Failure) {
        if self.mark(why) {
            drop(self.let_go());
        }
    }

    /// Goes down as its owner asked, and has the peer see a cut.
    pub(crate) fn abort(&self) {
        if self.mark(Cause::SocketDown.into()) {
            self.cut();
            drop(self.let_go());
        }
    }

    /// From here on, dropping the streams cuts them.
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

    /// As the engine's stream answers.
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

    /// Puts the operation and both addresses into the error of a poll. `None` is a stream
    /// that was taken away.
    fn report<T>(&self, op: Op, done: Option<io::Result<T>>) -> Poll<io::Result<T>> {
        Poll::Ready(match done {
            Some(Ok(value)) => Ok(value),
            Some(Err(err)) => {
                // After a close, the engine's error is a consequence and not the cause.
                let why = self.why.get().cloned();
                Err(self.error(op, why.unwrap_or_else(|| failure(err))))
            }
            None => {
                // Without a reason only this direction was ended, by dropping its handle.
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

impl Drop for ConnInner {
    fn drop(&mut self) {
        self.go_down(Cause::SocketDown.into());
    }
}

impl std::fmt::Debug for ConnInner {
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

/// The failure for an error of an engine's stream.
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
