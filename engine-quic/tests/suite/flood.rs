//! Floods of unfinished handshakes: they cost little, and members still connect.
//!
//! Owns the limits on what peers can use before they have authenticated.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::common::raw::{Pki, first_datagrams};
use crate::common::{HANG, Net, connect, eventually};
use tokio::time::timeout;
use virtnet_core::Cause;
use virtnet_engine_quic::{Limits, QuicConfig};

/// Begins handshakes with `place`, each from its own address, and never continues
/// them.
async fn flood(place: SocketAddr, count: usize) -> Vec<UdpSocket> {
    let datagrams: HashMap<_, _> = first_datagrams(&Pki::new(), count).await;
    let begin = |datagram: &Vec<u8>| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.send_to(datagram, place).unwrap();
        socket
    };
    datagrams.values().map(begin).collect()
}

/// The handshake timeout is longer than a test, so unfinished handshakes stay.
fn limited(net: &Net, change: impl FnOnce(&mut Limits)) -> QuicConfig {
    let mut limits = Limits::default();
    change(&mut limits);
    net.config().limits(limits).handshake_timeout(HANG)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_get_in_through_a_flood() {
    const COUNT: usize = 50;
    let net = Net::new("net");
    let (here, counters) = net.join_with(limited(&net, |limits| limits.handshakes_unproved = 1));
    let (there, _) = net.join_with(net.config());
    let alpha = here.new_host("α").await.unwrap();
    let beta = there.new_host("β").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    let _sockets = flood(net.real_addr("α"), COUNT).await;
    // One starts a handshake; the others must prove their address first.
    let retried = || counters.stats().handshakes_retried;
    eventually("the flood has come", || retried() == COUNT as u64 - 1).await;
    timeout(HANG, connect(&beta, &listener)).await.unwrap();
    assert_eq!(retried(), COUNT as u64, "the member, too");
    assert_eq!(counters.stats().handshakes_refused, 0);
    here.close().await.unwrap();
    there.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_bound_handshakes_are_refused() {
    let net = Net::new("net");
    let (here, counters) = net.join_with(limited(&net, |limits| limits.handshakes = 1));
    let (there, _) = net.join_with(net.config());
    let _alpha = here.new_host("α").await.unwrap();
    let beta = there.new_host("β").await.unwrap();
    let place = net.real_addr("α");
    let _sockets = flood(place, 3).await;
    let refused = || counters.stats().handshakes_refused;
    eventually("the flood has come", || refused() >= 2).await;
    let err = timeout(HANG, beta.dial("α:1")).await.unwrap().unwrap_err();
    assert_eq!(err.cause(), Cause::ConnectionRefused);
    assert_eq!(
        err.to_string(),
        format!(
            "dial net β:1->α:1: host \"α\" at {place} accepts no more connections at the moment"
        )
    );
    here.close().await.unwrap();
    there.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_leads_nowhere_ends() {
    let net = Net::new("net");
    let bound = Duration::from_millis(200);
    let (here, counters) =
        net.join_with(limited(&net, |limits| limits.handshakes = 1).handshake_timeout(bound));
    let (there, _) = net.join_with(net.config());
    let alpha = here.new_host("α").await.unwrap();
    let beta = there.new_host("β").await.unwrap();
    let _sockets = flood(net.real_addr("α"), 1).await;
    eventually("it has run out", || counters.stats().handshakes_failed == 1).await;
    connect(&beta, &alpha.listen(":1").unwrap()).await;
    here.close().await.unwrap();
    there.close().await.unwrap();
}
