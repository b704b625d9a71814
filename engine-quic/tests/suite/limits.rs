//! Limits per peer and per address: a peer beyond one gets an error, and other
//! peers are not affected.
//!
//! Owns these limits; `flood.rs` owns those that apply before authentication.

use std::net::Ipv4Addr;

use crate::common::raw::{self, Leaf, Pki, hello};
use crate::common::{HANG, Net, connect, eventually};
use quinn::{Connection, ConnectionError, Endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use virtnet_core::{Cause, Host, Listener, MAX_FIRST_BYTES, SubNetwork};
use virtnet_engine_quic::{Counters, Limits, QuicConfig, Tuning, dns_name};

const WINDOW: u32 = 64 << 10;

/// A host α that a test attacks, and a host β that it must not harm.
struct Arena {
    net: Net,
    pki: Pki,
    leaf: Leaf,
    here: SubNetwork,
    there: SubNetwork,
    alpha: Host,
    listener: Listener,
    beta: Host,
    counters: Counters,
}

impl Arena {
    async fn new(change: impl FnOnce(&mut Limits)) -> Arena {
        let (net, pki) = (Net::new("net"), Pki::new());
        let config = |host: &str| {
            let identity = pki.identity(&pki.leaf("net", &[host]));
            let mut tuning = Tuning::default();
            tuning.stream_window = WINDOW;
            QuicConfig::new(identity)
                .bind((Ipv4Addr::LOCALHOST, 0).into())
                .tuning(tuning)
        };
        let mut limits = Limits::default();
        change(&mut limits);
        let attacked = config("α").limits(limits).handshake_timeout(HANG);
        let (here, counters) = net.join_with(attacked);
        let (there, _) = net.join_with(config("β"));
        let alpha = here.new_host("α").await.unwrap();
        Arena {
            leaf: pki.leaf("net", &["μ"]),
            beta: there.new_host("β").await.unwrap(),
            listener: alpha.listen(":1").unwrap(),
            alpha,
            net,
            pki,
            here,
            there,
            counters,
        }
    }

    /// A QUIC connection to α by a peer with μ's certificate.
    async fn attack(&self) -> (Endpoint, Connection) {
        let (leaf, place) = (Some(&self.leaf), self.net.real_addr("α"));
        raw::connect(&self.pki, leaf, place, &dns_name("net", "α")).await
    }

    async fn close(self) {
        let Arena { here, there, .. } = self;
        here.close().await.unwrap();
        there.close().await.unwrap();
    }
}

async fn exchange(from: &Host, listener: &Listener) {
    let (mut dialed, mut accepted) = connect(from, listener).await;
    dialed.write_all(b"there").await.unwrap();
    accepted.read_exact(&mut [0; 5]).await.unwrap();
    accepted.write_all(b"back").await.unwrap();
    dialed.read_exact(&mut [0; 4]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_has_so_many_connections_and_no_more() {
    let arena = Arena::new(|limits| limits.connections_per_peer = 2).await;
    let (_first, _second) = (arena.attack().await, arena.attack().await);
    // The handshake completes before its certificate is checked: α has counted a connection
    // when it answers on it.
    for conn in [&_first.1, &_second.1] {
        let (mut writer, mut reader) = conn.open_bi().await.unwrap();
        writer.write_all(&[9]).await.unwrap();
        let answer = timeout(HANG, reader.read_to_end(3)).await.unwrap();
        assert_eq!(answer, Ok(vec![2, 6, 2]));
    }
    let (_endpoint, third) = arena.attack().await;
    let closed = timeout(HANG, third.closed()).await.unwrap();
    let ConnectionError::ApplicationClosed(closed) = closed else {
        panic!("{closed}")
    };
    assert_eq!(u64::from(closed.error_code), 4);
    assert_eq!(arena.counters.stats().connections_refused, 1);
    exchange(&arena.beta, &arena.listener).await;

    // When one ends, another one is allowed.
    _first.1.close(0u32.into(), b"");
    let refused = arena.counters.stats().connections_refused;
    loop {
        let (_endpoint, next) = arena.attack().await;
        let (mut writer, mut reader) = next.open_bi().await.unwrap();
        let _ = writer.write_all(&[9]).await;
        // Refused because of its version, or because the connection is still one too many.
        if reader.read_to_end(3).await == Ok(vec![2, 6, 2]) {
            break;
        }
    }
    println!(
        "{} tries until there was room",
        arena.counters.stats().connections_refused - refused + 1
    );
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_has_all_its_connections_says_so() {
    let arena = Arena::new(|limits| limits.connections = 1).await;
    let (_endpoint, held) = arena.attack().await;
    // The attacker's connection is complete before α has counted it.
    let place = arena.net.real_addr("α");
    let (mut writer, mut reader) = held.open_bi().await.unwrap();
    writer.write_all(&[9]).await.unwrap();
    let answer = timeout(HANG, reader.read_to_end(3)).await.unwrap();
    assert_eq!(answer, Ok(vec![2, 6, 2]), "by then it has");
    let err = timeout(HANG, arena.beta.dial("α:2"))
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(arena.counters.stats().connections_refused, 1);
    assert_eq!(err.cause(), Cause::ConnectionRefused);
    let text = format!(
        "dial net β:1->α:2: host \"α\" at {place} accepts no more connections at the moment"
    );
    assert_eq!(err.to_string(), text);
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_keep_the_others_out() {
    let change = |limits: &mut Limits| limits.handshakes_per_address = 3;
    let arena = Arena::new(change).await;
    let place = arena.net.real_addr("α");
    let flood = raw::first_datagrams(&arena.pki, 4).await;
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for datagram in flood.values() {
        socket.send_to(datagram, place).unwrap();
    }
    let refused = || arena.counters.stats().handshakes_refused;
    eventually("the fourth is refused", || refused() == 1).await;
    let err = arena.beta.dial("α:1").await.unwrap_err();
    assert_eq!(err.cause(), Cause::ConnectionRefused);

    let identity = arena.pki.identity(&arena.pki.leaf("net", &["γ"]));
    let elsewhere = Ipv4Addr::new(127, 0, 0, 2);
    let config = QuicConfig::new(identity).bind((elsewhere, 0).into());
    let (other, _) = arena.net.join_with(config);
    let gamma = other.new_host("γ").await.unwrap();
    exchange(&gamma, &arena.listener).await;
    other.close().await.unwrap();
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_without_a_first_frame_wait_for_each_other_and_no_one_else() {
    const MOST: usize = 8;
    let arena = Arena::new(|limits| limits.unopened_per_peer = MOST).await;
    // On two connections: the limit is per peer.
    let (_one, first) = arena.attack().await;
    let (_two, second) = arena.attack().await;
    let mut silent = Vec::new();
    for conn in [&first, &second].into_iter().cycle().take(MOST + 1) {
        let (mut writer, reader) = conn.open_bi().await.unwrap();
        writer.write_all(&[2]).await.unwrap();
        silent.push((writer, reader));
    }
    let held_back = || arena.counters.stats().unopened_held_back;
    eventually("the peer is held back", || held_back() > 0).await;
    let (mut writer, mut reader) = first.open_bi().await.unwrap();
    let closed = hello("net", ("μ", 1), ("α", 9));
    writer.write_all(&closed).await.unwrap();
    exchange(&arena.beta, &arena.listener).await;

    // Each one that sends its first frame, or ends, allows another one.
    drop(silent);
    let refusal = timeout(HANG, reader.read_to_end(3)).await.unwrap();
    assert_eq!(refusal, Ok(vec![2, 2]), "nothing listens there");
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_too_early_is_not_kept_without_end() {
    let arena = Arena::new(|limits| limits.unopened_per_peer = 1).await;
    let (_endpoint, conn) = arena.attack().await;
    // Refused dials do not raise the limit.
    for port in 1..100 {
        let (mut writer, mut reader) = conn.open_bi().await.unwrap();
        let dial = hello("net", ("μ", port), ("α", 9));
        writer.write_all(&dial).await.unwrap();
        assert_eq!(reader.read_to_end(3).await, Ok(vec![2, 2]));
    }
    // The first stream sends nothing, so the host reads none of the others.
    let mut streams = Vec::new();
    for _ in 0..100 {
        let (mut writer, reader) = conn.open_bi().await.unwrap();
        writer.write_all(&[2]).await.unwrap();
        streams.push((writer, reader));
    }
    let full = vec![1; WINDOW as usize];
    let blocked = || conn.stats().frame_tx.data_blocked > 0;
    let mut kept = streams.len();
    for (writer, _) in &mut streams[1..] {
        let mut written = 1;
        while written < full.len() {
            tokio::select! {
                biased;
                more = writer.write(&full[written..]) => written += more.unwrap(),
                () = eventually("it is held up", blocked) => break,
            }
        }
        kept += written - 1;
    }
    println!("of {} bytes {kept} were taken", 100 * WINDOW);
    assert!(kept <= 8 * WINDOW as usize, "{kept}");
    exchange(&arena.beta, &arena.listener).await;
    arena.close().await;
}

/// The first bytes of dials that wait for an accept are kept, and not much more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_an_accept_is_bounded() {
    const DIALS: u16 = 100;
    let arena = Arena::new(|_| {}).await;
    let listener = arena.alpha.listen(":7").unwrap();
    let (_endpoint, conn) = arena.attack().await;
    let mut streams = Vec::new();
    for port in 1..=DIALS {
        let (mut writer, reader) = conn.open_bi().await.unwrap();
        let dial = hello("net", ("μ", port), ("α", 7));
        writer.write_all(&dial).await.unwrap();
        // What each may send is never held up by what others have sent.
        let first = writer.write_all(&[7; MAX_FIRST_BYTES]);
        timeout(HANG, first).await.unwrap().unwrap();
        streams.push((writer, reader));
    }
    let waiting = || listener.pending() == usize::from(DIALS);
    eventually("all wait", waiting).await;
    // A dialer that sends more is stopped by its own flow control.
    let full = vec![1; WINDOW as usize];
    let blocked = || conn.stats().frame_tx.data_blocked > 0;
    let mut kept = streams.len() * MAX_FIRST_BYTES;
    'all: for (writer, _) in &mut streams {
        let mut written = MAX_FIRST_BYTES + 100;
        while written < full.len() {
            tokio::select! {
                biased;
                more = writer.write(&full[written..]) => {
                    let more = more.unwrap();
                    (written, kept) = (written + more, kept + more);
                }
                () = eventually("it is held up", blocked) => break 'all,
            }
        }
    }
    println!("{kept} bytes were taken");
    // Half of the limit is spare, and it doubles.
    let most = 4 * usize::from(DIALS) * MAX_FIRST_BYTES;
    assert!(kept <= most.max(16 * WINDOW as usize), "{kept}");
    exchange(&arena.beta, &arena.listener).await;
    drop(streams);
    eventually("all are given up", || listener.pending() == 0).await;
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_connections_stall_no_other_and_give_back_what_they_took() {
    let arena = Arena::new(|_| {}).await;
    let (from, listener) = (&arena.beta, &arena.listener);
    // The handshake's bytes count, too.
    let full = vec![7; WINDOW as usize - 100];
    let mut unread = Vec::new();
    for _ in 0..40 {
        let (mut dialed, accepted) = connect(from, listener).await;
        timeout(HANG, dialed.write_all(&full))
            .await
            .unwrap()
            .unwrap();
        unread.push((dialed, accepted));
    }
    timeout(HANG, exchange(from, listener)).await.unwrap();
    // Closed unread, from either side, with many times the limit in all.
    for round in 0..400 {
        let (mut dialed, accepted) = connect(from, listener).await;
        let write = timeout(HANG, dialed.write_all(&full));
        write.await.unwrap().unwrap();
        match round % 2 {
            0 => drop((accepted, dialed)),
            _ => drop((dialed, accepted)),
        }
    }
    timeout(HANG, exchange(from, listener)).await.unwrap();
    // The connections that waited have lost nothing.
    for (dialed, mut accepted) in unread {
        drop(dialed);
        let mut all = Vec::new();
        accepted.read_to_end(&mut all).await.unwrap();
        assert!(all == full);
    }
    arena.close().await;
}
