//! Written data arrives, or the reader gets an error: a cut is never a clean end.
//!
//! Owns the end of connections and many connections at once. Never tests who may
//! connect.

use std::io::ErrorKind;
use std::time::Duration;

use crate::common::{HANG, Net, connect, eventually};
use crate::process::Process;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use virtnet_core::Cause;

const MEGABYTE: usize = 1 << 20;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// A host lives on the runtime of its subnetwork, whichever runtime made it: one that is made
/// within a test's own runtime outlives that.
#[test]
fn a_host_outlives_the_runtime_that_asked_for_it() {
    let home = tokio::runtime::Runtime::new().unwrap();
    let (here, there) = home.block_on(async {
        let net = Net::new("net");
        (net.join(), net.join())
    });
    let mut other = tokio::runtime::Builder::new_current_thread();
    let other = other.enable_all().build().unwrap();
    let (alpha, beta) = other.block_on(async {
        let alpha = here.new_host("α").await.unwrap();
        (alpha, there.new_host("β").await.unwrap())
    });
    drop(other);
    home.block_on(async {
        let listener = alpha.listen(":1").unwrap();
        let connected = timeout(HANG, connect(&beta, &listener)).await;
        let (mut dialed, mut accepted) = connected.expect("it lives on");
        dialed.write_all(b"still here").await.unwrap();
        drop(dialed);
        let mut received = Vec::new();
        let read = timeout(HANG, accepted.read_to_end(&mut received)).await;
        read.unwrap().unwrap();
        assert_eq!(received, b"still here");
        there.close().await.unwrap();
        here.close().await.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_megabyte_arrives_although_everything_was_closed() {
    let net = Net::new("net");
    let (here, there) = (net.join(), net.join());
    let alpha = here.new_host("α").await.unwrap();
    let beta = there.new_host("β").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    let (mut dialed, mut accepted) = connect(&beta, &listener).await;
    let sent = pattern(MEGABYTE + 7);
    dialed.write_all(&sent).await.unwrap();
    dialed.close();
    there.close().await.unwrap();
    let mut received = Vec::new();
    timeout(HANG, accepted.read_to_end(&mut received))
        .await
        .unwrap()
        .unwrap();
    assert!(
        received == sent,
        "{} of {} bytes",
        received.len(),
        sent.len()
    );
    // It eventually gets an error, and then always, as its data is not read any more.
    let write = async {
        loop {
            if let Err(err) = accepted.write_all(b"?").await {
                break err;
            }
            tokio::task::yield_now().await;
        }
    };
    let err = timeout(HANG, write).await.unwrap();
    assert_eq!(err.kind(), ErrorKind::BrokenPipe);
    assert_eq!(
        accepted.write(b"?").await.unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
    here.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_delivered_is_an_error_of_the_close() {
    let net = Net::new("net");
    let peer = Process::start(&net, net.config(), "α").await;
    let bound = Duration::from_millis(300);
    let (here, _) = net.join_with(net.config().drain_timeout(bound));
    let beta = here.new_host("β").await.unwrap();
    let (mut one, _one) = connect(&beta, &peer.listener).await;
    let (mut two, _two) = connect(&beta, &peer.listener).await;
    let listener = peer.kill();
    one.write_all(&pattern(MEGABYTE)).await.unwrap();
    two.write_all(b"a word").await.unwrap();
    drop((one, two));
    let err = timeout(HANG, here.close()).await.unwrap().unwrap_err();
    assert_eq!(err.cause(), Cause::ConnectionCut);
    assert_eq!(
        err.to_string(),
        "virtnet \"net\": close: host \"β\" cut 2 connections: \
         what was written could not be delivered within 300ms"
    );
    // A caller that expects one cause still gets the errors with others.
    let else_ = here.close_expecting(Cause::NoSuchHost).await.unwrap_err();
    assert_eq!(else_.cause(), Cause::ConnectionCut);
    here.close_expecting(Cause::ConnectionCut).await.unwrap();
    drop(listener);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_is_an_error_and_never_the_end() {
    let net = Net::new("net");
    let quick = || {
        net.config()
            .idle_timeout(Duration::from_millis(900))
            .keep_alive(Duration::from_millis(300))
    };
    let peer = Process::start(&net, quick(), "α").await;
    let (here, _) = net.join_with(quick());
    let beta = here.new_host("β").await.unwrap();
    let (dialed, mut accepted) = connect(&beta, &peer.listener).await;
    let (mut reader, mut writer) = dialed.into_split();
    accepted.write_all(b"last words").await.unwrap();
    let mut received = [0; 10];
    reader.read_exact(&mut received).await.unwrap();
    // A dial that waits for its accept, too.
    let waiting = tokio::spawn({
        let beta = beta.clone();
        async move { beta.dial("α:1").await }
    });
    eventually("the dial waits", || peer.listener.pending() == 1).await;
    let listener = peer.kill();
    let read = timeout(HANG, reader.read(&mut received)).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), ErrorKind::TimedOut);
    let again = reader.read(&mut received).await;
    assert_eq!(
        again.unwrap_err().kind(),
        ErrorKind::TimedOut,
        "the second time"
    );
    let written = writer.write_all(b"?").await;
    assert_eq!(written.unwrap_err().kind(), ErrorKind::TimedOut);
    let dialed = timeout(HANG, waiting).await.unwrap().unwrap();
    assert_eq!(dialed.unwrap_err().cause(), Cause::TimedOut);
    // The stream's memory and the connection's are gone: nothing to cut.
    drop((reader, writer));
    here.close().await.unwrap();
    drop((listener, accepted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_comes_back_is_dialed_again() {
    let net = Net::new("net");
    let here = net.join();
    let beta = here.new_host("β").await.unwrap();
    for _ in 0..3 {
        let there = net.join();
        let alpha = there.new_host("α").await.unwrap();
        let listener = alpha.listen(":1").unwrap();
        let (mut dialed, accepted) = connect(&beta, &listener).await;
        assert_eq!(dialed.local_addr(), "β:1");
        drop(accepted);
        assert_eq!(dialed.read(&mut [0]).await.unwrap(), 0);
        there.close().await.unwrap();
    }
    here.close().await.unwrap();
}
