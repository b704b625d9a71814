//! Helpers of the checks: a new network, two hosts, and waiting with a time limit.
//!
//! Owns the helpers that all checks share. Never checks the contract itself.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::error::Op;
use crate::{Addr, Cause, Conn, Host, Listener, OpError, SubNetwork};

/// A check that takes longer hangs: no check needs nearly as long.
const HANG: Duration = Duration::from_secs(60);

/// A new network to run one check on.
#[async_trait]
pub trait Bed: Send + Sync {
    /// Creates another subnetwork of this bed's network, independent of the others as
    /// in another process.
    async fn subnetwork(&self) -> SubNetwork;

    /// The same with short time limits: some checks wait until a silent connection ends, and for
    /// dials that nobody answers. Give 3 s and 2 s: a dial must be possible on a busy machine. The default
    /// is [`subnetwork`](Bed::subnetwork), and such checks take longer.
    async fn quick_subnetwork(&self) -> SubNetwork {
        self.subnetwork().await
    }

    /// Whether both ends of a connection always know the same, because nothing is on its way
    /// between them: true for an engine that carries connections within one process. Then a
    /// dropped dial leaves the other side no connection, and an end that nobody got is cut
    /// only after its dial has succeeded. The default is false.
    fn is_exact(&self) -> bool {
        false
    }
}

/// Runs one check on its own runtime, and then asserts that no task is alive there.
///
/// # Panics
///
/// If the check panics, takes longer than 60 s, or leaves a task.
pub fn run(check: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async {
        let checked = tokio::time::timeout(HANG, check).await;
        checked.expect("the check ends");
        let tasks = tokio::runtime::Handle::current().metrics();
        eventually("no task is left", || tasks.num_alive_tasks() == 0).await;
    });
}

/// Waits until `condition` is true, for effects that arrive over the network.
pub(super) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    for _ in 0..20_000 {
        if condition() {
            return;
        }
        tick.tick().await;
    }
    panic!("never came true: {what}");
}

/// Polls `future` up to `polls` times, then drops it.
pub(super) async fn drop_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polled = 0;
    poll_fn(|cx| {
        polled += 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if polled >= polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Polls `future` up to `polls` times, whether or not it was woken, and yields to other
/// tasks in between.
pub(super) async fn poll_times<F: Future + Unpin>(
    polls: usize,
    future: &mut F,
) -> Option<F::Output> {
    for _ in 0..polls {
        if let Some(done) = drop_after(1, &mut *future).await {
            return Some(done);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// The hosts α and β, each on its own subnetwork.
pub(super) struct Pair {
    pub(super) subnet_a: SubNetwork,
    pub(super) subnet_b: SubNetwork,
    pub(super) alpha: Host,
    pub(super) beta: Host,
}

impl Pair {
    pub(super) async fn new(bed: &dyn Bed) -> Pair {
        let (subnet_a, subnet_b) = (bed.subnetwork().await, bed.subnetwork().await);
        let alpha = subnet_a.new_host("α").await.expect("α is new");
        let beta = subnet_b.new_host("β").await.expect("β is new");
        Pair {
            subnet_a,
            subnet_b,
            alpha,
            beta,
        }
    }

    /// The same hosts on one subnetwork.
    pub(super) async fn within_one(bed: &dyn Bed) -> Pair {
        let subnet = bed.subnetwork().await;
        let alpha = subnet.new_host("α").await.expect("α is new");
        let beta = subnet.new_host("β").await.expect("β is new");
        Pair {
            subnet_a: subnet.clone(),
            subnet_b: subnet,
            alpha,
            beta,
        }
    }

    /// Closes both subnetworks, which must succeed.
    pub(super) async fn close(self) {
        self.subnet_a.close().await.expect("α's subnetwork closes");
        self.subnet_b.close().await.expect("β's subnetwork closes");
    }
}

/// Connects `from` to `listener`; returns the dialing and the accepting end.
pub(super) async fn connect(from: &Host, listener: &Listener) -> (Conn, Conn) {
    let (dialed, accepted) = tokio::join!(from.dial(listener.local_addr()), listener.accept());
    let (accepted, peer) = accepted.expect("the accept succeeds");
    assert_eq!(&peer, accepted.peer_addr());
    (dialed.expect("the dial succeeds"), accepted)
}

/// Connects β to a fresh listener on α: the dialing end, the accepting end, and
/// the listener.
pub(super) async fn connected(pair: &Pair) -> (Conn, Conn, Listener) {
    let listener = pair.alpha.listen("").expect("a port is free");
    let (dialed, accepted) = connect(&pair.beta, &listener).await;
    (dialed, accepted, listener)
}

/// Asserts every field of an operation's error, and its text.
///
/// `line` is the text with `NET` instead of the network's name.
pub(super) fn assert_error(
    err: &OpError,
    op: Op,
    src: Option<&str>,
    addr: Option<&str>,
    cause: Cause,
    line: &str,
) {
    let written = |addr: Option<&Addr>| addr.map(Addr::to_string);
    assert_eq!(err.to_string(), line.replace("NET", err.network()));
    assert_eq!(err.op(), op, "{err}");
    assert_eq!(written(err.src()).as_deref(), src, "{err}");
    assert_eq!(written(err.addr()).as_deref(), addr, "{err}");
    assert_eq!(err.cause(), cause, "{err}");
}

/// Reads to the end of the stream, as text.
pub(super) async fn read_text(reader: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).await.unwrap();
    text
}

/// Reads until `conn` reports a cut, and asserts that no end-of-file comes before.
pub(super) async fn assert_cut(conn: &mut Conn) {
    let mut read = Vec::new();
    let err = conn.read_to_end(&mut read).await;
    let err = err.expect_err("a cut, not an end");
    let why = OpError::of(&err).expect("it is an operation's");
    assert_eq!(why.cause(), Cause::ConnectionCut, "{err}");
    // Later reads report the cut too.
    conn.read_u8().await.expect_err("still a cut");
}
