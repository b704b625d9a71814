//! The connections of the in-memory engine: two pipes, whose bytes may arrive later.
//!
//! Owns both directions. Never decides about a delay: the sender's table does.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::faults::{BLOCK, Delays};
use crate::in_memory::late::{Queue, SentLater};
use crate::in_memory::life::{Life, Lives, LivingReader, LivingWriter};
use crate::{Abort, Addr, ByteStream};

/// The buffer size of one direction of a pipe, in bytes. A writer waits when it is full.
pub(crate) const CAPACITY: usize = 64 * 1024;

/// One end of a connection: its address, the delays of what it sends, and its host's life.
pub(crate) struct End<'a> {
    pub(crate) addr: &'a Addr,
    pub(crate) later: &'a Arc<SentLater>,
    pub(crate) life: &'a Arc<Life>,
}

/// Two streams, each of which reads what the other writes: the first is `one`'s.
///
/// Each direction has its own duplex pipe, used one way only, so that dropping one
/// end of a direction is visible at its other end. If a host crashes, its peer's end times out after
/// `idle`.
pub(crate) fn pipes(one: &End<'_>, other: &End<'_>, idle: Duration) -> (ByteStream, ByteStream) {
    let lives = Lives::new([one.life, other.life].map(Arc::clone), idle);
    let shared = Arc::new(Shared {
        cut: AtomicBool::new(false),
        ways: [Transit::new(one, other), Transit::new(other, one)],
    });
    let (writer_a, reader_b) = direction(&shared, 0);
    let (writer_b, reader_a) = direction(&shared, 1);
    let end = |end, reader, writer| {
        let reader = LivingReader {
            reader,
            lives: Arc::clone(&lives),
            end,
            timer: None,
        };
        let writer = LivingWriter {
            writer,
            lives: Arc::clone(&lives),
            end,
            lost: 0,
            timer: None,
        };
        ByteStream::with_abort(reader, writer, Arc::clone(&shared) as Arc<dyn Abort>)
    };
    (end(0, reader_a, writer_a), end(1, reader_b, writer_b))
}

/// Both sides of a direction.
fn direction(shared: &Arc<Shared>, way: usize) -> (Writer, Reader) {
    let (near, far) = duplex(CAPACITY);
    let [side, far] = [near, far].map(|pipe| Side {
        pipe,
        shared: Arc::clone(shared),
        way,
        carried: 0,
    });
    let delays = (0, None);
    let reader = Reader {
        side: far,
        timer: None,
    };
    (Writer { side, delays }, reader)
}

/// What the ends of a connection share.
struct Shared {
    /// It was cut, by either end. The end that cut it then drops its halves, which wakes the
    /// other end.
    cut: AtomicBool,
    ways: [Transit; 2],
}

impl Abort for Shared {
    fn abort(&self) {
        self.cut.store(true, Ordering::Release);
    }
}

/// What is on its way from one address to another.
struct Transit {
    later: Arc<SentLater>,
    from: Addr,
    to: Addr,
    /// Something in the queue may be on its way.
    late: AtomicBool,
    /// Held while one side reads or writes, as long as something is late.
    queue: Mutex<Queue>,
}

impl Transit {
    fn new(from: &End<'_>, to: &End<'_>) -> Transit {
        Transit {
            later: Arc::clone(from.later),
            from: from.addr.clone(),
            to: to.addr.clone(),
            late: AtomicBool::new(false),
            queue: Mutex::default(),
        }
    }
}

/// One side of one direction.
struct Side {
    pipe: DuplexStream,
    shared: Arc<Shared>,
    /// Which way of the connection.
    way: usize,
    /// How many bytes this side has written or read.
    carried: u64,
}

impl Side {
    fn check(&self) -> io::Result<()> {
        match self.shared.cut.load(Ordering::Acquire) {
            true => Err(io::ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        }
    }

    /// Some bytes are late, or may be soon.
    fn is_late(&self) -> bool {
        let transit = self.transit();
        transit.later.any() || transit.late.load(Ordering::Relaxed)
    }

    fn transit(&self) -> &Transit {
        &self.shared.ways[self.way]
    }
}

/// The writing side of a direction.
struct Writer {
    side: Side,
    /// The delays of a generation of the sender's table.
    delays: (u64, Option<Delays>),
}

/// The reading side of a direction.
struct Reader {
    side: Side,
    /// Only while it waits for bytes that are on their way.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Writer {
    /// Writes, and notes when the bytes arrive. An error is a cut if the other end was cut and
    /// dropped after the check.
    fn write(
        &mut self,
        write: impl FnOnce(Pin<&mut DuplexStream>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.side.check()?;
        // So that nobody reads the bytes before it is known when they arrive.
        let late = self.side.is_late().then(|| Arc::clone(&self.side.shared));
        let late = late.as_ref().map(|shared| &shared.ways[self.side.way]);
        let mut queue = late.map(|transit| transit.queue.lock());
        let written = ready!(write(Pin::new(&mut self.side.pipe)));
        let count = match written {
            Ok(count) => count as u64,
            Err(err) => return Poll::Ready(Err(self.side.check().err().unwrap_or(err))),
        };
        if let Some(queue) = &mut queue {
            self.send(queue, count);
        }
        self.side.carried += count;
        Poll::Ready(written)
    }

    /// `count` bytes are on their way: each block of them has a delay of its own.
    fn send(&mut self, queue: &mut Queue, count: u64) {
        let (now, end) = (Instant::now(), self.side.carried + count);
        let mut from = self.side.carried;
        if self.delays().is_none() && queue.late.is_empty() {
            return;
        }
        self.side.transit().late.store(true, Ordering::Relaxed);
        while from < end {
            let to = end.min((from / BLOCK + 1) * BLOCK);
            queue.push(from, to, self.arrives(from, now));
            from = to;
        }
    }

    /// When a byte that is sent now arrives.
    fn arrives(&self, offset: u64, now: Instant) -> Instant {
        let (_, delays) = &self.delays;
        let late = delays.as_ref();
        late.map_or(now, |delays| now + delays.of(offset / BLOCK, now))
    }

    /// The delays in force.
    fn delays(&mut self) -> Option<&Delays> {
        let transit = self.side.transit();
        let generation = transit.later.generation.load(Ordering::Relaxed);
        if self.delays.0 != generation {
            let delays = transit.later.delays(&transit.from, &transit.to);
            self.delays = (generation, delays);
        }
        self.delays.1.as_ref()
    }

    /// The end is on its way, behind all bytes.
    fn end(&mut self) {
        if !self.side.is_late() {
            return;
        }
        let (shared, way) = (Arc::clone(&self.side.shared), self.side.way);
        let transit = &shared.ways[way];
        let mut queue = transit.queue.lock();
        if queue.end.is_none() && (self.delays().is_some() || !queue.late.is_empty()) {
            let at = self.arrives(self.side.carried, Instant::now());
            queue.end = Some(queue.in_order(at));
            transit.late.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

impl Reader {
    /// Reads what has arrived. Pending with a timer, if something is on its way.
    fn read_arrived(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (shared, way) = (Arc::clone(&self.side.shared), self.side.way);
        let transit = &shared.ways[way];
        loop {
            let at = {
                let mut queue = transit.queue.lock();
                match queue.arrived(self.side.carried, Instant::now()) {
                    Ok(most) => {
                        self.timer = None;
                        let most = usize::try_from(most).unwrap_or(usize::MAX);
                        let read = self.read_at_most(most, cx, buf);
                        if queue.late.is_empty() && queue.end.is_none() {
                            transit.late.store(false, Ordering::Relaxed);
                        }
                        return read;
                    }
                    Err(at) => at,
                }
            };
            let timer = match &mut self.timer {
                Some(timer) if timer.deadline() == at => timer,
                timer => timer.insert(Box::pin(sleep_until(at))),
            };
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
        }
    }

    fn read_at_most(
        &mut self,
        most: usize,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = most.min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.side.pipe).poll_read(cx, &mut part))?;
        let count = part.filled().len();
        buf.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.side.check()?;
        let before = buf.filled().len();
        ready!(match self.side.is_late() {
            true => self.read_arrived(cx, buf),
            false => Pin::new(&mut self.side.pipe).poll_read(cx, buf),
        })?;
        let count = buf.filled().len() - before;
        self.side.carried += count as u64;
        if count == 0 {
            // The other end may have been cut and dropped after the first check.
            self.side.check()?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(|pipe| pipe.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(|pipe| pipe.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.side.pipe.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.side.check()?;
        Pin::new(&mut self.side.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.side.check()?;
        self.end();
        Pin::new(&mut self.side.pipe).poll_shutdown(cx)
    }
}
