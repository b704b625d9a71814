//! Fault rules that the core enforces on connections, over QUIC: what is below them lives on.
//!
//! Owns holds, refusals, resets, and rules for one port. Never tests rules on datagrams.

use std::time::Duration;

use crate::common::{Net, connect, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use virtnet_core::conformance::enforce;
use virtnet_core::{Cause, Conn, Host, OpError, SubNetwork};

/// A QUIC connection ends after so much silence.
const IDLE: Duration = Duration::from_secs(1);

async fn hosts(net: &Net) -> ([SubNetwork; 2], Host, Host) {
    let config = || {
        let config = net.config().idle_timeout(IDLE);
        config.keep_alive(Duration::from_millis(250))
    };
    let subnets = [net.join_with(config()).0, net.join_with(config()).0];
    let alpha = subnets[0].new_host("α").await.unwrap();
    let beta = subnets[1].new_host("β").await.unwrap();
    (subnets, alpha, beta)
}

fn set(subnets: &[SubNetwork], plan: &str) {
    for subnet in subnets {
        enforce(subnet, &plan.parse().unwrap()).unwrap();
    }
}

async fn cause_of_read(conn: &mut Conn) -> Cause {
    let err = conn.read_u8().await.expect_err("it fails");
    OpError::of(&err).expect("it is an operation's").cause()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_for_longer_than_the_idle_time_goes_on_byte_by_byte() {
    let net = Net::new("held");
    let (subnets, alpha, beta) = hosts(&net).await;
    let listener = beta.listen("β:1").unwrap();
    let (mut dialed, mut accepted) = connect(&alpha, &listener).await;
    let (mut closed, mut left) = connect(&alpha, &listener).await;
    let (mut aborted, mut lost) = connect(&alpha, &listener).await;
    set(&subnets, "hold α -> β\nhold β -> α");
    let bytes: Vec<u8> = (0..8 << 20).map(|at| (at % 251) as u8).collect();
    let sent = bytes.clone();
    let write = tokio::spawn(async move {
        dialed.write_all(&sent).await.unwrap();
        dialed.shutdown().await.unwrap();
        dialed
    });
    closed.write_all(b"last words").await.unwrap();
    drop(closed);
    aborted.write_all(b"half").await.unwrap();
    aborted.abort();
    let dialing = tokio::spawn({
        let alpha = alpha.clone();
        async move { alpha.dial("β:1").await }
    });
    for conn in [&mut accepted, &mut left, &mut lost] {
        let held = timeout(IDLE * 3 / 2, conn.read_u8()).await;
        assert!(held.is_err(), "{held:?}");
    }
    assert!(!write.is_finished(), "8 MiB are more than the buffers hold");
    assert!(!dialing.is_finished());
    assert_eq!(listener.pending(), 0);
    set(&subnets, "");
    let mut read = vec![0; bytes.len()];
    accepted.read_exact(&mut read).await.unwrap();
    assert!(read == bytes, "byte by byte");
    assert_eq!(accepted.read(&mut [0]).await.unwrap(), 0);
    let mut words = String::new();
    left.read_to_string(&mut words).await.unwrap();
    assert_eq!(words, "last words");
    let mut half = Vec::new();
    let cut = lost.read_to_end(&mut half).await.unwrap_err();
    assert_eq!(OpError::of(&cut).unwrap().cause(), Cause::ConnectionCut);
    let (mut late, _) = listener.accept().await.unwrap();
    let mut dialing = dialing.await.unwrap().unwrap();
    late.write_all(b"x").await.unwrap();
    assert_eq!(dialing.read_u8().await.unwrap(), b'x');
    drop(write.await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dials_are_refused_and_connections_reset_at_once() {
    let net = Net::new("reset");
    let (subnets, alpha, beta) = hosts(&net).await;
    let listener = beta.listen("β:1").unwrap();
    let (mut dialed, mut accepted) = connect(&alpha, &listener).await;
    // Each end alone.
    for member in [0, 1] {
        enforce(&subnets[member], &"refuse α -> β".parse().unwrap()).unwrap();
        let err = alpha.dial("β:1").await.unwrap_err();
        assert_eq!(err.cause(), Cause::ConnectionRefused);
        set(&subnets, "");
    }
    assert_eq!(listener.pending(), 0);
    set(&subnets, "reset α -> β");
    assert_eq!(cause_of_read(&mut dialed).await, Cause::ConnectionCut);
    assert_eq!(cause_of_read(&mut accepted).await, Cause::ConnectionCut);
    set(&subnets, "");
    for member in [0, 1] {
        let (mut dialed, mut accepted) = connect(&alpha, &listener).await;
        enforce(&subnets[member], &"reset α -> β".parse().unwrap()).unwrap();
        assert_eq!(cause_of_read(&mut dialed).await, Cause::ConnectionCut);
        assert_eq!(cause_of_read(&mut accepted).await, Cause::ConnectionCut);
        set(&subnets, "");
    }
}

/// One port is cut: other connections between the same hosts go on, on the same QUIC connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_of_one_port_leaves_the_others_alone() {
    let net = Net::new("port");
    let (subnets, alpha, beta) = hosts(&net).await;
    let (one, other) = (beta.listen("β:1").unwrap(), beta.listen("β:2").unwrap());
    let (mut dialed, mut accepted) = connect(&alpha, &one).await;
    let (mut free, mut free_accepted) = connect(&alpha, &other).await;
    set(&subnets, "cut α -> β port 1");
    dialed.write_all(b"kept").await.unwrap();
    let cut = timeout(Duration::from_millis(300), accepted.read_u8()).await;
    assert!(cut.is_err(), "{cut:?}");
    free.write_all(b"free").await.unwrap();
    let mut read = [0; 4];
    free_accepted.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"free");
    set(&subnets, "");
    accepted.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"kept");
    let begin = Instant::now();
    set(&subnets, "cut α -> β port 1");
    let (one, other) = tokio::join!(cause_of_read(&mut dialed), cause_of_read(&mut accepted));
    assert_eq!([one, other], [Cause::TimedOut; 2]);
    assert!(begin.elapsed() >= IDLE * 9 / 10, "{:?}", begin.elapsed());
    free.write_all(b"more").await.unwrap();
    free_accepted.read_exact(&mut read).await.unwrap();
    drop((dialed, accepted));
    eventually("the ports are free", || alpha.sockets().len() == 1).await;
}
