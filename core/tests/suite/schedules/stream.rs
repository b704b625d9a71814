//! Reads, writes and half-closes, polled on the handle and compared byte by byte.
//! Never stores a future: dropping one before it is ready has no effect.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use virtnet_core::{Cause, OpError};

use super::model::Outcome;
use super::model_conn::byte_at;
use super::sim::{Handle, Sim};

fn cause_of(err: &io::Error) -> Cause {
    let why = OpError::of(err).expect("it is made of an operation's error");
    assert_eq!(err.kind(), why.cause().kind());
    why.cause()
}

impl Sim {
    pub(crate) fn poll_read(&mut self, e: usize, room: usize, cx: &mut Context<'_>) -> Outcome {
        let expected = self.model.read(e, room);
        let (mut space, rx) = ([0; 64], self.model.ends[e].rx);
        let mut buf = ReadBuf::new(&mut space[..room]);
        let polled = match &mut self.ends[e] {
            Handle::Whole(conn) => Pin::new(conn).poll_read(cx, &mut buf),
            Handle::Split(Some(reader), _) => Pin::new(reader).poll_read(cx, &mut buf),
            _ => unreachable!("who reads has a handle"),
        };
        let outcome = match polled {
            Poll::Pending => Outcome::Pending,
            Poll::Ready(Err(err)) => Outcome::Fails(cause_of(&err)),
            Poll::Ready(Ok(())) => Outcome::Bytes(buf.filled().len()),
        };
        assert_eq!(outcome, expected, "read at end {e}");
        let dir = &mut self.model.dirs[rx];
        for byte in buf.filled() {
            assert_eq!(*byte, byte_at(rx, dir.read), "byte {} of {rx}", dir.read);
            dir.read += 1;
        }
        outcome
    }

    pub(crate) fn poll_write(&mut self, e: usize, some: usize, cx: &mut Context<'_>) -> Outcome {
        let expected = self.model.write(e, some);
        let tx = self.model.ends[e].tx;
        let dir = &mut self.model.dirs[tx];
        let bytes: Vec<u8> = (0..some).map(|i| byte_at(tx, dir.written + i)).collect();
        let polled = match &mut self.ends[e] {
            Handle::Whole(conn) => Pin::new(conn).poll_write(cx, &bytes),
            Handle::Split(_, Some(writer)) => Pin::new(writer).poll_write(cx, &bytes),
            _ => unreachable!("who writes has a handle"),
        };
        let outcome = match polled {
            Poll::Pending => Outcome::Pending,
            Poll::Ready(Err(err)) => Outcome::Fails(cause_of(&err)),
            Poll::Ready(Ok(written)) => Outcome::Bytes(written),
        };
        assert_eq!(outcome, expected, "write at end {e}");
        if let Outcome::Bytes(written) = outcome {
            dir.written += written;
        }
        outcome
    }

    pub(crate) fn shutdown(&mut self, e: usize) {
        let cx = &mut Context::from_waker(Waker::noop());
        let done = match &mut self.ends[e] {
            Handle::Whole(conn) => Pin::new(conn).poll_shutdown(cx),
            Handle::Split(_, Some(writer)) => Pin::new(writer).poll_shutdown(cx),
            _ => unreachable!("who shuts down has a handle"),
        };
        let outcome = match done {
            Poll::Pending => Outcome::Pending,
            Poll::Ready(Ok(())) => Outcome::Done,
            Poll::Ready(Err(err)) => Outcome::Fails(cause_of(&err)),
        };
        assert_eq!(outcome, self.model.shutdown(e), "shutdown at end {e}");
    }
}
