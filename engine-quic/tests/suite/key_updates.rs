//! Peers that change their keys often, too fast or wrongly: the bytes are right, or the connection
//! ends with an error; other connections are not affected.
//!
//! Owns what a member of its own implementation may do with QUIC's keys (RFC 9001, section 6). How it
//! does so is in `peer.rs`.

mod peer;

use std::sync::Arc;

use peer::{Keys, Rush};
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use virtnet_core::{Cause, Conn, OpError};
use virtnet_engine_quic::{Stats, dns_name};

use crate::common::raw;
use crate::common::{HANG, figure};
use crate::hostile::Scene;

/// The member γ with keys of its own, and its connection to α.
struct Peer {
    keys: Arc<Keys>,
    _endpoint: Endpoint,
    conn: Connection,
    send: SendStream,
    recv: RecvStream,
    accepted: Conn,
}

impl Peer {
    async fn connect(scene: &Scene) -> Peer {
        let keys = Arc::new(Keys::default());
        let crypto = raw::crypto(&scene.pki, Some(&scene.gamma), &["virtnet/2"]);
        let crypto = peer::Crypto::new(crypto, keys.clone());
        let name = dns_name("net", "α");
        let connecting = raw::connect_by(Arc::new(crypto), scene.place, &name);
        let (endpoint, conn) = timeout(HANG, connecting).await.unwrap();
        let ((send, recv), accepted) = scene.accepts(&conn).await;
        Peer {
            keys,
            _endpoint: endpoint,
            conn,
            send,
            recv,
            accepted,
        }
    }

    /// Sends a piece to α and back, in both directions at once.
    async fn exchange(&mut self, piece: &[u8]) {
        let (mut reader, mut writer) = self.accepted.split();
        let (mut there, mut back) = (vec![0; piece.len()], vec![0; piece.len()]);
        let all = async {
            tokio::join!(
                async { self.send.write_all(piece).await.unwrap() },
                async { reader.read_exact(&mut there).await.unwrap() },
                async { writer.write_all(piece).await.unwrap() },
                async { self.recv.read_exact(&mut back).await.unwrap() },
            )
        };
        timeout(HANG, all).await.unwrap();
        assert!(there == piece, "α reads what was sent");
        assert!(back == piece, "γ reads what was sent");
    }

    /// Writes what does not arrive as a whole, and returns why α's end failed.
    async fn fails(&mut self, piece: &[u8]) -> Cause {
        // It fails as well, or is never acknowledged.
        let writes = self.send.write_all(piece);
        let mut received = Vec::new();
        let reads = self.accepted.read_to_end(&mut received);
        let (_, read) = timeout(HANG, async { tokio::join!(writes, reads) })
            .await
            .unwrap();
        assert!(piece.starts_with(&received), "nothing wrong is read");
        OpError::of(&read.unwrap_err()).unwrap().cause()
    }
}

fn piece(number: u8) -> Vec<u8> {
    let byte = |at: usize| (at / 7) as u8 ^ number;
    (0..200_000).map(byte).collect()
}

/// A peer asks its quinn for two updates at once, in mid-transfer, again and again. quinn does one, and ignores
/// the other.
#[tokio::test]
async fn a_peer_that_asks_for_two_at_once() {
    let scene = Scene::new().await;
    let mut peer = Peer::connect(&scene).await;
    let mut rounds = 0_u8;
    while peer.keys.updates() < 5 {
        let before = peer.keys.updates();
        peer.conn.force_key_update();
        peer.conn.force_key_update();
        assert!(peer.keys.updates() <= before + 1, "one is ignored");
        peer.exchange(&piece(rounds)).await;
        rounds = rounds.wrapping_add(1);
    }
    let mib = usize::from(rounds) * 2 * piece(0).len() / (1 << 20);
    figure(
        "two key updates at once",
        format_args!("{} were done within {mib} MiB", peer.keys.updates()),
    );
    peer.send.finish().unwrap();
    let read = timeout(HANG, peer.accepted.read(&mut [0])).await.unwrap();
    assert_eq!(read.unwrap(), 0, "a clean end");
    drop(peer);
    scene.end(Stats::default()).await;
}

/// A peer takes new keys for every packet, and waits for no acknowledgement: an error that RFC 9001 has a
/// code for.
#[tokio::test]
async fn a_peer_that_does_not_wait_for_an_acknowledgement() {
    let scene = Scene::new().await;
    let mut peer = Peer::connect(&scene).await;
    peer.exchange(&piece(1)).await;
    peer.keys.rush(Rush::EachPacket);
    let cause = peer.fails(&piece(2)).await;
    assert_eq!(cause, Cause::ConnectionCut);
    let closed = timeout(HANG, peer.conn.closed()).await.unwrap();
    let ConnectionError::ConnectionClosed(close) = closed else {
        panic!("closed by {closed:?}");
    };
    assert_eq!(u64::from(close.error_code), 0xe, "{close}");
    drop(peer);
    scene.end(Stats::default()).await;
}

/// A peer leaves out an update: nothing that it says is understood, as if it were cut off.
#[tokio::test]
async fn a_peer_that_leaves_one_out() {
    let scene = Scene::new().await;
    let mut peer = Peer::connect(&scene).await;
    peer.exchange(&piece(1)).await;
    peer.keys.rush(Rush::LeaveOneOut);
    let cause = peer.fails(&piece(2)).await;
    assert_eq!(cause, Cause::TimedOut);
    drop(peer);
    scene.end(Stats::default()).await;
}
