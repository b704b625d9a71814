//! Byte streams of the simulated engine: small, so that writers block, and with a cut.
//! Never wakes a task under its lock, and never delays data.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use virtnet_core::{Abort, ByteStream};

/// One direction.
#[derive(Default)]
struct Bytes {
    buf: VecDeque<u8>,
    capacity: usize,
    ended: bool,
    unread: bool,
    cut: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone)]
pub(crate) struct Pipe(Arc<Mutex<Bytes>>);

/// Is counted until it is dropped.
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(crate) fn new(count: &Arc<AtomicUsize>) -> Counted {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pipe {
    pub(crate) fn new(capacity: usize) -> Pipe {
        Pipe(Arc::new(Mutex::new(Bytes {
            capacity,
            ..Bytes::default()
        })))
    }

    /// Both ends report that it was cut.
    pub(crate) fn cut(&self) {
        self.change(|bytes| bytes.cut = true);
    }

    /// Makes a change and wakes both ends.
    fn change(&self, change: impl FnOnce(&mut Bytes)) {
        let wakers = {
            let mut bytes = self.0.lock().unwrap();
            change(&mut bytes);
            [bytes.reader.take(), bytes.writer.take()]
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

/// One end of a connection: reads from `from`, writes to `to`; each half counts with `live`.
pub(crate) fn end(from: &Pipe, to: &Pipe, live: &Arc<AtomicUsize>) -> ByteStream {
    let reader = Reader(from.clone(), Counted::new(live));
    let writer = Writer(to.clone(), Counted::new(live));
    ByteStream::with_abort(reader, writer, Arc::new(Both([from.clone(), to.clone()])))
}

/// The two directions of a connection, to be cut.
struct Both([Pipe; 2]);

impl Abort for Both {
    fn abort(&self) {
        self.0.iter().for_each(Pipe::cut);
    }
}

struct Reader(Pipe, #[expect(dead_code, reason = "it counts")] Counted);
struct Writer(Pipe, #[expect(dead_code, reason = "it counts")] Counted);

fn was_cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "cut by the seed")
}

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut read = Poll::Pending;
        let mut bytes = self.0.0.lock().unwrap();
        let some = buf.remaining().min(bytes.buf.len());
        if bytes.cut {
            return Poll::Ready(Err(was_cut()));
        } else if some > 0 {
            for byte in bytes.buf.drain(..some) {
                buf.put_slice(&[byte]);
            }
            read = Poll::Ready(Ok(()));
        } else if bytes.ended {
            return Poll::Ready(Ok(()));
        } else {
            bytes.reader = Some(cx.waker().clone());
        }
        let room = bytes.writer.take_if(|_| read.is_ready());
        drop(bytes);
        room.into_iter().for_each(Waker::wake);
        read
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.change(|bytes| bytes.unread = true);
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut bytes = self.0.0.lock().unwrap();
        if bytes.cut {
            return Poll::Ready(Err(was_cut()));
        } else if bytes.unread || bytes.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let some = buf.len().min(bytes.capacity - bytes.buf.len());
        if some == 0 {
            bytes.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        bytes.buf.extend(&buf[..some]);
        let reader = bytes.reader.take();
        drop(bytes);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(some))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.0.lock().unwrap().cut {
            return Poll::Ready(Err(was_cut()));
        }
        self.0.change(|bytes| bytes.ended = true);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.change(|bytes| bytes.ended = true);
    }
}
