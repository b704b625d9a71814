//! What one side of the handshake did to its stream, and whether its outcome agrees
//! with that.
//!
//! Owns no production code. Never shares code with the handshake, except for the
//! frames.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use super::*;
use crate::wire::handshake::DialReader;

/// What a side did to its stream.
#[derive(Default)]
pub(super) struct Seen {
    /// The bytes that were read and written, in order.
    pub(super) events: Vec<(bool, u8)>,
    /// The largest read buffer.
    largest: usize,
}

/// A stream that reads and writes a few bytes at a time, and records them. Clones are the
/// same stream.
#[derive(Clone)]
pub(super) struct Tap {
    inner: Arc<Mutex<Inner>>,
    step: usize,
    seen: Arc<Mutex<Seen>>,
}

struct Inner {
    stream: DuplexStream,
    /// Read ahead to find the end, and not handed out yet.
    ahead: VecDeque<u8>,
}

pub(super) const READ: bool = true;
const WRITTEN: bool = false;

impl Tap {
    pub(super) fn new(stream: DuplexStream, rng: &mut Rng) -> (Tap, Arc<Mutex<Seen>>) {
        let (step, seen) = (rng.one_of(&[1, 1, 2, 7, 2000]), Arc::default());
        let shown = Arc::clone(&seen);
        let ahead = VecDeque::new();
        let inner = Arc::new(Mutex::new(Inner { stream, ahead }));
        (Tap { inner, step, seen }, shown)
    }

    /// Its two directions.
    pub(super) fn halves(self) -> (Tap, Tap) {
        (self.clone(), self)
    }

    /// The same stream, and what it reads is recorded elsewhere.
    pub(super) fn unseen(self) -> Tap {
        let seen = Arc::default();
        Tap { seen, ..self }
    }

    fn saw(&self, what: bool, bytes: &[u8]) {
        let mut seen = self.seen.lock().unwrap();
        seen.events.extend(bytes.iter().map(|byte| (what, *byte)));
    }
}

impl Inner {
    fn poll_read(&mut self, cx: &mut Context<'_>, part: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, part);
        }
        let some = part.remaining().min(self.ahead.len());
        self.ahead
            .drain(..some)
            .for_each(|byte| part.put_slice(&[byte]));
        Poll::Ready(Ok(()))
    }

    /// Reads ahead until the end.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut bytes = [0; 64];
            let mut part = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part));
            if read.is_err() || part.filled().is_empty() {
                return Poll::Ready(());
            }
            self.ahead.extend(part.filled());
        }
    }
}

impl DialReader for Tap {
    async fn given_up(&mut self) {
        poll_fn(|cx| self.inner.lock().unwrap().poll_end(cx)).await;
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let largest = self.seen.lock().unwrap().largest.max(buf.remaining());
        self.seen.lock().unwrap().largest = largest;
        let mut bytes = vec![0; buf.remaining().min(self.step)];
        let mut part = ReadBuf::new(&mut bytes);
        ready!(self.inner.lock().unwrap().poll_read(cx, &mut part))?;
        buf.put_slice(part.filled());
        self.saw(READ, part.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        let part = &b[..b.len().min(self.step)];
        let mut inner = self.inner.lock().unwrap();
        let count = ready!(Pin::new(&mut inner.stream).poll_write(cx, part))?;
        drop(inner);
        self.saw(WRITTEN, &part[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Decodes a whole frame like the handshake does.
pub(in super::super) fn read(frame: &[u8]) -> Result<Hello, FrameError> {
    let [version, high, low, body @ ..] = frame else {
        return Err(FrameError::Truncated);
    };
    if *version != VERSION {
        return Err(FrameError::Version(*version));
    }
    match Hello::body_length([*high, *low])? {
        length if length > body.len() => Err(FrameError::Truncated),
        length if length < body.len() => Err(FrameError::Trailing),
        _ => Hello::decode(body, &[]),
    }
}

fn bytes_of(events: &[(bool, u8)], what: bool) -> Vec<u8> {
    let of = events.iter().filter(|event| event.0 == what);
    of.map(|event| event.1).collect()
}

fn events(parts: &[(bool, &[u8])]) -> Vec<(bool, u8)> {
    let each =
        |(what, bytes): &(bool, &[u8])| bytes.iter().map(|b| (*what, *b)).collect::<Vec<_>>();
    parts.iter().flat_map(each).collect()
}

/// Whether the bytes of an acceptor agree with its outcome.
pub(super) fn of_acceptor(
    met: &AcceptOutcome<Decided>,
    seen: &Seen,
    took: Duration,
    decision: Duration,
) -> bool {
    let read_bytes = bytes_of(&seen.events, READ);
    let wrote = bytes_of(&seen.events, WRITTEN);
    // The second byte's pair is the length; nothing is read past a first frame.
    let frame = match *read_bytes {
        [version, high, low, ..] if version == VERSION => {
            let body = usize::from(u16::from_be_bytes([high, low]));
            read_bytes.get(..HEADER + body)
        }
        _ => None,
    };
    let hello = frame.and_then(|frame| read(frame).ok());
    let rest = frame.map_or(&[][..], |frame| &read_bytes[frame.len()..]);
    // All of it was written, or as much as the dialer read.
    let refused = |refusal: Refusal, told: bool| {
        let reply = Reply::Refused(refusal).encode().to_vec();
        let later = [&Reply::Waiting.encode()[..], &reply].concat();
        let fits = |reply: Vec<u8>| reply == wrote || !told && reply.starts_with(&wrote);
        fits(reply) || fits(later)
    };
    let at_once = |refusal, told: &bool| refused(refusal, *told) && wrote.first() != Some(&0);
    let is_whole = |waiting: &[u8]| {
        let accepted = Reply::Accepted(PORT).encode();
        let frame = frame.unwrap_or_default();
        let parts = [(READ, frame), (WRITTEN, waiting), (WRITTEN, &accepted)];
        hello.is_some() && seen.events == events(&parts)
    };
    let is_whole = is_whole(&[]) || is_whole(&[0]);
    let bounded = took <= 2 * BOUND + decision && seen.largest <= MAX_BODY;
    let as_said = match met {
        AcceptOutcome::Connected(_) => is_whole,
        AcceptOutcome::Refused(refusal, told) => {
            hello.is_some() && rest.is_empty() && refused(*refusal, *told)
        }
        AcceptOutcome::Malformed(FrameError::Version(theirs), told) => {
            let refused = at_once(Refusal::Version(VERSION), told);
            read_bytes == [*theirs] && *theirs != VERSION && refused
        }
        AcceptOutcome::Malformed(FrameError::TooLong(_), told) => {
            read_bytes.len() == HEADER && at_once(Refusal::Malformed, told)
        }
        AcceptOutcome::Malformed(err, told) => {
            frame.map(read) == Some(Err(err.clone())) && at_once(Refusal::Malformed, told)
        }
        AcceptOutcome::Abandoned => rest.is_empty(),
        AcceptOutcome::NoFirstFrame => frame.is_none() && wrote.is_empty() && took == BOUND,
        AcceptOutcome::NotTold => hello.is_some() && rest.is_empty() && took >= BOUND,
    };
    bounded && as_said
}

/// Whether the bytes of a dialer agree with its outcome.
pub(super) fn of_dialer(
    dialed: &Result<u16, HandshakeError>,
    (hello, first): (&Hello, &[u8]),
    seen: &Seen,
) -> bool {
    let replies = bytes_of(&seen.events, READ);
    let wrote = bytes_of(&seen.events, WRITTEN);
    let (frame, waited) = (hello.encode(first), replies.first() == Some(&0));
    let last = &replies[usize::from(waited)..];
    let as_said = match dialed {
        // The rest of the first bytes is not written if the acceptor has gone already.
        Ok(port) => *port != 0 && *last == *Reply::Accepted(*port).encode(),
        Err(HandshakeError::Refused(refusal)) => *last == *Reply::Refused(*refusal).encode(),
        Err(HandshakeError::Frame(FrameError::WaitingTwice)) => replies == [0, 0],
        Err(HandshakeError::Frame(err)) => Reply::decode(last) == Err(err.clone()),
        Err(HandshakeError::TimedOut) => !waited && Reply::decode(last) == Ok(None),
        // An incomplete reply.
        Err(HandshakeError::Io(_)) => Reply::decode(last) == Ok(None),
    };
    // Nothing else than the frame was written, and nothing read past the reply.
    as_said && frame.starts_with(&wrote) && seen.largest <= 1
}
