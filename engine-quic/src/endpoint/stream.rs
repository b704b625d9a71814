//! Streams: the two halves of a connection, and the guard of an unfinished one.
//!
//! Owns what dropping means in each state, and the kinds of the errors that
//! reading and writing report. Never interprets the bytes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream, VarInt, WriteError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use virtnet_core::{Abort, ByteStream};

use crate::config::transport::StreamCode;
use crate::endpoint::EndpointInner;
use crate::endpoint::linger::{Lingerer, Lingerers};
use crate::endpoint::pool::PoolUse;
use crate::endpoint::stream_limits::StreamPermit;

/// A stream whose handshake has not succeeded.
///
/// Dropping it resets both directions. Dropping QUIC's own types would *finish*
/// the writing one, and an aborted handshake would look like a clean end.
pub(crate) struct HandshakeStream {
    halves: Option<(RecvStream, SendStream)>,
    code: StreamCode,
}

impl HandshakeStream {
    /// Guards a stream; `code` says what dropping it means.
    pub(crate) fn new((send, recv): (SendStream, RecvStream), code: StreamCode) -> HandshakeStream {
        HandshakeStream {
            halves: Some((recv, send)),
            code,
        }
    }

    /// The directions, for the handshake.
    pub(crate) fn halves(&mut self) -> (&mut RecvStream, &mut SendStream) {
        let (recv, send) = self.halves.as_mut().expect("only settling takes them");
        (recv, send)
    }

    /// Resets the stream with another code than it would be by default.
    pub(crate) fn reset(mut self, code: StreamCode) {
        self.code = code;
    }

    /// Ends the stream cleanly, and has what was written delivered: a refusal.
    pub(crate) fn finish(self, guard: StreamGuard, host: &EndpointInner) {
        drop(self.into_halves(guard, host));
    }

    /// A connection's stream: from here on it is the core that ends or cuts it.
    pub(crate) fn into_byte_stream(self, guard: StreamGuard, host: &EndpointInner) -> ByteStream {
        let (reader, writer) = self.into_halves(guard, host);
        let abort_handle = Arc::clone(&reader.abort_handle);
        ByteStream::with_abort(reader, writer, abort_handle)
    }

    fn into_halves(mut self, guard: StreamGuard, host: &EndpointInner) -> (Reader, Writer) {
        let (recv, send) = self.halves.take().expect("only settling takes them");
        let guard = Arc::new(guard);
        let abort_handle = Arc::new(AbortHandle {
            error_reported: AtomicBool::new(false),
            aborted: AtomicBool::new(false),
            lingerers: Arc::downgrade(&host.lingerers),
        });
        let reader = Reader {
            recv,
            ended: None,
            guard: Arc::clone(&guard),
            abort_handle: Arc::clone(&abort_handle),
        };
        let writer = Writer {
            open: Some((send, guard)),
            wrote: false,
            cut: false,
            abort_handle,
            lingerers: Arc::clone(&host.lingerers),
        };
        (reader, writer)
    }
}

impl Drop for HandshakeStream {
    fn drop(&mut self) {
        if let Some((mut recv, mut send)) = self.halves.take() {
            // An error only says that the direction has ended already.
            let _ = send.reset(self.code.into());
            let _ = recv.stop(self.code.into());
        }
    }
}

/// What a stream keeps alive: the dialer's use of the pooled connection, or the
/// acceptor's count of it.
pub(crate) enum StreamGuard {
    Dialed(PoolUse),
    Accepted(StreamPermit),
    /// A refused stream, which was not counted.
    Uncounted,
}

impl StreamGuard {
    pub(crate) fn conn(&self) -> Option<&Connection> {
        match self {
            StreamGuard::Dialed(pool_use) => Some(pool_use.conn()),
            StreamGuard::Accepted(permit) => Some(permit.conn()),
            StreamGuard::Uncounted => None,
        }
    }
}

/// What the halves of a connection, and what is left of them, know of each other.
pub(crate) struct AbortHandle {
    /// Either half has reported an error: the loss of the peer is no news.
    error_reported: AtomicBool,
    /// Dropping a half cuts it.
    aborted: AtomicBool,
    /// Where the writer is once it was dropped.
    lingerers: Weak<Lingerers>,
}

impl AbortHandle {
    fn note_error(&self) {
        self.error_reported.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::Acquire)
    }
}

impl Abort for AbortHandle {
    fn abort(&self) {
        self.aborted.store(true, Ordering::Release);
        if let Some(lingerers) = self.lingerers.upgrade() {
            lingerers.abort(self);
        }
    }
}

/// The reading half.
struct Reader {
    recv: RecvStream,
    /// How it ended. QUIC's stream reports a reset only once, and end-of-file
    /// from then on.
    ended: Option<Result<(), io::ErrorKind>>,
    guard: Arc<StreamGuard>,
    abort_handle: Arc<AbortHandle>,
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(ended) = self.ended {
            return Poll::Ready(ended.map_err(Into::into));
        }
        let room = buf.remaining();
        match ready!(self.recv.poll_read_buf(cx, buf)) {
            Ok(()) => {
                if room > 0 && buf.remaining() == room {
                    self.ended = Some(Ok(()));
                }
                Poll::Ready(Ok(()))
            }
            Err(err) => {
                let kind = read_kind(&err);
                self.ended = Some(Err(kind));
                self.abort_handle.note_error();
                Poll::Ready(Err(kind.into()))
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.abort_handle.is_aborted() {
            // An error only says that it has ended already.
            let _ = self.recv.stop(StreamCode::Aborted.into());
        }
        // Else QUIC's stream tells the peer to stop when it is dropped.
        if let (None, StreamGuard::Accepted(permit)) = (&self.ended, &*self.guard) {
            permit.keep_counted();
        }
    }
}

/// The writing half.
struct Writer {
    /// Taken by the drop alone.
    open: Option<(SendStream, Arc<StreamGuard>)>,
    /// There is, or was, something to deliver.
    wrote: bool,
    /// The peer has cut the connection. QUIC's stream reports it only once.
    cut: bool,
    abort_handle: Arc<AbortHandle>,
    lingerers: Arc<Lingerers>,
}

impl Writer {
    fn send(&mut self) -> &mut SendStream {
        &mut self.open.as_mut().expect("only the drop takes it").0
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let written = ready!(Pin::new(self.send()).poll_write(cx, buf));
        match &written {
            Ok(_) => self.wrote = true,
            Err(_) => self.abort_handle.note_error(),
        }
        if let Err(WriteError::Stopped(code)) = written {
            self.cut = is_cut(code);
            // Says that this direction is over, which gives the peer its
            // stream's permit back.
            let Writer {
                open, lingerers, ..
            } = &mut *self;
            let (send, guard) = open.as_mut().expect("only the drop takes it");
            lingerers.give_up(send, code, guard);
        }
        Poll::Ready(written.map_err(|err| write_kind(&err).into()))
    }

    /// One after the other, as long as there is room: each is copied anyway.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut all = 0;
        for buf in bufs.iter().filter(|buf| !buf.is_empty()) {
            match self.as_mut().poll_write(cx, buf) {
                Poll::Ready(Ok(written)) => {
                    all += written;
                    if written < buf.len() {
                        break;
                    }
                }
                // What was written is said first. The next write comes here again.
                _ if all > 0 => break,
                nothing => return nothing,
            }
        }
        Poll::Ready(Ok(all))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // An error only says that it was shut down or reset before.
        let _ = self.send().finish();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Writer {
    /// Ends the stream, and has what was written delivered, unless it was aborted.
    fn drop(&mut self) {
        if let Some((send, guard)) = self.open.take() {
            self.lingerers.add(Lingerer {
                send,
                guard,
                wrote: self.wrote,
                report_loss: self.wrote
                    && !self.abort_handle.error_reported.load(Ordering::Relaxed),
                abort_handle: Arc::clone(&self.abort_handle),
            });
        }
    }
}

/// Whether a peer that stops reading with this code has cut the connection, and not
/// closed it.
fn is_cut(code: VarInt) -> bool {
    code != VarInt::from_u32(0)
}

fn read_kind(err: &ReadError) -> io::ErrorKind {
    match err {
        ReadError::ConnectionLost(ConnectionError::TimedOut) => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::ConnectionReset,
    }
}

fn write_kind(err: &WriteError) -> io::ErrorKind {
    match err {
        WriteError::ConnectionLost(ConnectionError::TimedOut) => io::ErrorKind::TimedOut,
        // The peer closed everything in order: nobody reads any more.
        WriteError::ConnectionLost(ConnectionError::ApplicationClosed(_)) => {
            io::ErrorKind::BrokenPipe
        }
        WriteError::Stopped(code) if is_cut(*code) => io::ErrorKind::ConnectionReset,
        WriteError::Stopped(_) | WriteError::ClosedStream => io::ErrorKind::BrokenPipe,
        _ => io::ErrorKind::ConnectionReset,
    }
}
