//! A peer that is built from docs/protocol.md, and uses its test vectors only.
//!
//! Owns the protocol as seen from outside. Never derives a value that the page
//! gives. `frame.rs` owns the layout of frames, and `golden_tests.rs` checks its
//! vectors.

mod peer;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::common::tap::Tap;
use crate::common::{HANG, eventually};
use peer::{certified_over, client, client_with, code, net, reach, server, text, vector};
use quinn::{ConnectionError, ReadError, ReadToEndError, VarInt};
use rcgen::{BasicConstraints, CertificateParams, IsCa};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use virtnet_core::{Cause, Registry};

#[tokio::test]
async fn the_pages_peer_dials() {
    let net = net();
    let subnet = net.join();
    let host = subnet.new_host(&text("acceptor")).await.unwrap();
    let listener = host.listen(":1").unwrap();
    let peer = client();
    let name = text("dns-name-acceptor");
    let connecting = peer
        .connect(net.real_addr(&text("acceptor")), &name)
        .unwrap();
    let conn = timeout(HANG, connecting).await.unwrap().unwrap();

    let (mut send, mut recv) = conn.open_bi().await.unwrap();
    send.write_all(&vector("first-hello")).await.unwrap();
    let handshake = async {
        let mut reply = [0; 3];
        recv.read_exact(&mut reply).await.unwrap();
        assert_eq!(reply[0], vector("accepted")[0]);
        assert_eq!(reply[1..], [0, 2], "the lowest free port");
    };
    let both = async { tokio::join!(listener.accept(), handshake) };
    let (accepted, ()) = timeout(HANG, both).await.unwrap();
    let (mut accepted, from) = accepted.unwrap();
    assert_eq!(from, "β:258");

    send.write_all("to α".as_bytes()).await.unwrap();
    send.finish().unwrap();
    let mut received = String::new();
    accepted.read_to_string(&mut received).await.unwrap();
    assert_eq!(received, text("first-bytes") + "to α");
    accepted.write_all(b"to the peer").await.unwrap();
    drop(accepted);
    let received = timeout(HANG, recv.read_to_end(16)).await.unwrap();
    assert_eq!(received.unwrap(), b"to the peer");

    subnet.close().await.unwrap();
    let closed = timeout(HANG, conn.closed()).await.unwrap();
    let ConnectionError::ApplicationClosed(close) = closed else {
        panic!("closed by {closed:?}");
    };
    assert_eq!(close.error_code, code("close-bye"));
}

#[tokio::test]
async fn the_pages_peer_is_dialed() {
    let net = net();
    let subnet = net.join();
    let peer = server();
    let place = peer.local_addr().unwrap().to_string();
    let registry = net.hub.registry();
    registry.announce(&text("acceptor"), &place).await.unwrap();
    let host = subnet.new_host(&text("dialer")).await.unwrap();
    // So that 258 is the lowest free port.
    let lower: Vec<_> = (1..258).map(|_| host.listen(":0").unwrap()).collect();

    let accept = async {
        let conn = peer.accept().await.unwrap().await.unwrap();
        let (mut send, mut recv) = conn.accept_bi().await.unwrap();
        let mut hello = vec![0; vector("hello").len()];
        recv.read_exact(&mut hello).await.unwrap();
        assert_eq!(hello, vector("hello"));
        send.write_all(&vector("waiting")).await.unwrap();
        send.write_all(&vector("accepted")).await.unwrap();
        // The next is given up, and the one after it is refused.
        let (_send, mut gone) = conn.accept_bi().await.unwrap();
        let reset = gone.received_reset().await.unwrap();
        assert_eq!(reset, Some(code("stream-given-up")));
        let (mut refuse, mut hello) = conn.accept_bi().await.unwrap();
        let mut frame = vec![0; vector("first-hello").len()];
        hello.read_exact(&mut frame).await.unwrap();
        assert!(frame.ends_with(&vector("first-bytes")));
        refuse
            .write_all(&vector("refused-no-such-host"))
            .await
            .unwrap();
        refuse.finish().unwrap();
        (conn, send, recv)
    };
    let dial = async {
        let dialed = host.dial("α:1").await.unwrap();
        let given_up = timeout(Duration::from_millis(200), host.dial("α:1")).await;
        assert!(given_up.is_err());
        let first = vector("first-bytes");
        let refused = host.dial_with("α:1", &first).await.unwrap_err();
        assert_eq!(refused.cause(), Cause::NoSuchHost);
        dialed
    };
    let both = async { tokio::join!(dial, accept) };
    let (dialed, (conn, _send, mut recv)) = timeout(HANG, both).await.unwrap();
    assert_eq!(dialed.local_addr(), "β:258");
    assert_eq!(dialed.peer_addr(), "α:258");
    // A close ends the stream, and sends STOP_SENDING.
    drop(dialed);
    let end = timeout(HANG, recv.read_to_end(0)).await.unwrap();
    assert_eq!(end.unwrap(), b"");
    drop(lower);
    subnet.close().await.unwrap();
    let closed = timeout(HANG, conn.closed()).await.unwrap();
    assert!(
        matches!(closed, ConnectionError::ApplicationClosed(close) if close.error_code == code("close-bye"))
    );
}

/// A host answers packets of an unknown connection with a token that stays the same
/// after a restart.
#[tokio::test]
async fn a_stateless_reset_has_the_pages_token() {
    let net = net();
    let subnet = net.join();
    let _host = subnet.new_host(&text("acceptor")).await.unwrap();
    let place: SocketAddr = net.real_addr(&text("acceptor"));
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    // A packet with a short header (RFC 9000, section 17.3.1).
    let packet = [&[0x40], &vector("reset-connection-id")[..], &[0; 91]].concat();
    // The smallest that a member sends, the smallest that is answered, and a smaller one.
    for length in [packet.len(), 30, 21, 22] {
        socket.send_to(&packet[..length], place).await.unwrap();
        if length == 21 {
            continue;
        }
        let mut answer = [0; 100];
        let answered = timeout(HANG, socket.recv(&mut answer)).await.unwrap();
        let answer = &answer[..answered.unwrap()];
        assert!(answer.ends_with(&vector("reset-token")), "{answer:?}");
        // The answer to 21 bytes would have 20.
        assert!((21..length).contains(&answer.len()), "{length}: {answer:?}");
    }
    subnet.close().await.unwrap();
}

/// Nothing listens: the answers to a Hello, and to a Hello with first bytes after it.
#[tokio::test]
async fn a_refusal_stops_the_other_direction_with_code_0() {
    let net = net();
    let subnet = net.join();
    let _host = subnet.new_host(&text("acceptor")).await.unwrap();
    let peer = client();
    let conn = reach(&net, &peer).await;
    for hello in ["hello", "first-hello"] {
        let (mut send, mut recv) = conn.open_bi().await.unwrap();
        send.write_all(&vector(hello)).await.unwrap();
        let received = timeout(HANG, recv.read_to_end(9)).await.unwrap().unwrap();
        assert_eq!(received, vector("refused-connection"));
        let stopped = timeout(HANG, send.stopped()).await.unwrap();
        assert_eq!(stopped, Ok(Some(VarInt::from_u32(0))));
    }
    subnet.close().await.unwrap();
}

#[tokio::test]
async fn what_is_no_reply() {
    let net = net();
    let subnet = net.join();
    let peer = server();
    let place = peer.local_addr().unwrap().to_string();
    let registry = net.hub.registry();
    registry.announce(&text("acceptor"), &place).await.unwrap();
    let host = subnet.new_host(&text("dialer")).await.unwrap();
    let (mut conn, given_up) = (None, code("stream-given-up"));
    for (reply, cause) in [
        (vector("reply-unknown"), Cause::Protocol),
        (vector("reply-port-0"), Cause::Protocol),
        (vector("reply-waiting-twice"), Cause::Protocol),
        // The end of the stream, instead of a reply and within one.
        (vec![], Cause::ConnectionCut),
        (vector("accepted")[..2].to_vec(), Cause::ConnectionCut),
        ([vector("waiting"), vec![2]].concat(), Cause::ConnectionCut),
    ] {
        let answer = async {
            if conn.is_none() {
                conn = Some(peer.accept().await.unwrap().await.unwrap());
            }
            let conn = conn.as_ref().expect("it was made");
            let (mut send, mut recv) = conn.accept_bi().await.unwrap();
            send.write_all(&reply).await.unwrap();
            if cause == Cause::ConnectionCut {
                send.finish().unwrap();
            }
            let received = recv.read_to_end(99).await;
            let reset = ReadToEndError::Read(ReadError::Reset(given_up));
            assert_eq!(received, Err(reset), "{reply:?}");
            if cause == Cause::Protocol {
                assert_eq!(send.stopped().await, Ok(Some(given_up)), "{reply:?}");
            }
        };
        let both = async { tokio::join!(host.dial("α:1"), answer) };
        let (dialed, ()) = timeout(HANG, both).await.unwrap();
        let err = dialed.unwrap_err();
        assert_eq!(err.cause(), cause, "{reply:?}: {err}");
    }
    subnet.close().await.unwrap();
}

/// How many of its peer's connection ids a host stores, that it switches to another, and
/// that its packets are never too small to be answered with a reset.
#[tokio::test]
async fn connection_ids_and_the_smallest_packets() {
    let net = net();
    // Frequent keep-alives, so that there are small packets.
    let often = Duration::from_millis(50);
    let (subnet, _) = net.join_with(net.config().keep_alive(often));
    let _host = subnet.new_host(&text("acceptor")).await.unwrap();
    let tap = Tap::to(net.real_addr(&text("acceptor"))).await;
    let peer = client();
    let name = text("dns-name-acceptor");
    let connecting = peer.connect(tap.place, &name).unwrap();
    let conn = timeout(HANG, connecting).await.unwrap().unwrap();
    let kept = u64::from(vector("connection-ids")[0]);
    eventually("the first id is retired", || {
        conn.stats().frame_rx.retire_connection_id == 1
    })
    .await;
    // The first came with the handshake, and one more replaces the retired one.
    eventually("the peer is given as many as it keeps", || {
        // A frame that was lost is sent, and counted, again.
        conn.stats().frame_tx.new_connection_id >= kept
    })
    .await;
    let issued = conn.stats().frame_rx.new_connection_id;
    assert!(issued >= kept - 1, "quinn keeps 5 too: {issued}");
    let received = || conn.stats().frame_rx.ping;
    let before = received();
    eventually("the host shows that it lives", || received() > before + 3).await;
    let seen = tap.seen();
    let from_host = seen.iter().filter(|seen| !seen.to_host);
    let smallest = from_host.map(|seen| seen.bytes.len()).min().unwrap();
    // The peer's ids have 8 bytes.
    assert!((8 + 22..8 + 32).contains(&smallest), "{smallest}");
    subnet.close().await.unwrap();
}

/// The `pathLenConstraint` of a trusted authority is ignored.
#[tokio::test]
async fn an_intermediate_authority_that_is_sent_along() {
    let net = net();
    let subnet = net.join();
    let _host = subnet.new_host(&text("acceptor")).await.unwrap();
    let mut between = CertificateParams::default();
    between.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let peer = client_with(certified_over(text("dns-name-dialer"), Some(between)));
    let conn = reach(&net, &peer).await;
    let (mut send, mut recv) = conn.open_bi().await.unwrap();
    send.write_all(&vector("hello")).await.unwrap();
    let received = timeout(HANG, recv.read_to_end(9)).await.unwrap().unwrap();
    assert_eq!(
        received,
        vector("refused-connection"),
        "it is who it says it is"
    );
    subnet.close().await.unwrap();
}
