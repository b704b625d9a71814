//! Thousands of dials to a listener that does not accept.
//!
//! Owns the limit on waiting dials and the cost of a flood of them, in the memory of the
//! whole process.

use std::time::{Duration, Instant};

use crate::common::{HANG, Net, connect, eventually, figure};
use crate::{profiler, turn};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;
use virtnet_core::{BACKLOG, Cause, Host};

/// Heap use of the whole process.
fn heap() -> usize {
    dhat::HeapStats::get().curr_bytes
}

/// Dials `count` times, 64 at a time. All are refused; returns the slowest.
async fn refused(beta: &Host, count: usize) -> Duration {
    let (mut dialing, mut slowest) = (JoinSet::new(), Duration::ZERO);
    for _ in 0..64 {
        let beta = beta.clone();
        dialing.spawn(async move {
            let mut slowest = Duration::ZERO;
            for _ in 0..count / 64 {
                let begun = Instant::now();
                let err = beta.dial("α:1").await.unwrap_err();
                assert_eq!(err.cause(), Cause::ConnectionRefused);
                slowest = slowest.max(begun.elapsed());
            }
            slowest
        });
    }
    while let Some(took) = timeout(HANG, dialing.join_next()).await.unwrap() {
        slowest = slowest.max(took.unwrap());
    }
    slowest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_does_not_accept() {
    let _turn = turn().await;
    const FLOOD: usize = 1600;
    let _profiler = profiler();
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let net = Net::new("net");
    // The waiting dials must not time out, even on a busy machine: a dial of the flood
    // would take the free place, and wait.
    let patient = net.config().dial_timeout(2 * HANG);
    let (here, there) = (net.join(), net.join_with(patient).0);
    let alpha = here.new_host("α").await.unwrap();
    let beta = there.new_host("β").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    drop(connect(&beta, &listener).await);
    let before = heap();
    let mut waiting = JoinSet::new();
    for _ in 0..BACKLOG {
        let beta = beta.clone();
        waiting.spawn(async move { beta.dial("α:1").await });
    }
    eventually("the backlog is full", || listener.pending() == BACKLOG).await;
    let full = heap();

    // The first dials make tables grow to their final size.
    refused(&beta, 3 * FLOOD).await;
    let (warm, busy) = (heap(), tasks());
    let slowest = refused(&beta, 2 * FLOOD).await;
    assert_eq!(listener.pending(), BACKLOG);
    assert_eq!(beta.sockets().len(), BACKLOG, "one port each, no more");
    eventually("the flood's tasks end", || tasks() <= busy).await;
    // A dial that waits takes 7 KiB. Of a stream that ended quinn keeps 360 bytes for
    // the next one, of as many as may be open at once.
    let grown = heap().saturating_sub(warm);
    assert!(
        grown < 512 * 2 * FLOOD,
        "{grown} bytes for {} dials",
        2 * FLOOD
    );

    // The waiting dials are accepted or cancelled, and nothing of them is left.
    let (dialed, accepted) = tokio::join!(waiting.join_next(), listener.accept());
    drop((dialed.unwrap().unwrap().unwrap(), accepted.unwrap()));
    listener.close();
    let mut let_go = 0;
    while let Some(dialed) = timeout(HANG, waiting.join_next()).await.unwrap() {
        let err = dialed.unwrap().unwrap_err();
        assert_eq!(err.cause(), Cause::ConnectionRefused);
        let_go += 1;
    }
    assert_eq!((let_go, beta.sockets().len()), (BACKLOG - 1, 0));
    figure(
        "thousands of dials to a listener that does not accept",
        format!(
            "{BACKLOG} wait and take {} KiB, {} more are refused, the slowest after \
             {slowest:.0?}, and the last {} leave {grown} bytes",
            (full - before) / 1024,
            5 * FLOOD,
            2 * FLOOD,
        ),
    );
    here.close().await.unwrap();
    there.close().await.unwrap();
}
