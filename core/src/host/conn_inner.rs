//! The state that the handles of a connection share: its two streams, and why it is down.
//!
//! Owns [`ConnInner`], [`OpenConn`] that closes it, and the causes of an engine's errors. Never buffers: bytes go straight
//! between caller and engine.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::Op;
use crate::host::gate::{Gate, Service};
use crate::host::half::{Half, TakenStream};
use crate::host::port::Port;
use crate::host::socket::Socket;
use crate::trace::conn_trace::{ConnTrace, Direction, Written};
use crate::{Abort, Addr, ByteStream, Cause, Failure, OpError};

pub(crate) type Reader = dyn AsyncRead + Send + Unpin;
pub(crate) type Writer = dyn AsyncWrite + Send + Unpin;

/// The state of one connection, which its handles use, and which its host can close.
pub(crate) struct ConnInner {
    peer: Addr,
    /// Why it is down, set once, before the streams are taken away.
    why: OnceLock<Failure>,
    /// Why a fault rule ended it, set once, before the streams are taken away. It keeps its port.
    fault: OnceLock<Box<Failure>>,
    pub(crate) gate: Gate,
    pub(crate) reader: Half<Reader>,
    pub(crate) writer: Half<Writer>,
    /// The peer will see, or has seen, the end of what this end writes.
    ended: AtomicBool,
    abort: Option<Arc<dyn Abort>>,
    /// A caller has the connection.
    handed: AtomicBool,
    /// If it is recorded.
    trace: Option<Box<ConnTrace>>,
    port: Arc<Port>,
}

impl ConnInner {
    /// Makes `port` one end of a connection, unless its host is down.
    pub(crate) fn open(
        port: Arc<Port>,
        peer: Addr,
        stream: ByteStream,
        service: Service,
        trace: Option<ConnTrace>,
    ) -> Result<OpenConn, Failure> {
        let context = port.host().context();
        let keep_open = context.keep_open()?;
        let stream = stream.into_parts();
        let open = OpenConn(Arc::new(ConnInner {
            peer: peer.clone(),
            why: OnceLock::new(),
            fault: OnceLock::new(),
            gate: Gate::new(&context.rules, service),
            reader: Half::new(stream.reader, keep_open.clone()),
            writer: Half::new(stream.writer, keep_open),
            ended: AtomicBool::new(false),
            abort: stream.abort,
            handed: AtomicBool::new(false),
            trace: trace.map(Box::new),
            port,
        }));
        let socket = Socket::Connected(peer, Arc::downgrade(&open.0));
        open.port.become_socket(socket)?;
        // From here on, whoever swaps rules finds it.
        open.meet_rules();
        Ok(open)
    }

    /// A caller has the connection from here on.
    pub(crate) fn hand(&self) {
        self.handed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn local(&self) -> &Addr {
        self.port.addr()
    }

    pub(crate) fn peer(&self) -> &Addr {
        &self.peer
    }

    /// Marks it down, for the reason that reads and writes report from now on, and frees its
    /// port. Returns whether it was up: the caller then has to let go of its streams.
    pub(crate) fn mark(&self, why: Failure) -> bool {
        let first = self.why.set(why).is_ok();
        if first {
            if let Some(trace) = &self.trace {
                trace.closing(self.gate.written.get(), self.gate.read.get());
            }
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

    /// A fault rule ends it: the peer sees a cut, and so does its owner.
    pub(crate) fn end_by_fault(&self, why: Failure) {
        if self.fault.set(Box::new(why)).is_ok() {
            tracing::debug!(conn = ?self, why = self.fault.get().map(display), "ended by a fault");
            self.cut();
            drop((self.reader.take_away(), self.writer.take_away()));
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
        self.record_end();
        drop(self.writer.take_away());
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, space) = (buf.filled().len(), buf.remaining() > 0);
        let mut half = self.reader.lock();
        // Under the lock: if rules are swapped later, this task is found waiting, and woken.
        let read = if self.gate.is_quiet() {
            let read = half.poll(cx, |stream, cx| Pin::new(stream).poll_read(cx, buf));
            self.gate.read.add(buf.filled().len() - before);
            read
        } else {
            drop(half);
            self.read_under_rules(cx, buf)
        };
        let read = ready!(read);
        if let (Some(trace), Some(Ok(())), true) = (&self.trace, &read, space) {
            trace.read(&buf.filled()[before..], self.gate.read.get());
        }
        self.report(Op::Read, read)
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, &Written::One(buf), |stream, cx| {
            Pin::new(stream).poll_write(cx, buf)
        })
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, &Written::Several(bufs), |stream, cx| {
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
        bytes: &Written<'_>,
        mut write: impl FnMut(&mut Writer, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.has_ended() {
            return Poll::Ready(Err(self.failed(Op::Write, Cause::BrokenPipe.into())));
        }
        let written = self.drive(cx, |stream, cx| {
            // Before the byte can reach the peer.
            let numbers = self.trace.as_ref().map(|trace| trace.before_write());
            let written = write(stream, cx);
            if let Poll::Ready(Ok(count)) = written {
                self.gate.written.add(count);
                if let (Some(trace), Some(numbers)) = (&self.trace, numbers) {
                    trace.written(bytes, count, self.gate.written.get(), numbers);
                }
            }
            written
        });
        self.report(Op::Write, ready!(written))
    }

    /// Polls the writing direction, as far as fault rules allow.
    fn drive<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnMut(&mut Writer, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<Option<io::Result<T>>> {
        let mut half = self.writer.lock();
        if self.gate.is_quiet() {
            return half.poll(cx, poll);
        }
        drop(half);
        self.write_under_rules(cx, poll)
    }

    /// The writing direction was shut down, and not taken away since.
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed) && self.writer.lock().is_there()
    }

    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.drive(cx, |stream, cx| Pin::new(stream).poll_flush(cx));
        self.report(Op::Write, ready!(flushed))
    }

    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_ended() {
            return Poll::Ready(Ok(()));
        }
        // Before the end can reach the peer, also if this call is not repeated.
        self.record_end();
        let shut = ready!(self.drive(cx, |stream, cx| Pin::new(stream).poll_shutdown(cx)));
        if let Some(Ok(())) = shut {
            self.ended.store(true, Ordering::Relaxed);
        }
        self.report(Op::Write, shut)
    }

    /// The writing direction is about to end.
    fn record_end(&self) {
        if let Some(trace) = &self.trace {
            trace.before_end(self.gate.written.get());
        }
    }

    /// Puts the operation and both addresses into the error of a poll. `None` is a stream
    /// that was taken away.
    fn report<T>(&self, op: Op, done: Option<io::Result<T>>) -> Poll<io::Result<T>> {
        Poll::Ready(match done {
            Some(Ok(value)) => Ok(value),
            Some(Err(err)) => {
                // After a close, the engine's error is a consequence and not the cause.
                let why = self.ended_by().cloned();
                Err(self.failed(op, why.unwrap_or_else(|| failure(err))))
            }
            None => {
                // Without a reason only this direction was ended, by dropping its handle.
                let why = self.ended_by().cloned();
                Err(self.failed(op, why.unwrap_or(Cause::SocketDown.into())))
            }
        })
    }

    /// Why it is down, or a fault rule ended it.
    fn ended_by(&self) -> Option<&Failure> {
        self.why.get().or(self.fault.get().map(|why| &**why))
    }

    /// The error of an operation that failed, which is recorded unless this end was closed.
    fn failed(&self, op: Op, failure: Failure) -> io::Error {
        if let (Some(trace), None) = (&self.trace, self.why.get()) {
            let (direction, carried) = match op {
                Op::Read => (Direction::Read, &self.gate.read),
                _ => (Direction::Write, &self.gate.written),
            };
            trace.failed(direction, carried.get(), failure.cause());
        }
        let (src, addr) = match op {
            Op::Read => (&self.peer, self.local()),
            _ => (self.local(), &self.peer),
        };
        OpError::new(op, src.network(), Some(src), Some(addr), failure).into()
    }
}

/// What users' handles of one connection hold together: dropping it closes the connection.
///
/// The connection's own drop would be too late: who visits it, such as a swap of fault rules, holds it for a moment.
pub(crate) struct OpenConn(Arc<ConnInner>);

impl std::ops::Deref for OpenConn {
    type Target = ConnInner;

    fn deref(&self) -> &ConnInner {
        &self.0
    }
}

impl Drop for OpenConn {
    fn drop(&mut self) {
        self.0.go_down(Cause::SocketDown.into());
    }
}

impl std::fmt::Debug for ConnInner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Conn({} {}-{})",
            self.local().network(),
            self.local(),
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
