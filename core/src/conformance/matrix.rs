//! The close matrix: the result of each operation after, or during, each close.
//!
//! Owns the table and the setup for each cell. β is the local side, α the peer.
//! Each cell has its own hosts.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::bed::{Pair, assert_error, connected, drop_after, eventually};
use crate::error::Op;
use crate::{Cause, Conn, Listener, OpError, OwnedReadHalf, OwnedWriteHalf};

/// The object that is closed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Closed {
    Subnet,
    Host,
    Own,
    PeerSubnet,
    PeerHost,
    Peer,
}

/// Whether the close comes before the operation, or while it waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Order {
    CloseFirst,
    OperationBlocked,
}

/// The result of an operation.
#[derive(Debug)]
enum Done {
    Error(OpError),
    Eof,
    Success,
}

/// The expected results. `None` means end-of-file.
pub(super) const MATRIX: &[(Op, Closed, Option<Cause>)] = &[
    (Op::NewHost, Closed::Subnet, Some(Cause::NetworkDown)),
    (Op::Dial, Closed::Subnet, Some(Cause::NetworkDown)),
    (Op::Dial, Closed::Host, Some(Cause::HostDown)),
    (Op::Dial, Closed::PeerHost, Some(Cause::ConnectionRefused)),
    (Op::Dial, Closed::Peer, Some(Cause::ConnectionRefused)),
    (Op::Listen, Closed::Subnet, Some(Cause::NetworkDown)),
    (Op::Listen, Closed::Host, Some(Cause::HostDown)),
    (Op::Accept, Closed::Subnet, Some(Cause::NetworkDown)),
    (Op::Accept, Closed::Host, Some(Cause::HostDown)),
    (Op::Accept, Closed::Own, Some(Cause::SocketDown)),
    (Op::Read, Closed::Subnet, Some(Cause::NetworkDown)),
    (Op::Read, Closed::Host, Some(Cause::HostDown)),
    (Op::Read, Closed::Own, Some(Cause::SocketDown)),
    (Op::Read, Closed::PeerSubnet, None),
    (Op::Read, Closed::PeerHost, None),
    (Op::Read, Closed::Peer, None),
    (Op::Write, Closed::Subnet, Some(Cause::NetworkDown)),
    (Op::Write, Closed::Host, Some(Cause::HostDown)),
    (Op::Write, Closed::Own, Some(Cause::SocketDown)),
    (Op::Write, Closed::PeerSubnet, Some(Cause::BrokenPipe)),
    (Op::Write, Closed::PeerHost, Some(Cause::BrokenPipe)),
    (Op::Write, Closed::Peer, Some(Cause::BrokenPipe)),
];

/// Checks one cell on `pair`.
pub(super) async fn check_cell(pair: Pair, cell: (Op, Closed, Option<Cause>), order: Order) {
    let (op, closed, cause) = cell;
    let mut scene = Scene::new(pair).await;
    let done = match order {
        Order::CloseFirst => {
            scene.close(op, closed).await;
            scene.operation(op).await
        }
        Order::OperationBlocked => {
            if op == Op::Write {
                scene.fill().await;
            }
            let operation = started(scene.operation(op)).await;
            if op == Op::Dial {
                eventually("the dial waits", || scene.peer_listener.pending() == 1).await;
            }
            scene.close(op, closed).await;
            operation.await.expect("the operation does not panic")
        }
    };
    let own_is_down = matches!(closed, Closed::Subnet | Closed::Host);
    let src_is_free = own_is_down && order == Order::CloseFirst;
    match (done, cause) {
        (Done::Eof, None) => {}
        (Done::Error(err), Some(cause)) => assert_cell(&err, op, cause, src_is_free),
        (done, _) => panic!("{op} with {closed:?} closed ({order:?}): {done:?}"),
    }
    scene.pair.close().await;
}

fn assert_cell(err: &OpError, op: Op, cause: Cause, src_is_free: bool) {
    let (src, addr, head) = match op {
        Op::NewHost => (None, "γ:0", "virtnet \"NET\": new host \"γ\""),
        Op::Listen => (None, "β:0", "listen NET β:0"),
        Op::Accept => (None, "β:2", "accept NET β:2"),
        Op::Read => (Some("α:2"), "β:1", "read NET α:2->β:1"),
        Op::Write => (Some("β:1"), "α:2", "write NET β:1->α:2"),
        // A closed host has no sockets, so its lowest port is free.
        _ if src_is_free => (Some("β:1"), "α:1", "dial NET β:1->α:1"),
        _ => (Some("β:3"), "α:1", "dial NET β:3->α:1"),
    };
    assert_error(err, op, src, Some(addr), cause, &format!("{head}: {cause}"));
}

/// α listens on α:1 and has accepted β:1 on α:2; β listens on β:2.
struct Scene {
    pair: Pair,
    peer_listener: Listener,
    peer: Conn,
    listener: Arc<Listener>,
    reader: Option<OwnedReadHalf>,
    writer: Option<OwnedWriteHalf>,
}

impl Scene {
    async fn new(pair: Pair) -> Scene {
        let (conn, peer, peer_listener) = connected(&pair).await;
        let listener = Arc::new(pair.beta.listen("").unwrap());
        let (reader, writer) = conn.into_split();
        Scene {
            pair,
            peer_listener,
            peer,
            listener,
            reader: Some(reader),
            writer: Some(writer),
        }
    }

    /// The operation's future, which owns everything that it needs.
    fn operation(&mut self, op: Op) -> Pin<Box<dyn Future<Output = Done> + Send>> {
        let (subnet, beta) = (self.pair.subnet_b.clone(), self.pair.beta.clone());
        let listener = Arc::clone(&self.listener);
        match op {
            Op::NewHost => Box::pin(async move { done(subnet.new_host("γ").await) }),
            Op::Dial => Box::pin(async move { done(beta.dial("α:1").await) }),
            Op::Listen => Box::pin(async move { done(beta.listen("")) }),
            Op::Accept => Box::pin(async move { done(listener.accept().await) }),
            Op::Read => {
                let mut reader = self.reader.take().unwrap();
                Box::pin(async move { read_to_end(&mut reader).await })
            }
            _ => {
                let mut writer = self.writer.take().unwrap();
                Box::pin(async move { write_to_end(&mut writer).await })
            }
        }
    }

    /// Writes until the next write has to wait.
    async fn fill(&mut self) {
        let writer = self.writer.as_mut().unwrap();
        let chunk = [7; 64 * 1024];
        while let Some(written) = drop_after(1, writer.write(&chunk)).await {
            written.unwrap();
            tokio::task::yield_now().await;
        }
    }

    async fn close(&self, op: Op, closed: Closed) {
        match closed {
            Closed::Subnet => self.pair.subnet_b.close().await.unwrap(),
            Closed::Host => self.pair.beta.close(),
            Closed::Own if op == Op::Accept => self.listener.close(),
            // By the half that the operation does not use.
            Closed::Own => match (&self.reader, &self.writer) {
                (Some(reader), _) => reader.close(),
                (None, Some(writer)) => writer.close(),
                (None, None) => unreachable!("one operation takes one half"),
            },
            Closed::PeerSubnet => self.pair.subnet_a.close().await.unwrap(),
            Closed::PeerHost => self.pair.alpha.close(),
            Closed::Peer if op == Op::Dial => self.peer_listener.close(),
            Closed::Peer => self.peer.close(),
        }
    }
}

fn done<T>(result: Result<T, OpError>) -> Done {
    result.map_or_else(Done::Error, |_| Done::Success)
}

fn failed(err: &std::io::Error) -> Done {
    let op = OpError::of(err)
        .expect("every error is an operation's")
        .clone();
    assert_eq!(err.kind(), op.cause().kind());
    Done::Error(op)
}

async fn read_to_end(reader: &mut OwnedReadHalf) -> Done {
    match reader.read(&mut [0; 16]).await {
        Ok(0) => Done::Eof,
        Ok(_) => Done::Success,
        Err(err) => failed(&err),
    }
}

/// Writes may succeed until the close takes effect, but not without end.
async fn write_to_end(writer: &mut OwnedWriteHalf) -> Done {
    let chunk = [7; 1024];
    for _ in 0..1 << 20 {
        if let Err(err) = writer.write(&chunk).await {
            return failed(&err);
        }
        tokio::task::yield_now().await;
    }
    Done::Success
}

/// Runs `operation` in a task, and returns once it was polled and has to wait.
async fn started(
    mut operation: Pin<Box<dyn Future<Output = Done> + Send>>,
) -> tokio::task::JoinHandle<Done> {
    let (polled, first_poll) = oneshot::channel();
    let mut polled = Some(polled);
    let task = tokio::spawn(poll_fn(move |cx| {
        let poll = operation.as_mut().poll(cx);
        if let Some(polled) = polled.take() {
            let _ = polled.send(poll.is_pending());
        }
        match poll {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => Poll::Pending,
        }
    }));
    assert!(first_poll.await.unwrap(), "the operation has to wait");
    task
}
