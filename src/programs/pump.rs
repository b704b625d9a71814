//! One forwarded connection: bytes both ways between a program's socket and a virtual
//! connection, until both directions have ended.
//!
//! Owns what each end of one side means for the other: an end-of-file is passed on as a
//! half-close; a reset or a cut resets the other side, never ends it cleanly. Holds at most
//! one buffer for each direction, and none while there is nothing to move. Never waits
//! for anything but the two sides.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use virtnet_core::{Cause, Conn, OpError};

use super::local::LocalStream;

/// The size of a buffer, in bytes.
const BUFFER: usize = 64 * 1024;

/// How many free buffers a thread keeps for its next connections.
const SPARE: usize = 8;

/// How often a connection moves bytes before others get their turn.
const ROUNDS: usize = 16;

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn take_buffer() -> Vec<u8> {
    let spare = BUFFERS.with_borrow_mut(Vec::pop);
    spare.unwrap_or_else(|| vec![0; BUFFER])
}

fn give_back(buffer: Vec<u8>) {
    BUFFERS.with_borrow_mut(|buffers| {
        if buffers.len() < SPARE && buffer.len() == BUFFER {
            buffers.push(buffer);
        }
    });
}

/// Where a direction failed.
enum DirectionError {
    Read(io::Error),
    Write(io::Error),
}

/// One direction of a connection.
#[derive(Default)]
struct Direction {
    /// What was read and not written yet: `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    at_end: bool,
    /// All was written and the end passed on, or nobody reads it any more.
    done: bool,
    bytes: u64,
}

impl Direction {
    /// A direction that begins with these bytes.
    fn new(first: Vec<u8>) -> Direction {
        Direction {
            end: first.len(),
            buffer: first,
            ..Direction::default()
        }
    }

    /// Ready when the direction has ended, or after some rounds with `Ok(false)`.
    fn poll(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, DirectionError>> {
        for _ in 0..ROUNDS {
            if self.start < self.end {
                let unsent = &self.buffer[self.start..self.end];
                match ready!(Pin::new(&mut *to).poll_write(cx, unsent)) {
                    Ok(0) => {
                        let err = io::ErrorKind::WriteZero.into();
                        return Poll::Ready(Err(DirectionError::Write(err)));
                    }
                    Ok(written) => self.start += written,
                    Err(err) => return Poll::Ready(Err(DirectionError::Write(err))),
                }
                continue;
            }
            if self.at_end {
                let ended = ready!(Pin::new(&mut *to).poll_shutdown(cx));
                return Poll::Ready(ended.map(|()| true).map_err(DirectionError::Write));
            }
            match ready!(self.poll_fill(from, cx)) {
                Ok(0) => self.at_end = true,
                Ok(read) => self.bytes += read as u64,
                Err(err) => return Poll::Ready(Err(DirectionError::Read(err))),
            }
        }
        Poll::Ready(Ok(false))
    }

    /// Reads into the buffer, which is empty; has none after it unless something was read.
    fn poll_fill(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut buffer = std::mem::take(&mut self.buffer);
        if buffer.len() != BUFFER {
            buffer = take_buffer();
        }
        let mut free = ReadBuf::new(&mut buffer);
        let polled = Pin::new(from).poll_read(cx, &mut free);
        let read = free.filled().len();
        (self.start, self.end) = (0, read);
        match read {
            0 => give_back(buffer),
            _ => self.buffer = buffer,
        }
        polled.map_ok(|()| read)
    }

    /// Nothing more is moved.
    fn stop(&mut self) {
        self.done = true;
        (self.start, self.end) = (0, 0);
        give_back(std::mem::take(&mut self.buffer));
    }
}

/// How a forwarded connection ended, with the numbers of bytes that were read at each side.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) from_program: u64,
    pub(super) from_network: u64,
    /// Why the connection was cut, unless both sides ended it.
    pub(super) cut: Option<String>,
}

/// The two sides of a forwarded connection. Dropping it before it has ended cuts both.
pub(super) struct Pump {
    conn: Conn,
    local: LocalStream,
    to_network: Direction,
    to_program: Direction,
    finished: bool,
}

impl Pump {
    /// `to_network` and `to_program` are sent before all that the sides send.
    pub(super) fn new(
        conn: Conn,
        local: LocalStream,
        to_network: Vec<u8>,
        to_program: Vec<u8>,
    ) -> Pump {
        Pump {
            conn,
            local,
            to_network: Direction::new(to_network),
            to_program: Direction::new(to_program),
            finished: false,
        }
    }

    /// Moves what can be moved. Ready when the connection has ended: then drop it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let failed = self.poll_to_network(cx).and_then(|out| {
            let back = self.poll_to_program(cx)?;
            Ok(out && back)
        });
        let cut = match failed {
            Ok(false) => return Poll::Pending,
            Ok(true) => {
                self.finished = true;
                self.local.finish();
                None
            }
            Err(why) => Some(why),
        };
        Poll::Ready(Ended {
            from_program: self.to_network.bytes,
            from_network: self.to_program.bytes,
            cut,
        })
    }

    /// Whether this direction has ended.
    fn poll_to_network(&mut self, cx: &mut Context<'_>) -> Result<bool, String> {
        let direction = &mut self.to_network;
        if direction.done {
            return Ok(true);
        }
        match direction.poll(&mut self.local, &mut self.conn, cx) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(false)) => {
                cx.waker().wake_by_ref();
                return Ok(false);
            }
            Poll::Ready(Ok(true)) => {}
            Poll::Ready(Err(DirectionError::Read(err))) => return Err(format!("program: {err}")),
            // The peer has closed its end. What it wrote before still comes; then this end is
            // closed, and the kernel resets a program that goes on writing.
            Poll::Ready(Err(DirectionError::Write(err))) if peer_closed(&err) => {}
            Poll::Ready(Err(DirectionError::Write(err))) => return Err(err.to_string()),
        }
        direction.stop();
        Ok(true)
    }

    /// Whether this direction has ended.
    fn poll_to_program(&mut self, cx: &mut Context<'_>) -> Result<bool, String> {
        let direction = &mut self.to_program;
        if direction.done {
            return Ok(true);
        }
        match direction.poll(&mut self.conn, &mut self.local, cx) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(false)) => {
                cx.waker().wake_by_ref();
                return Ok(false);
            }
            Poll::Ready(Ok(true)) => {}
            Poll::Ready(Err(DirectionError::Read(err))) => return Err(err.to_string()),
            // The program has closed its end. What it wrote before is read from its socket;
            // then the connection is closed, and its peer learns that nobody reads.
            Poll::Ready(Err(DirectionError::Write(err))) if program_closed(&err) => {}
            Poll::Ready(Err(DirectionError::Write(err))) => return Err(format!("program: {err}")),
        }
        direction.stop();
        Ok(true)
    }
}

fn peer_closed(err: &io::Error) -> bool {
    OpError::of(err).is_some_and(|err| err.cause() == Cause::BrokenPipe)
}

/// A reset after an end-of-file, or after an end-of-file and a reset. A reset alone is
/// `ConnectionReset`.
fn program_closed(err: &io::Error) -> bool {
    matches!(
        err.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected
    )
}

impl Drop for Pump {
    fn drop(&mut self) {
        if !self.finished {
            self.conn.abort();
        }
    }
}
