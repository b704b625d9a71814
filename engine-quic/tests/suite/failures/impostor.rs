//! Another process on the UDP port of a host that is gone, while the registry still
//! has that address.
//!
//! Owns the error of the dialer, and that the other process learns nothing.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use virtnet_core::{Cause, Conn, Host, Listener, Registry, SubNetwork};
use virtnet_engine_quic::Secret;

use super::SLACK;
use crate::common::{HANG, Net, connect, eventually, figure};
use crate::process::Process;

const DIAL: Duration = Duration::from_secs(3);
const CUT: Duration = Duration::from_secs(10);

/// β, with a connection to α, which was killed; its name still leads to `place`.
struct Left {
    net: Net,
    subnet: SubNetwork,
    beta: Host,
    conn: Conn,
    place: SocketAddr,
}

async fn left() -> Left {
    let net = Net::new("net");
    let peer = Process::start(&net, net.config(), "α").await;
    let place = net.real_addr("α");
    let subnet = net.join();
    let beta = subnet.new_host("β").await.unwrap();
    let (conn, accepted) = connect(&beta, &peer.listener).await;
    let listener = peer.kill();
    drop((accepted, listener));
    eventually("the port is free", || UdpSocket::bind(place).is_ok()).await;
    Left {
        net,
        subnet,
        beta,
        conn,
        place,
    }
}

impl Left {
    /// Dials, and goes on with the connection; how long it took until both failed.
    async fn fails(mut self, cause: Cause, said: &str) -> [Duration; 3] {
        let stale = self.net.hub.registry();
        let place = self.place.to_string();
        stale.announce("α", &place).await.unwrap();
        let begun = Instant::now();
        let old = async {
            let wrote = self.conn.write_all(b"for the old one").await;
            let read = match wrote {
                Ok(()) => self.conn.read(&mut [0; 8]).await.map(drop),
                Err(err) => Err(err),
            };
            let err = read.expect_err("a cut is no end of file");
            let cut = [ErrorKind::TimedOut, ErrorKind::ConnectionReset];
            assert!(cut.contains(&err.kind()), "{err}");
            begun.elapsed()
        };
        let dial = async {
            let first = self.beta.dial("α:1").await.unwrap_err();
            let took = begun.elapsed();
            assert!(took < DIAL + SLACK, "{took:?}");
            if first.cause() == Cause::TimedOut {
                // It used the connection to α, whose end only a timeout shows. The next
                // dial detects the other host.
                assert!(first.to_string().contains("no answer"), "{first}");
            } else {
                assert_eq!(first.cause(), cause, "{first}");
            }
            let again = Instant::now();
            let err = self.beta.dial("α:1").await.unwrap_err();
            let told = again.elapsed();
            assert_eq!(err.cause(), cause, "{err}");
            let err = err.to_string();
            assert!(err.contains(&said.replace("PLACE", &place)), "{err}");
            assert!(told < DIAL + SLACK, "{told:?}");
            [took, told]
        };
        let both = async { tokio::join!(dial, old) };
        let ([first, next], old) = timeout(HANG, both).await.unwrap();
        assert!(old < CUT + SLACK, "{old:?}");
        drop(self.conn);
        // What was written is lost: it is for this to say, or the error above was.
        let _ = self.subnet.close().await;
        [first, next, old]
    }
}

/// A host at that address, which listens; no dial may reach it.
async fn host(net: &Net, place: SocketAddr, name: &str) -> (SubNetwork, Host, Listener) {
    let (subnet, _) = net.join_with(net.config().bind(place));
    let host = subnet.new_host(name).await.unwrap();
    let listener = host.listen(":1").unwrap();
    (subnet, host, listener)
}

async fn unreached((subnet, host, listener): (SubNetwork, Host, Listener)) {
    assert_eq!(listener.pending(), 0);
    assert_eq!(host.sockets().len(), 1, "its listener");
    subnet.close().await.unwrap();
}

async fn another_host() -> [Duration; 3] {
    let left = left().await;
    let at = Net {
        network: left.net.network,
        secret: left.net.secret.clone(),
        hub: left.net.hub.clone(),
    };
    let other = host(&at, left.place, "γ").await;
    let said = "expected host \"α\" at PLACE, got another host of network \"net\"";
    let took = left.fails(Cause::PermissionDenied, said).await;
    unreached(other).await;
    took
}

async fn another_networks_host() -> [Duration; 3] {
    let left = left().await;
    let net = Net {
        secret: left.net.secret.clone(),
        ..Net::new("other")
    };
    let other = host(&net, left.place, "α").await;
    let said = "expected host \"α\" at PLACE, got a peer that is not on network \"net\"";
    let took = left.fails(Cause::PermissionDenied, said).await;
    unreached(other).await;
    took
}

async fn a_stranger_of_the_same_names() -> [Duration; 3] {
    let left = left().await;
    let net = Net {
        secret: Secret::random(),
        ..Net::new("net")
    };
    let other = host(&net, left.place, "α").await;
    let said = "expected host \"α\" at PLACE, got a peer with another secret";
    let took = left.fails(Cause::PermissionDenied, said).await;
    unreached(other).await;
    took
}

/// It returns each datagram with one bit flipped, or nothing.
async fn no_virtnet_at_all(answers: bool) -> [Duration; 3] {
    let left = left().await;
    let socket = tokio::net::UdpSocket::bind(left.place).await.unwrap();
    let serving = tokio::spawn(async move {
        let mut datagram = vec![0; 1 << 16];
        while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
            datagram[length / 2] ^= 1;
            if answers {
                let _ = socket.send_to(&datagram[..length], from).await;
            }
        }
    });
    let said = "no answer from host \"α\" at PLACE within 3s";
    let took = left.fails(Cause::TimedOut, said).await;
    serving.abort();
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_the_port_of_a_killed_host() {
    let (member, network, stranger, silent, noisy) = tokio::join!(
        another_host(),
        another_networks_host(),
        a_stranger_of_the_same_names(),
        no_virtnet_at_all(false),
        no_virtnet_at_all(true),
    );
    for (row, [first, next, old]) in [
        ("another host of the network", member),
        ("another network's host", network),
        ("a host with another secret", stranger),
        ("another process on the same UDP port, silent", silent),
        ("another process on the same UDP port, answering", noisy),
    ] {
        figure(
            row,
            format!(
                "a dial fails after {first:.1?}, the next after {next:.1?}, \
                 the open connection after {old:.1?}"
            ),
        );
    }
}
