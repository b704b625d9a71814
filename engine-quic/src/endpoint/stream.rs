//! Streams: the two halves of a connection, and a stream during its handshake.
//!
//! Owns what dropping does in each state, and which `io::ErrorKind` reading and writing
//! report. Never interprets the bytes.

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
use crate::wire::handshake::DialReader;

/// A stream whose handshake has not succeeded yet.
///
/// Dropping it resets both directions. Dropping a `quinn::SendStream` would *finish* the
/// stream, and an aborted handshake would look like a regular end.
pub(crate) struct HandshakeStream {
    halves: Option<(RecvStream, SendStream)>,
    code: StreamCode,
}

impl HandshakeStream {
    /// Dropping it resets the stream with `code`.
    pub(crate) fn new((send, recv): (SendStream, RecvStream), code: StreamCode) -> HandshakeStream {
        HandshakeStream {
            halves: Some((recv, send)),
            code,
        }
    }

    /// The directions, for the handshake.
    pub(crate) fn halves(&mut self) -> (&mut RecvStream, &mut SendStream) {
        let (recv, send) = self.halves.as_mut().expect("only into_halves takes them");
        (recv, send)
    }

    /// Resets the stream with another code than dropping it would.
    pub(crate) fn reset(mut self, code: StreamCode) {
        self.code = code;
    }

    /// Finishes the stream, and delivers written data: a refusal.
    pub(crate) fn finish(self, guard: StreamGuard, host: &EndpointInner) {
        drop(self.into_halves(guard, host));
    }

    /// The stream of a connection. From now on core finishes or aborts it. `wrote`: bytes
    /// of the connection were written on it already.
    pub(crate) fn into_byte_stream(
        self,
        wrote: bool,
        guard: StreamGuard,
        host: &EndpointInner,
    ) -> ByteStream {
        let (reader, mut writer) = self.into_halves(guard, host);
        writer.wrote = wrote;
        let abort_handle = Arc::clone(&reader.abort_handle);
        ByteStream::with_abort(reader, writer, abort_handle)
    }

    fn into_halves(mut self, guard: StreamGuard, host: &EndpointInner) -> (Reader, Writer) {
        let (recv, send) = self.halves.take().expect("only into_halves takes them");
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
            cut: None,
            abort_handle,
            lingerers: Arc::clone(&host.lingerers),
        };
        (reader, writer)
    }
}

impl Drop for HandshakeStream {
    fn drop(&mut self) {
        if let Some((mut recv, mut send)) = self.halves.take() {
            // An error only says that this direction has ended already.
            let _ = send.reset(self.code.into());
            let _ = recv.stop(self.code.into());
        }
    }
}

/// What a stream holds until it is delivered: the dialer's use of the pooled connection,
/// or the acceptor's permit.
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

/// Aborts a connection. Its halves share it, also while the writing half lingers.
pub(crate) struct AbortHandle {
    /// Either half has reported an error, so the close need not report the loss of the
    /// peer.
    error_reported: AtomicBool,
    /// Dropping a half resets the stream.
    aborted: AtomicBool,
    /// Where the writing half is after it was dropped.
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
    /// How it ended. quinn reports a reset only once, and end-of-file afterwards.
    ended: Option<Result<(), Cut>>,
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
        let remaining = buf.remaining();
        match ready!(self.recv.poll_read_buf(cx, buf)) {
            Ok(()) => {
                if remaining > 0 && buf.remaining() == remaining {
                    self.ended = Some(Ok(()));
                }
                Poll::Ready(Ok(()))
            }
            Err(err) => {
                let cut = Cut::of_read(&err);
                self.ended = Some(Err(cut));
                self.abort_handle.note_error();
                Poll::Ready(Err(cut.into()))
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.abort_handle.is_aborted() {
            // An error only says that this direction has ended already.
            let _ = self.recv.stop(StreamCode::Aborted.into());
        }
        // Otherwise dropping quinn's stream sends STOP_SENDING with code 0.
        if let (None, StreamGuard::Accepted(permit)) = (&self.ended, &*self.guard) {
            permit.keep_counted();
        }
    }
}

/// The writing half.
struct Writer {
    /// `None` only during the drop.
    open: Option<(SendStream, Arc<StreamGuard>)>,
    /// Data was written.
    wrote: bool,
    /// The peer has cut the connection. quinn reports it only once.
    cut: Option<Cut>,
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
        if let Some(cut) = self.cut {
            return Poll::Ready(Err(cut.into()));
        }
        let written = ready!(Pin::new(self.send()).poll_write(cx, buf));
        match &written {
            Ok(_) => self.wrote = true,
            Err(_) => self.abort_handle.note_error(),
        }
        if let Err(WriteError::Stopped(code)) = written {
            self.cut = is_cut(code).then(|| Cut::with(code));
            // The reset ends this direction, so that the peer can release the stream's
            // permit.
            let Writer {
                open, lingerers, ..
            } = &mut *self;
            let (send, guard) = open.as_mut().expect("only the drop takes it");
            lingerers.give_up(send, code, guard);
        }
        Poll::Ready(written.map_err(|err| write_error(&err)))
    }

    /// Writes one buffer after the other until one does not fit. This costs nothing more:
    /// quinn copies each one in any case.
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
                // Reports the bytes written so far; the next write finds the error again.
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
        // An error only says that this direction was shut down or reset before.
        let _ = self.send().finish();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Writer {
    /// Finishes the stream and delivers written data, unless it was aborted.
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

/// Whether a peer that stops reading with this code has cut the connection. With code 0
/// it has only dropped its reading half.
fn is_cut(code: VarInt) -> bool {
    code != VarInt::from_u32(0)
}

/// Why a direction ended, other than by its end.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Kind(io::ErrorKind),
    /// The dialer gave up its dial, after the acceptor had taken it.
    GivenUp,
}

impl Cut {
    /// The peer cut it with this code.
    fn with(code: VarInt) -> Cut {
        match code == StreamCode::GivenUp.into() {
            true => Cut::GivenUp,
            false => Cut::Kind(io::ErrorKind::ConnectionReset),
        }
    }

    fn of_read(err: &ReadError) -> Cut {
        match err {
            ReadError::ConnectionLost(ConnectionError::TimedOut) => {
                Cut::Kind(io::ErrorKind::TimedOut)
            }
            ReadError::Reset(code) => Cut::with(*code),
            _ => Cut::Kind(io::ErrorKind::ConnectionReset),
        }
    }
}

impl From<Cut> for io::Error {
    fn from(cut: Cut) -> io::Error {
        match cut {
            Cut::Kind(kind) => kind.into(),
            Cut::GivenUp => io::Error::new(
                io::ErrorKind::ConnectionReset,
                "the dialer gave up its dial",
            ),
        }
    }
}

fn write_error(err: &WriteError) -> io::Error {
    let kind = match err {
        WriteError::ConnectionLost(ConnectionError::TimedOut) => io::ErrorKind::TimedOut,
        // The peer closed the QUIC connection on purpose: nobody reads any more.
        WriteError::ConnectionLost(ConnectionError::ApplicationClosed(_)) => {
            io::ErrorKind::BrokenPipe
        }
        WriteError::Stopped(code) if is_cut(*code) => return Cut::with(*code).into(),
        WriteError::Stopped(_) | WriteError::ClosedStream => io::ErrorKind::BrokenPipe,
        _ => io::ErrorKind::ConnectionReset,
    };
    kind.into()
}

impl DialReader for RecvStream {
    async fn given_up(&mut self) {
        // An error says that the QUIC connection is lost. `None` comes only after this side
        // has stopped reading.
        let _ = self.received_reset().await;
    }
}
