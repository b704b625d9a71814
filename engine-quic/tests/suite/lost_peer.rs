//! Peers that disappear: when this is detected, what a close then reports, and how
//! a restarted host is found.
//!
//! Owns what happens after a kill. Never closes a peer in an orderly way.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::common::{Net, connect, eventually, figure};
use crate::process::Process;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An end that sends after the cut detects it no later. If sending restarted the idle
/// timer, twice the timeout would pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_is_noticed_within_the_idle_timeout() {
    const IDLE: Duration = Duration::from_secs(4);
    let net = Net::new("net");
    let quick = || net.config().idle_timeout(IDLE).keep_alive(IDLE / 4);
    let peer = Process::start(&net, quick(), "α").await;
    let (here, _) = net.join_with(quick());
    let beta = here.new_host("β").await.unwrap();
    let (dialed, _accepted) = connect(&beta, &peer.listener).await;
    let (mut reader, mut writer) = dialed.into_split();
    let _listener = peer.kill();
    let cut = Instant::now();
    let mut tick = tokio::time::interval(IDLE / 20);
    let read = async { reader.read(&mut [0]).await.unwrap_err() };
    let write = async {
        loop {
            tick.tick().await;
            drop(writer.write(b"x").await);
        }
    };
    let err = tokio::select! {
        err = read => err,
        () = write => unreachable!("it goes on"),
    };
    let took = cut.elapsed();
    figure(
        "peer killed, its idle timeout set",
        format!("noticed after {took:.1?} of {IDLE:?} by the end that sends"),
    );
    assert_eq!(err.kind(), std::io::ErrorKind::TimedOut);
    assert!(took < IDLE + IDLE / 2, "{took:?}");
}

/// Undelivered data is an error of the close, even if the idle timeout ended the
/// connection before the drain timeout did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lost_peer_did_not_get_is_reported() {
    let net = Net::new("net");
    let peer = Process::start(&net, net.config(), "α").await;
    let idle = Duration::from_millis(900);
    let (here, _) = net.join_with(net.config().idle_timeout(idle).keep_alive(idle / 3));
    let beta = here.new_host("β").await.unwrap();
    let (mut dialed, _accepted) = connect(&beta, &peer.listener).await;
    let _listener = peer.kill();
    dialed.write_all(&vec![1; 1 << 20]).await.unwrap();
    drop(dialed);
    let err = here.close().await.unwrap_err();
    assert!(
        // The error must not name the drain timeout, which did not end it.
        err.to_string()
            .contains("host \"β\" cut 1 connection: the peer was lost before"),
        "{err}"
    );
}

/// If nothing was written, a lost peer is no error of the close.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_peer_alone_is_no_error_of_the_close() {
    let net = Net::new("net");
    let peer = Process::start(&net, net.config(), "α").await;
    let here = net.join();
    let beta = here.new_host("β").await.unwrap();
    let (dialed, _accepted) = connect(&beta, &peer.listener).await;
    let _listener = peer.kill();
    drop(dialed);
    here.close().await.unwrap();
}

/// The first dial reaches a host that was killed and restarted on its port, without a
/// timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_back_on_its_port_is_found_at_once() {
    let net = Net::new("net");
    let place = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let never = Duration::from_secs(60);
    let (here, _) = net.join_with(net.config().dial_timeout(never));
    let peer = Process::start(&net, net.config().bind(place), "α").await;
    let beta = here.new_host("β").await.unwrap();
    let (dialed, accepted) = connect(&beta, &peer.listener).await;
    let listener = peer.kill();
    drop((dialed, accepted, listener));
    eventually("the port is free", || UdpSocket::bind(place).is_ok()).await;
    // The registry of the killed process freed the name when it was dropped.
    let (there, _) = net.join_with(net.config().bind(place));
    let alpha = there.new_host("α").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    let back = tokio::time::timeout(Duration::from_secs(2), connect(&beta, &listener)).await;
    back.expect("the reset ends the old connection at once");
    here.close().await.unwrap();
    there.close().await.unwrap();
}

/// The same for any number of peers that had dialed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_back_on_its_port_is_found_by_all_its_peers() {
    const PEERS: usize = 100;
    // Far longer than it takes, and too short to detect a lost connection.
    const BOUND: Duration = Duration::from_secs(10);
    const NEVER: Duration = Duration::from_secs(60);
    let net = Net::new("net");
    let place = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let patient = || net.config().idle_timeout(NEVER).keep_alive(NEVER / 4);
    let (here, _) = net.join_with(patient().dial_timeout(BOUND));
    let peer = Process::start(&net, patient().bind(place), "α").await;
    let mut peers = Vec::new();
    for at in 0..PEERS {
        let host = here.new_host(&format!("β{at}")).await.unwrap();
        drop(connect(&host, &peer.listener).await);
        peers.push(host);
    }
    drop(peer.kill());
    eventually("the port is free", || UdpSocket::bind(place).is_ok()).await;
    let (there, _) = net.join_with(patient().bind(place));
    let alpha = there.new_host("α").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    let began = Instant::now();
    let mut dials = tokio::task::JoinSet::new();
    for host in peers {
        dials.spawn(async move { host.dial("α:1").await.map(drop) });
    }
    let accepting = async {
        loop {
            drop(listener.accept().await.unwrap());
        }
    };
    let dialed = tokio::select! {
        dialed = dials.join_all() => dialed,
        () = accepting => unreachable!("it goes on"),
    };
    figure(
        "host back on its port, 100 peers",
        format!("all there after {:.1?}", began.elapsed()),
    );
    let failed: Vec<_> = dialed.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{} failed: {}", failed.len(), failed[0]);
    here.close().await.unwrap();
    there.close().await.unwrap();
}
