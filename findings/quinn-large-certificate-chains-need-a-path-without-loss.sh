#!/usr/bin/env bash
# quinn 0.11.12: a certificate chain of more than 16 KiB is accepted, until one datagram of it is lost.
#
# Guess, before the run: chains of any size that rustls takes (64 KiB) only need more round trips when packets are lost.
# Seen: a client connects to a server with a chain of 60,000 bytes, and is closed with CRYPTO_BUFFER_EXCEEDED if a single
#   datagram of the server's is lost: what comes after the gap is counted from the gap, and quinn buffers 16 KiB of that.
#   The repeated datagram would have come within a round trip. A chain of 12,000 bytes takes the same loss.
# Matters to: certificates with many names or intermediates, as tests on one machine, without loss, never fail.
# Way out: TransportConfig::crypto_buffer_size(65_536 or more) at the side that reads the chain.
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
quinn-proto = { version = "=0.11.19", default-features = false }
rcgen = "=0.14.10"
rustls = { version = "0.23", default-features = false, features = ["ring", "std"] }
tokio = { version = "1", features = ["macros", "net", "rt-multi-thread", "time"] }
TOML
cat >"$work/src/main.rs" <<'RUST'
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Passes datagrams on in both directions, except the server's one with this number, the first being 1.
async fn relay(socket: tokio::net::UdpSocket, server: SocketAddr, lost: usize) {
    let (mut client, mut count, mut buffer) = (None, 0, vec![0; 65_536]);
    loop {
        let (size, from) = socket.recv_from(&mut buffer).await.unwrap();
        let to = if from == server {
            count += 1;
            client.filter(|_| count != lost)
        } else {
            client = Some(from);
            Some(server)
        };
        if let Some(to) = to {
            // A round trip of some milliseconds, in order.
            tokio::time::sleep(Duration::from_millis(2)).await;
            socket.send_to(&buffer[..size], to).await.unwrap();
        }
    }
}

/// How a dial to a server with a chain of about this size ends, if one of its datagrams is lost.
async fn dial(size: usize, lost: usize, buffer: Option<usize>) -> String {
    // One self-signed certificate stands for the chain: half a name is 20 bytes and more.
    let names = (0..size / 42).map(|at| format!("host-{at:05}.subdomain-of.some-example.test"));
    let names: Vec<_> = ["localhost".to_owned()].into_iter().chain(names).collect();
    let key = rcgen::generate_simple_self_signed(names).unwrap();
    let cert = key.cert.der().clone();
    let secret = rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let server = quinn::ServerConfig::with_single_cert(vec![cert.clone()], secret.into()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert).unwrap();
    let mut client = quinn::ClientConfig::with_root_certificates(Arc::new(roots)).unwrap();
    if let Some(bytes) = buffer {
        let mut transport = quinn::TransportConfig::default();
        transport.crypto_buffer_size(bytes);
        client.transport_config(Arc::new(transport));
    }
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let listening = quinn::Endpoint::server(server, any).unwrap();
    let dialing = quinn::Endpoint::client(any).unwrap();
    let between = tokio::net::UdpSocket::bind(any).await.unwrap();
    let at = between.local_addr().unwrap();
    let relay = tokio::spawn(relay(between, listening.local_addr().unwrap(), lost));
    let accept = tokio::spawn(async move {
        let conn = listening.accept().await.unwrap().await;
        // Kept open until the dialer is done.
        std::future::pending::<()>().await;
        drop(conn);
    });
    let dialed = dialing.connect_with(client, at, "localhost").unwrap();
    let dialed = tokio::time::timeout(Duration::from_secs(10), dialed).await;
    relay.abort();
    accept.abort();
    match dialed {
        Ok(Ok(_)) => "connected".to_owned(),
        Ok(Err(err)) => err.to_string(),
        Err(_) => "no answer".to_owned(),
    }
}

#[tokio::main]
async fn main() {
    // No datagram has the number 0, so none is lost.
    for (size, lost, buffer) in [
        (12_000, 5, None),
        (60_000, 0, None),
        (60_000, 8, None),
        (60_000, 8, Some(65_536)),
    ] {
        let ended = dial(size, lost, buffer).await;
        println!("{size} bytes, lost: {lost}, buffer: {buffer:?}: {ended}");
    }
}
RUST
# Optimized, as servers are built.
said=$(cd "$work" && timeout 900 cargo run --quiet --release)
echo "$said"
[ "$said" = "12000 bytes, lost: 5, buffer: None: connected
60000 bytes, lost: 0, buffer: None: connected
60000 bytes, lost: 8, buffer: None: received more data in CRYPTO frames than can be buffered
60000 bytes, lost: 8, buffer: Some(65536): connected" ] || {
    echo "this has changed"
    exit 1
}
