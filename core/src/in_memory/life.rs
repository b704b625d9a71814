//! Hosts that crash, over pipes: their peers hear nothing, and then time out.
//!
//! Owns what an end of a connection sees of a peer that crashed. Never crashes a host: the engine
//! does.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::in_memory::stream::CAPACITY;

/// The life of one host, until it crashes. A host that is made again has another one.
#[derive(Debug, Default)]
pub(crate) struct Life(OnceLock<Instant>);

impl Life {
    /// It ends now.
    pub(crate) fn crash(&self) {
        let _ = self.0.set(Instant::now());
    }

    /// When it ended by a crash.
    pub(crate) fn crashed(&self) -> Option<Instant> {
        self.0.get().copied()
    }
}

/// What both ends of a connection know of each other's lives.
pub(crate) struct Lives {
    hosts: [Arc<Life>; 2],
    /// Each end's writer has ended, and its reader is closed, while its host lived.
    ended: [AtomicBool; 2],
    closed: [AtomicBool; 2],
    /// An end is silent for so long before it times out.
    idle: Duration,
}

impl Lives {
    pub(crate) fn new(hosts: [Arc<Life>; 2], idle: Duration) -> Arc<Lives> {
        Arc::new(Lives {
            hosts,
            ended: Default::default(),
            closed: Default::default(),
            idle,
        })
    }

    /// When `end` times out, if its peer crashed.
    fn times_out(&self, end: usize) -> Option<Instant> {
        Some(self.hosts[1 - end].crashed()? + self.idle)
    }

    /// Notes it unless the host of `end` has crashed.
    fn note(&self, flags: &[AtomicBool; 2], end: usize) {
        if self.hosts[end].crashed().is_none() {
            flags[end].store(true, Ordering::Release);
        }
    }
}

/// The reader of one end.
pub(crate) struct LivingReader<R> {
    pub(crate) reader: R,
    pub(crate) lives: Arc<Lives>,
    pub(crate) end: usize,
    /// Only while it waits for its time limit.
    pub(crate) timer: Option<Pin<Box<Sleep>>>,
}

impl<R: AsyncRead + Unpin> AsyncRead for LivingReader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.reader).poll_read(cx, buf));
        if read.is_ok() && (buf.filled().len() > before || buf.remaining() == 0) {
            return Poll::Ready(read);
        }
        // An end or a cut: which a host that crashed sends no more.
        let is_sent = self.lives.ended[1 - self.end].load(Ordering::Acquire);
        match self.lives.times_out(self.end).filter(|_| !is_sent) {
            Some(at) => wait(&mut self.timer, at, cx),
            None => Poll::Ready(read),
        }
    }
}

impl<R> Drop for LivingReader<R> {
    fn drop(&mut self) {
        self.lives.note(&self.lives.closed, self.end);
    }
}

/// The writer of one end.
pub(crate) struct LivingWriter<W> {
    pub(crate) writer: W,
    pub(crate) lives: Arc<Lives>,
    pub(crate) end: usize,
    /// Bytes that were written to a host that had crashed: as many as a buffer takes.
    pub(crate) lost: usize,
    pub(crate) timer: Option<Pin<Box<Sleep>>>,
}

impl<W: AsyncWrite + Unpin> LivingWriter<W> {
    /// What a failed write of `count` bytes reports where the peer crashed.
    fn silent(
        &mut self,
        failed: io::Error,
        count: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let is_closed = self.lives.closed[1 - self.end].load(Ordering::Acquire);
        let Some(at) = self.lives.times_out(self.end).filter(|_| !is_closed) else {
            return Poll::Ready(Err(failed));
        };
        let taken = count.min(CAPACITY - self.lost);
        if Instant::now() < at && (taken > 0 || count == 0) {
            self.lost += taken;
            return Poll::Ready(Ok(taken));
        }
        wait(&mut self.timer, at, cx).map_ok(|()| 0)
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for LivingWriter<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match ready!(Pin::new(&mut self.writer).poll_write(cx, buf)) {
            Err(failed) => self.silent(failed, buf.len(), cx),
            written => Poll::Ready(written),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match ready!(Pin::new(&mut self.writer).poll_write_vectored(cx, bufs)) {
            Err(failed) => self.silent(failed, bufs.iter().map(|buf| buf.len()).sum(), cx),
            written => Poll::Ready(written),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.writer.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.writer).poll_flush(cx)) {
            Err(failed) => self.silent(failed, 0, cx).map_ok(drop),
            flushed => Poll::Ready(flushed),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lives.note(&self.lives.ended, self.end);
        match ready!(Pin::new(&mut self.writer).poll_shutdown(cx)) {
            Err(failed) => self.silent(failed, 0, cx).map_ok(drop),
            shut => Poll::Ready(shut),
        }
    }
}

impl<W> Drop for LivingWriter<W> {
    fn drop(&mut self) {
        // Before the writer below is dropped, which is an end.
        self.lives.note(&self.lives.ended, self.end);
    }
}

/// Waits until `at`, and then reports that the connection has timed out.
fn wait(
    timer: &mut Option<Pin<Box<Sleep>>>,
    at: Instant,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
    ready!(timer.as_mut().poll(cx));
    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
}
