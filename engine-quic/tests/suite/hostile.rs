//! Peers that violate the protocol: they are refused and counted, and other peers
//! are not affected.
//!
//! Owns what a member with its own certificate may try. Peers without a certificate
//! fail earlier.

use std::error::Error;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::common::raw::{self, Leaf, Pki, hello};
use crate::common::{HANG, Net, connect, eventually};
use quinn::{Connection, ConnectionError, Endpoint, ReadError, RecvStream, SendStream, VarInt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use virtnet_core::{Cause, Conn, Host, Listener, OpError, SubNetwork};
use virtnet_engine_quic::{Counters, QuicConfig, Stats, dns_name};

/// α and β of one network are connected; γ has a certificate, and no engine.
pub(crate) struct Scene {
    net: SubNetwork,
    counters: Counters,
    alpha: Host,
    beta: Host,
    listener: Listener,
    /// β's end and α's end.
    neighbours: (Conn, Conn),
    pub(crate) pki: Pki,
    pub(crate) gamma: Leaf,
    pub(crate) place: std::net::SocketAddr,
}

impl Scene {
    pub(crate) async fn new() -> Scene {
        let (net, pki) = (Net::new("net"), Pki::new());
        let identity = pki.identity(&pki.leaf("net", &["α", "β"]));
        let config = QuicConfig::new(identity)
            .bind((Ipv4Addr::LOCALHOST, 0).into())
            .handshake_timeout(Duration::from_millis(500));
        let (subnet, counters) = net.join_with(config);
        let alpha = subnet.new_host("α").await.unwrap();
        let beta = subnet.new_host("β").await.unwrap();
        let listener = alpha.listen(":1").unwrap();
        Scene {
            neighbours: connect(&beta, &listener).await,
            counters,
            alpha,
            beta,
            listener,
            gamma: pki.leaf("net", &["γ"]),
            pki,
            place: net.real_addr("α"),
            net: subnet,
        }
    }

    async fn connect(&self, leaf: Option<&Leaf>) -> (Endpoint, Connection) {
        raw::connect(&self.pki, leaf, self.place, &dns_name("net", "α")).await
    }

    /// γ:9 dials α:1 over `conn`, and is accepted: its stream, and α's end.
    pub(crate) async fn accepts(&self, conn: &Connection) -> ((SendStream, RecvStream), Conn) {
        let (mut send, mut recv) = conn.open_bi().await.unwrap();
        let hello = hello("net", ("γ", 9), ("α", 1));
        send.write_all(&hello).await.unwrap();
        let (accepted, ()) = tokio::join!(self.listener.accept(), async {
            let mut reply = [0; 3];
            recv.read_exact(&mut reply).await.unwrap();
            assert_eq!(reply, [1, 0, 3], "α:3 accepts");
        });
        let (accepted, peer) = accepted.unwrap();
        assert_eq!(peer, "γ:9");
        ((send, recv), accepted)
    }

    /// Asserts that the connection of α and β still works, that new ones do, and
    /// that nothing of the attack is left on α.
    pub(crate) async fn end(mut self, expected: Stats) {
        let (there, here) = &mut self.neighbours;
        there.write_all(b"still here").await.unwrap();
        let mut received = [0; 10];
        here.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"still here");
        connect(&self.beta, &self.listener).await;
        eventually("α's ports are free", || self.alpha.sockets().len() == 2).await;
        assert_eq!(self.listener.pending(), 0);
        assert_eq!(self.counters.stats(), expected);
        self.net.close().await.unwrap();
    }
}

fn counted(count: impl FnOnce(&mut Stats)) -> Stats {
    let mut stats = Stats::default();
    count(&mut stats);
    stats
}

/// Opens a stream with these bytes, and returns all bytes that come back.
async fn answer(conn: &Connection, sent: &[u8]) -> Vec<u8> {
    let (mut send, mut recv) = conn.open_bi().await.unwrap();
    send.write_all(sent).await.unwrap();
    let received = timeout(HANG, recv.read_to_end(16)).await.unwrap();
    received.unwrap()
}

#[tokio::test]
async fn a_claimed_source() {
    let scene = Scene::new().await;
    let (_endpoint, conn) = scene.connect(Some(&scene.gamma)).await;
    let (mut send, _recv) = conn.open_bi().await.unwrap();
    // γ claims to be β.
    send.write_all(&hello("net", ("β", 9), ("α", 1)))
        .await
        .unwrap();
    let closed = timeout(HANG, conn.closed()).await.unwrap();
    let ConnectionError::ApplicationClosed(close) = closed else {
        panic!("closed by {closed:?}");
    };
    assert_eq!(close.error_code, VarInt::from_u32(3));
    scene
        .end(counted(|stats| stats.source_not_proved = 1))
        .await;
}

#[tokio::test]
async fn its_own_name_is_accepted() {
    let scene = Scene::new().await;
    let (_endpoint, conn) = scene.connect(Some(&scene.gamma)).await;
    let ((mut send, _recv), mut conn) = scene.accepts(&conn).await;
    // A reset stream is cut, however often it is read.
    send.reset(VarInt::from_u32(9)).unwrap();
    for _ in 0..2 {
        let read = timeout(HANG, conn.read(&mut [0])).await.unwrap();
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    drop(conn);
    scene.end(Stats::default()).await;
}

#[tokio::test]
async fn no_certificate() {
    let scene = Scene::new().await;
    // The client completes its handshake before it is refused.
    let (_endpoint, conn) = scene.connect(None).await;
    let closed = timeout(HANG, conn.closed()).await.unwrap();
    assert!(
        matches!(closed, ConnectionError::ConnectionClosed(_)),
        "{closed:?}"
    );
    scene
        .end(counted(|stats| stats.handshakes_failed = 1))
        .await;
}

#[tokio::test]
async fn garbage() {
    let scene = Scene::new().await;
    let (_endpoint, conn) = scene.connect(Some(&scene.gamma)).await;
    let good = hello("net", ("γ", 9), ("α", 1));
    let with = |at: usize, byte: u8| {
        let mut frame = good.clone();
        frame[at] = byte;
        frame
    };
    let malformed = [7u8].as_slice();
    for (sent, refusal) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), &[6, 2][..]),
        (with(0, 1), &[6, 2]),
        (with(1, 0xff), malformed),
        (with(2, 0), malformed),
        (with(4, 0xff), malformed),
        (with(4, b'\n'), malformed),
        (hello("", ("γ", 9), ("α", 1)), malformed),
        (hello("net", ("γ", 0), ("α", 1)), malformed),
        (hello("net", ("γ", 9), ("β", 1)), &[3]),
        (hello("ten", ("γ", 9), ("α", 1)), &[4]),
        (hello("net", ("γ", 9), ("α", 7)), &[2]),
        (hello("net", ("γ", 9), ("α", 0)), &[2]),
    ] {
        let reply = [&[2], refusal].concat();
        assert_eq!(answer(&conn, &sent).await, reply, "to {sent:?}");
    }
    let expected = counted(|stats| {
        stats.other_version = 2;
        stats.malformed = 6;
        stats.wrong_host = 1;
        stats.wrong_network = 1;
    });
    scene.end(expected).await;
}

#[tokio::test]
async fn silence() {
    let scene = Scene::new().await;
    let (_endpoint, conn) = scene.connect(Some(&scene.gamma)).await;
    let good = hello("net", ("γ", 9), ("α", 1));
    let end = async |sent: &[u8], code: u32| {
        let (mut send, mut recv) = conn.open_bi().await.unwrap();
        send.write_all(sent).await.unwrap();
        let reset = ReadError::Reset(VarInt::from_u32(code));
        let received = timeout(HANG, recv.read(&mut [0; 16])).await.unwrap();
        assert_eq!(received, Err(reset), "after {sent:?}");
    };
    // As many as are allowed at once, and none continues.
    let mut silent = Vec::new();
    for _ in 0..32 {
        let (mut send, recv) = conn.open_bi().await.unwrap();
        send.write_all(&good[..1]).await.unwrap();
        silent.push((send, recv));
    }
    for (_, recv) in &mut silent {
        let code = timeout(HANG, recv.received_reset()).await.unwrap();
        assert_eq!(code, Ok(Some(VarInt::from_u32(2))));
    }
    drop(silent);
    end(&good[..good.len() - 1], 2).await;
    scene.end(counted(|stats| stats.no_first_frame = 33)).await;
}

/// Reads, and asserts that the connection was cut because its dial was given up.
async fn assert_given_up(conn: &mut Conn) {
    let read = timeout(HANG, conn.read(&mut [0])).await.unwrap();
    let err = read.unwrap_err();
    let why = OpError::of(&err).unwrap();
    assert_eq!(why.cause(), Cause::ConnectionCut);
    let source = why.source().unwrap().to_string();
    assert_eq!(source, "the dialer gave up its dial");
}

/// A dialer that stops at any point after its Hello holds up no accept. What it leaves is
/// cut, once it is known to have given up.
#[tokio::test]
async fn a_dialer_that_says_nothing_more() {
    let scene = Scene::new().await;
    let (_endpoint, conn) = scene.connect(Some(&scene.gamma)).await;
    let code = VarInt::from_u32(7);
    for reads in [true, false] {
        let (mut send, mut recv) = conn.open_bi().await.unwrap();
        send.write_all(&hello("net", ("γ", 9), ("α", 1)))
            .await
            .unwrap();
        let (mut left, _) = timeout(HANG, scene.listener.accept())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(left.local_addr(), "α:3");
        // Others are accepted meanwhile.
        let both = connect(&scene.beta, &scene.listener);
        drop(timeout(HANG, both).await.unwrap());
        if reads {
            let mut reply = [0; 3];
            recv.read_exact(&mut reply).await.unwrap();
            assert_eq!(reply, [1, 0, 3]);
        }
        send.reset(code).unwrap();
        recv.stop(code).unwrap();
        assert_given_up(&mut left).await;
        // Writes fail, too, from now on.
        let wrote = left.write_all(b"x").await;
        let why = wrote.unwrap_err();
        let why = OpError::of(&why).unwrap();
        assert_eq!(why.cause(), Cause::ConnectionCut);
        // The port is free like any other's.
        drop(left);
        eventually("α:3 is free", || scene.alpha.sockets().len() == 2).await;
    }
    // A dial that is given up before it is taken is never seen.
    let (mut send, mut recv) = conn.open_bi().await.unwrap();
    send.write_all(&hello("net", ("γ", 9), ("α", 1)))
        .await
        .unwrap();
    eventually("the dial waits", || scene.listener.pending() == 1).await;
    send.reset(code).unwrap();
    recv.stop(code).unwrap();
    eventually("it is gone", || scene.listener.pending() == 0).await;
    scene.end(Stats::default()).await;
}
