//! Peers of other protocol versions, as docs/protocol.md requires: the error names
//! both versions, whichever side dials.
//!
//! Owns the rules for all versions. Never assumes anything else about later
//! versions.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::common::raw::{self, Pki};
use crate::common::{HANG, Net, connect, eventually};
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, Endpoint, VarInt};
use tokio::time::timeout;
use virtnet_core::{Cause, Registry};
use virtnet_engine_quic::{QuicConfig, Stats, dns_name};

const THIS: u8 = 2;
/// Other versions, including the smallest and the largest byte.
const OTHERS: [u8; 5] = [0, 1, 3, 4, 255];

/// The ALPN protocols that a peer of a version offers, and the one that is chosen.
fn offers(version: u8) -> (Vec<&'static str>, &'static [u8]) {
    match version {
        // The first, and those that need nothing else.
        0 | 1 => (vec!["virtnet/1"], b"virtnet/1"),
        // One that has a protocol of its own, and the common one.
        3 => (vec!["virtnet/3", "virtnet/1"], b"virtnet/1"),
        _ => (vec!["virtnet/2", "virtnet/1"], b"virtnet/2"),
    }
}

fn protocol(conn: &Connection) -> Vec<u8> {
    let data = conn.handshake_data().unwrap().downcast::<HandshakeData>();
    data.unwrap().protocol.unwrap()
}

/// A host that speaks only another version.
async fn other_host(server: Endpoint, version: u8) -> Connection {
    let conn = server.accept().await.unwrap().await.unwrap();
    assert_eq!(protocol(&conn), offers(version).1);
    let (mut send, mut recv) = conn.accept_bi().await.unwrap();
    let mut first = [0];
    recv.read_exact(&mut first).await.unwrap();
    assert_eq!(first, [THIS]);
    send.write_all(&[2, 6, version]).await.unwrap();
    send.finish().unwrap();
    recv.stop(VarInt::from_u32(0)).unwrap();
    conn
}

#[tokio::test]
async fn a_dialer_names_the_version_of_another_host_and_its_own() {
    let (net, pki) = (Net::new("net"), Pki::new());
    let identity = pki.identity(&pki.leaf("net", &["β"]));
    let config = QuicConfig::new(identity).bind((Ipv4Addr::LOCALHOST, 0).into());
    let (subnet, _) = net.join_with(config);
    let beta = subnet.new_host("β").await.unwrap();
    let mut slowest = Duration::ZERO;
    for version in OTHERS {
        let server = raw::server(&pki.leaf("net", &["α"]), &offers(version).0);
        let place = server.local_addr().unwrap();
        let registry = net.hub.registry();
        registry.announce("α", &place.to_string()).await.unwrap();
        let start = Instant::now();
        let both = async { tokio::join!(beta.dial("α:1"), other_host(server.clone(), version)) };
        let (dialed, _conn) = timeout(HANG, both).await.unwrap();
        slowest = slowest.max(start.elapsed());
        let err = dialed.unwrap_err();
        assert_eq!(err.cause(), Cause::Protocol);
        assert_eq!(
            err.to_string(),
            format!(
                "dial net β:1->α:1: host \"α\" at {place} speaks protocol version {version}, \
                 this side speaks version {THIS}"
            )
        );
    }
    assert_eq!(beta.sockets(), []);
    subnet.close().await.unwrap();
    let count = OTHERS.len();
    println!(
        "failures: peers of different protocol versions: dialing {count} others, {count} errors \
         name both, slowest {slowest:?}"
    );
}

#[tokio::test]
async fn a_dialer_of_another_version_is_told_the_hosts_version() {
    let (net, pki) = (Net::new("net"), Pki::new());
    let identity = pki.identity(&pki.leaf("net", &["α", "β"]));
    let config = QuicConfig::new(identity).bind((Ipv4Addr::LOCALHOST, 0).into());
    let (subnet, counters) = net.join_with(config);
    let alpha = subnet.new_host("α").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    let gamma = pki.leaf("net", &["γ"]);
    let (place, name) = (net.real_addr("α"), dns_name("net", "α"));
    for version in OTHERS {
        let (offered, chosen) = offers(version);
        let (_endpoint, conn) = raw::connect_as(&offered, &pki, Some(&gamma), place, &name).await;
        assert_eq!(protocol(&conn), chosen);
        let (mut send, mut recv) = conn.open_bi().await.unwrap();
        // The bytes after the version are not specified.
        let frame = [&[version], &[0xa5; 4000][..]].concat();
        send.write_all(&frame).await.unwrap();
        let told = timeout(HANG, recv.read_to_end(16)).await.unwrap();
        assert_eq!(told, Ok(vec![2, 6, THIS]), "to version {version}");
    }
    let mut expected = Stats::default();
    expected.other_version = OTHERS.len() as u64;
    eventually("all are counted", || counters.stats() == expected).await;
    assert_eq!(listener.pending(), 0);
    // Peers with this version are not affected.
    let beta = subnet.new_host("β").await.unwrap();
    connect(&beta, &listener).await;
    subnet.close().await.unwrap();
    let count = OTHERS.len();
    println!(
        "failures: peers of different protocol versions: dialed by {count} others, {count} told \
         version {THIS}, counted"
    );
}
