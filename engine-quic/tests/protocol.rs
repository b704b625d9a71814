//! A peer that was written from docs/protocol.md, and knows its vectors only.
//!
//! Owns what a host shows of the protocol from outside; the layout of frames is
//! `frame.rs`'s, and its vectors are checked in `golden_tests.rs`. Never derives
//! what the page gives.

mod common;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use common::{HANG, Net};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ConnectionError, Endpoint, VarInt};
use rcgen::{CertificateParams, DnType, Issuer, KeyPair, PKCS_ED25519};
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use virtnet_core::Registry;

const PAGE: &str = include_str!("../../docs/protocol.md");

/// What the page gives by that name.
fn vector(name: &str) -> Vec<u8> {
    let prefix = format!("{name}: ");
    let digits = PAGE.lines().find_map(|line| line.strip_prefix(&prefix));
    let digits = digits.unwrap_or_else(|| panic!("the page has no {name}"));
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn text(name: &str) -> String {
    String::from_utf8(vector(name)).unwrap()
}

fn code(name: &str) -> VarInt {
    VarInt::from_u32(vector(name)[0].into())
}

/// The page's network, as virtnet's own members have it.
fn net() -> Net {
    let secret: String = vector("secret")
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    Net {
        secret: secret.parse().unwrap(),
        ..Net::new(text("network").leak())
    }
}

/// The certificates of the peer: the page's authority, and what the page's key
/// signs for the host of that DNS name.
struct Certified {
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

fn certified(dns_name: String) -> Certified {
    // RFC 8410: what precedes an Ed25519 key in PKCS#8.
    let pkcs8 = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    let pkcs8 = PrivatePkcs8KeyDer::from([&pkcs8[..], &vector("authority-seed")].concat());
    let signer = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_ED25519).unwrap();
    let mut authority = CertificateParams::default();
    // After the tags and lengths of five layers, and the type's number.
    let name = String::from_utf8(vector("authority-subject")[13..].to_vec()).unwrap();
    authority.distinguished_name.push(DnType::CommonName, name);
    let issuer = Issuer::new(authority, signer);
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let params = CertificateParams::new([dns_name]).unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap();
    let mut roots = RootCertStore::empty();
    let authority = vector("authority-certificate");
    roots.add(CertificateDer::from(authority)).unwrap();
    Certified {
        roots: roots.into(),
        chain: vec![leaf.der().clone()],
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    }
}

/// The page's dialing host.
fn client() -> Endpoint {
    let Certified { roots, chain, key } = certified(text("dns-name-dialer"));
    let mut tls = rustls::ClientConfig::builder_with_provider(default_provider().into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    tls.alpn_protocols = vec![vector("alpn")];
    let tls = QuicClientConfig::try_from(tls).unwrap();
    let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
    endpoint
}

/// The page's dialed host.
fn server() -> Endpoint {
    let Certified { roots, chain, key } = certified(text("dns-name-acceptor"));
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    tls.alpn_protocols = vec![vector("alpn")];
    let tls = QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

#[tokio::test]
async fn the_pages_peer_dials() {
    let net = net();
    let subnet = net.join();
    let host = subnet.new_host(&text("acceptor")).await.unwrap();
    let listener = host.listen(":1").unwrap();
    let peer = client();
    let name = text("dns-name-acceptor");
    let connecting = peer.connect(net.place(&text("acceptor")), &name).unwrap();
    let conn = timeout(HANG, connecting).await.unwrap().unwrap();

    let (mut send, mut recv) = conn.open_bi().await.unwrap();
    send.write_all(&vector("hello")).await.unwrap();
    let handshake = async {
        let mut reply = [0; 3];
        recv.read_exact(&mut reply).await.unwrap();
        assert_eq!(reply[0], vector("accepted")[0]);
        assert_eq!(reply[1..], [0, 2], "the lowest free port");
        send.write_all(&vector("confirm")).await.unwrap();
    };
    let both = async { tokio::join!(listener.accept(), handshake) };
    let (accepted, ()) = timeout(HANG, both).await.unwrap();
    let (mut accepted, from) = accepted.unwrap();
    assert_eq!(from, "β:258");

    send.write_all("to α".as_bytes()).await.unwrap();
    send.finish().unwrap();
    let mut heard = String::new();
    accepted.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "to α");
    accepted.write_all(b"to the peer").await.unwrap();
    drop(accepted);
    let heard = timeout(HANG, recv.read_to_end(16)).await.unwrap();
    assert_eq!(heard.unwrap(), b"to the peer");

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
        let mut confirm = [0];
        recv.read_exact(&mut confirm).await.unwrap();
        assert_eq!(confirm[..], vector("confirm"));
        // The next is refused.
        let (mut refuse, _hello) = conn.accept_bi().await.unwrap();
        refuse
            .write_all(&vector("refused-no-such-host"))
            .await
            .unwrap();
        refuse.finish().unwrap();
        (conn, send, recv)
    };
    let dial = async {
        let dialed = host.dial("α:1").await.unwrap();
        let refused = host.dial("α:1").await.unwrap_err();
        assert_eq!(refused.cause(), virtnet_core::Cause::NoSuchHost);
        dialed
    };
    let both = async { tokio::join!(dial, accept) };
    let (dialed, (conn, _send, mut recv)) = timeout(HANG, both).await.unwrap();
    assert_eq!(dialed.local_addr(), &"β:258");
    assert_eq!(dialed.peer_addr(), &"α:258");
    // Closing is an end, and nobody reads any more.
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

/// What comes for a connection that a host does not know, it answers with a
/// token that it would make after a restart too.
#[tokio::test]
async fn a_stateless_reset_has_the_pages_token() {
    let net = net();
    let subnet = net.join();
    let _host = subnet.new_host(&text("acceptor")).await.unwrap();
    let place: SocketAddr = net.place(&text("acceptor"));
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    // A packet with a short header (RFC 9000, section 17.3.1).
    let packet = [&[0x40], &vector("reset-connection-id")[..], &[0; 91]].concat();
    socket.send_to(&packet, place).await.unwrap();
    let mut answer = [0; 100];
    let length = timeout(HANG, socket.recv(&mut answer)).await.unwrap();
    let answer = &answer[..length.unwrap()];
    assert!(answer.ends_with(&vector("reset-token")), "{answer:?}");
    subnet.close().await.unwrap();
}
