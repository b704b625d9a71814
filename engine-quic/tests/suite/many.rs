//! Many connections between two hosts share one QUIC connection and do not block
//! each other.
//!
//! Owns the pooling of connections and the growth of their limits.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::common::raw::{self, Pki};
use crate::common::{HANG, Net, connect, eventually, figure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use virtnet_core::{Cause, Conn, OpError};
use virtnet_engine_quic::{QuicConfig, Tuning, dns_name};

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

/// A peer that was stopped in the midst of a transfer, so that nothing is acknowledged and the
/// send window is full, does not hold up the accept of its next dial.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_reader_does_not_hold_up_its_next_accept() {
    let (net, pki) = (Net::new("net"), Pki::new());
    let mut tuning = Tuning::default();
    tuning.send_window = 64 << 10;
    let config = QuicConfig::new(pki.identity(&pki.leaf("net", &["α"])));
    let config = config
        .bind((Ipv4Addr::LOCALHOST, 0).into())
        .tuning(tuning)
        .handshake_timeout(2 * HANG)
        .drain_timeout(Duration::from_millis(100));
    let (subnet, _) = net.join_with(config);
    let alpha = subnet.new_host("α").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    let (leaf, place, name) = (
        pki.leaf("net", &["γ"]),
        net.real_addr("α"),
        dns_name("net", "α"),
    );
    // The peer lives while its runtime runs: for as long as it is asked for something.
    let peer = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let dials = runtime.block_on(async {
            let (endpoint, conn) = raw::connect(&pki, Some(&leaf), place, &name).await;
            let mut streams = Vec::new();
            for port in [1, 2] {
                let mut stream = conn.open_bi().await.unwrap();
                let frame = raw::hello("net", ("γ", port), ("α", 1));
                stream.0.write_all(&frame).await.unwrap();
                // The first is accepted. The second waits, and the acceptor says so.
                let length = if port == 1 { 3 } else { 1 };
                stream.1.read_exact(&mut [0; 3][..length]).await.unwrap();
                streams.push(stream);
            }
            (endpoint, conn, streams)
        });
        (runtime, dials)
    });
    let (mut first, _) = listener.accept().await.unwrap();
    let stopped = tokio::task::block_in_place(|| peer.join().unwrap());
    let bytes = vec![0; MEGABYTE];
    let full = first.write_all(&bytes);
    tokio::pin!(full);
    let blocked = timeout(Duration::from_millis(200), &mut full).await;
    assert!(blocked.is_err(), "the send window is full");
    let (second, from) = timeout(HANG, listener.accept()).await.unwrap().unwrap();
    assert_eq!(from, "γ:2");
    drop(second);
    // Outside of a runtime's task, where a runtime may end.
    tokio::task::block_in_place(|| drop(stopped));
    let err = subnet.close().await.unwrap_err();
    assert_eq!(err.cause(), Cause::ConnectionCut);
}
