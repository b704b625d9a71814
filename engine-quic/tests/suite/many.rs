//! Many connections between two hosts share one QUIC connection and do not block
//! each other.
//!
//! Owns the pooling of connections and the growth of their limits.

use std::time::Duration;

use crate::common::{HANG, Net, connect, eventually, figure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use virtnet_core::{Cause, Conn, OpError};

const MEGABYTE: usize = 1 << 20;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_connections_between_two_hosts() {
    const COUNT: usize = 2000;
    let net = Net::new("net");
    let (here, there) = (net.join(), net.join());
    let alpha = here.new_host("α").await.unwrap();
    let beta = there.new_host("β").await.unwrap();
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let listener = alpha.listen(":1").unwrap();
    let accepting = tokio::spawn(async move {
        let mut accepted = Vec::new();
        while accepted.len() < COUNT {
            accepted.push(listener.accept().await.unwrap());
        }
        (listener, accepted)
    });
    let mut dialing = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let beta = beta.clone();
        dialing.spawn(async move {
            let mut dialed = Vec::new();
            for _ in 0..COUNT / 64 {
                dialed.push(beta.dial("α:1").await.unwrap());
            }
            dialed
        });
    }
    let mut dialed: Vec<Conn> = timeout(HANG, dialing.join_all())
        .await
        .unwrap()
        .into_iter()
        .flatten()
        .collect();
    while dialed.len() < COUNT {
        dialed.push(beta.dial("α:1").await.unwrap());
    }
    let (_listener, accepted) = timeout(HANG, accepting).await.unwrap().unwrap();
    assert_eq!(
        (beta.sockets().len(), alpha.sockets().len()),
        (COUNT, COUNT + 1)
    );
    // Two tasks for each end of one QUIC connection.
    eventually("all share a connection", || tasks() == before + 4).await;
    // Each still carries its own bytes.
    for (mut conn, peer) in accepted {
        conn.write_all(&peer.port().to_be_bytes()).await.unwrap();
    }
    for conn in &mut dialed {
        let port = timeout(HANG, conn.read_u16()).await.unwrap().unwrap();
        assert_eq!(port, conn.local_addr().port());
    }
    figure(
        "more open connections between two hosts than one QUIC connection's streams",
        format!("{COUNT} over one QUIC connection, which begins with 32 streams"),
    );
    here.close().await.unwrap();
    there.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_only_the_peer_closed_take_nobodys_place() {
    let net = Net::new("net");
    let (here, there) = (net.join(), net.join());
    let alpha = here.new_host("α").await.unwrap();
    let beta = there.new_host("β").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    let mut kept = Vec::new();
    // Far more than the streams that a connection begins with.
    for _ in 0..600 {
        let (dialed, accepted) = timeout(HANG, connect(&beta, &listener)).await.unwrap();
        drop(accepted);
        kept.push(dialed);
    }
    drop(kept);
    connect(&beta, &listener).await;
    here.close().await.unwrap();
    there.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stopped_stalls_nobody_else() {
    let net = Net::new("net");
    let (here, there) = (net.join(), net.join());
    let alpha = here.new_host("α").await.unwrap();
    let beta = there.new_host("β").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    let mut stalled = Vec::new();
    for _ in 0..4 {
        let (mut dialed, unread) = connect(&beta, &listener).await;
        let chunk = pattern(MEGABYTE);
        let writing = tokio::spawn(async move {
            loop {
                if let Err(err) = dialed.write_all(&chunk).await {
                    break err;
                }
            }
        });
        stalled.push((writing, unread));
    }
    let (mut dialed, mut accepted) = connect(&beta, &listener).await;
    let sent = pattern(3 * MEGABYTE);
    let mut received = vec![0; sent.len()];
    let both = async { tokio::join!(dialed.write_all(&sent), accepted.read_exact(&mut received)) };
    let (written, read) = timeout(HANG, both).await.unwrap();
    written.unwrap();
    read.unwrap();
    assert!(received == sent);
    for (writing, unread) in stalled {
        assert!(!writing.is_finished(), "there is backpressure");
        drop(unread);
        let err = timeout(HANG, writing).await.unwrap().unwrap();
        assert_eq!(OpError::of(&err).unwrap().cause(), Cause::BrokenPipe);
    }
    here.close().await.unwrap();
    there.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unused_connection_is_let_go_and_made_again() {
    let net = Net::new("net");
    let (here, _) = net.join_with(net.config());
    let (there, _) = net.join_with(net.config().pool_idle(Duration::from_millis(50)));
    let alpha = here.new_host("α").await.unwrap();
    let beta = there.new_host("β").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let (dialed, accepted) = connect(&beta, &listener).await;
    // If it were closed, that would happen within twice the idle time.
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert!(tasks() > before, "a connection in use is kept");
    drop((dialed, accepted));
    eventually("the connection is let go", || tasks() == before).await;
    connect(&beta, &listener).await;
    here.close().await.unwrap();
    there.close().await.unwrap();
}
