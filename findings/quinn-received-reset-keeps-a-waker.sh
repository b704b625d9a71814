#!/usr/bin/env bash
# quinn 0.11.12: a wait for a reset that was given up keeps its waker after the stream was read to its end and dropped.
#
# Guess, before the run: dropping a RecvStream lets go of whatever its methods have registered.
# Seen: RecvStream::received_reset registers the waker of its task also if all data and the end are there already. No event
#   follows that would take it out, and the drop of a stream that was read to its end returns early. So the waker, and with it the
#   memory of the task, is kept until the QUIC connection ends. A wait that began before the data came leaves nothing.
# Matters to: a server that selects between "the peer gave up" and its own work, on many streams of one connection.
# Way out: give such a task a small future, such as a boxed one, or wait on SendStream::stopped, which keeps a Notify.
#
# Needs cargo and the public crates; no network but loopback. Exits with 0 if this is still so, with 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat >"$work/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
quinn = { version = "=0.11.12", default-features = false, features = ["runtime-tokio", "rustls-ring"] }
rcgen = "=0.14.10"
rustls = { version = "0.23", default-features = false, features = ["ring", "std"] }
tokio = { version = "1", features = ["macros", "rt-multi-thread", "time"] }
TOML
cat >"$work/src/main.rs" <<'RUST'
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// A task that nobody runs: only its references are of interest.
struct Idle;

impl Wake for Idle {
    fn wake(self: Arc<Self>) {}
}

/// Waits for a reset once, before or after the data is there; reads all; drops the stream. Returns how many
/// references to the task are left while the connection is open.
async fn left(conn: &quinn::Connection, peer: &quinn::Connection, late: bool) -> usize {
    let mut send = peer.open_uni().await.unwrap();
    send.write_all(b"first ").await.unwrap();
    let mut recv = conn.accept_uni().await.unwrap();
    let task = Arc::new(Idle);
    let waker = Waker::from(Arc::clone(&task));
    let mut begin = [0; 6];
    recv.read_exact(&mut begin).await.unwrap();
    if !late {
        let waited = pin!(recv.received_reset()).poll(&mut Context::from_waker(&waker));
        assert!(matches!(waited, Poll::Pending));
    }
    send.write_all(b"last").await.unwrap();
    send.finish().unwrap();
    // Acknowledged: all of it has arrived.
    send.stopped().await.unwrap();
    if late {
        let waited = pin!(recv.received_reset()).poll(&mut Context::from_waker(&waker));
        assert!(matches!(waited, Poll::Pending));
    }
    assert_eq!(recv.read_to_end(100).await.unwrap(), b"last");
    drop(recv);
    drop(waker);
    Arc::strong_count(&task) - 1
}

#[tokio::main]
async fn main() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let cert = key.cert.der().clone();
    let secret = rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let server = quinn::ServerConfig::with_single_cert(vec![cert.clone()], secret.into()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert).unwrap();
    let client = quinn::ClientConfig::with_root_certificates(Arc::new(roots)).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let (listening, dialing) = (
        quinn::Endpoint::server(server, any).unwrap(),
        quinn::Endpoint::client(any).unwrap(),
    );
    let at = listening.local_addr().unwrap();
    let dialed = async { dialing.connect_with(client, at, "localhost").unwrap().await.unwrap() };
    let accepted = async { listening.accept().await.unwrap().await.unwrap() };
    let (peer, conn) = tokio::join!(dialed, accepted);
    let all = async { (left(&conn, &peer, false).await, left(&conn, &peer, true).await) };
    let (early, late) = tokio::time::timeout(Duration::from_secs(20), all).await.unwrap();
    println!("references left: {early} if it waited before the end came, {late} if after");
}
RUST
# Optimized, as servers are built.
said=$(cd "$work" && timeout 600 cargo run --quiet --release)
echo "$said"
[ "$said" = "references left: 0 if it waited before the end came, 1 if after" ] || {
    echo "this has changed"
    exit 1
}
