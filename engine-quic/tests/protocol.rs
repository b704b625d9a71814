//! A peer that was written from docs/protocol.md, and knows its vectors only.
//!
//! Owns what a host shows of the protocol from outside; the layout of frames is
//! `frame.rs`'s, and its vectors are checked in `golden_tests.rs`. Never derives
//! what the page gives.

mod common;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use common::tap::Tap;
use common::{HANG, Net, eventually};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, ConnectionError, Endpoint, ReadError, ReadToEndError, VarInt};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ED25519};
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use virtnet_core::{Cause, Registry};

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
    certified_over(dns_name, None)
}

/// The same, over an authority between the page's and the host's certificate, if there
/// is one.
fn certified_over(dns_name: String, between: Option<CertificateParams>) -> Certified {
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
    let mut chain = Vec::new();
    match between {
        None => chain.push(params.signed_by(&key, &issuer).unwrap().der().clone()),
        Some(between) => {
            let signer = KeyPair::generate_for(&PKCS_ED25519).unwrap();
            let sent = between.signed_by(&signer, &issuer).unwrap();
            let leaf = params.signed_by(&key, &Issuer::new(between, signer));
            chain.extend([leaf.unwrap().der().clone(), sent.der().clone()]);
        }
    }
    let mut roots = RootCertStore::empty();
    let authority = vector("authority-certificate");
    roots.add(CertificateDer::from(authority)).unwrap();
    Certified {
        roots: roots.into(),
        chain,
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    }
}

/// The page's dialing host.
fn client() -> Endpoint {
    client_with(certified(text("dns-name-dialer")))
}

fn client_with(Certified { roots, chain, key }: Certified) -> Endpoint {
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
        assert_eq!(refused.cause(), Cause::NoSuchHost);
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
    // The smallest that a member sends, and the smallest that is answered; less is not.
    for length in [packet.len(), 30, 21, 22] {
        socket.send_to(&packet[..length], place).await.unwrap();
        if length == 21 {
            continue;
        }
        let mut answer = [0; 100];
        let answered = timeout(HANG, socket.recv(&mut answer)).await.unwrap();
        let answer = &answer[..answered.unwrap()];
        assert!(answer.ends_with(&vector("reset-token")), "{answer:?}");
        // The answer to 21 would have 20.
        assert!((21..length).contains(&answer.len()), "{length}: {answer:?}");
    }
    subnet.close().await.unwrap();
}

/// Connects the page's dialing host to the page's dialed host.
async fn reach(net: &Net, peer: &Endpoint) -> Connection {
    let (place, name) = (net.place(&text("acceptor")), text("dns-name-acceptor"));
    let connecting = peer.connect(place, &name).unwrap();
    timeout(HANG, connecting).await.unwrap().unwrap()
}

/// Where nothing listens: what a Hello hears, and a Hello with a byte after it.
#[tokio::test]
async fn a_refusal_stops_the_other_direction_with_code_0() {
    let net = net();
    let subnet = net.join();
    let _host = subnet.new_host(&text("acceptor")).await.unwrap();
    let peer = client();
    let conn = reach(&net, &peer).await;
    let (mut send, mut recv) = conn.open_bi().await.unwrap();
    send.write_all(&vector("hello")).await.unwrap();
    let heard = timeout(HANG, recv.read_to_end(9)).await.unwrap().unwrap();
    assert_eq!(heard, vector("refused-connection"));
    let stopped = timeout(HANG, send.stopped()).await.unwrap();
    assert_eq!(stopped, Ok(Some(VarInt::from_u32(0))));

    let (mut send, mut recv) = conn.open_bi().await.unwrap();
    let more = [vector("hello"), vec![0]].concat();
    send.write_all(&more).await.unwrap();
    let reset = timeout(HANG, recv.read_to_end(9)).await.unwrap();
    let violation = code("stream-violation");
    assert_eq!(
        reset,
        Err(ReadToEndError::Read(ReadError::Reset(violation)))
    );
    assert_eq!(send.stopped().await, Ok(Some(violation)));
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
    let (mut conn, abandoned) = (None, code("stream-abandoned"));
    for (reply, cause) in [
        (vector("reply-unknown"), Cause::Protocol),
        (vector("reply-port-0"), Cause::Protocol),
        (vector("reply-waiting-twice"), Cause::Protocol),
        // The end of the stream, in a reply's place and in its midst.
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
            let heard = recv.read_to_end(99).await;
            let reset = ReadToEndError::Read(ReadError::Reset(abandoned));
            assert_eq!(heard, Err(reset), "{reply:?}");
            if cause == Cause::Protocol {
                assert_eq!(send.stopped().await, Ok(Some(abandoned)), "{reply:?}");
            }
        };
        let both = async { tokio::join!(host.dial("α:1"), answer) };
        let (dialed, ()) = timeout(HANG, both).await.unwrap();
        let err = dialed.unwrap_err();
        assert_eq!(err.cause(), cause, "{reply:?}: {err}");
    }
    subnet.close().await.unwrap();
}

/// How many connection ids a host keeps of its peer's, and that it changes to another;
/// and that its packets are never smaller than what asks for a reset has to be.
#[tokio::test]
async fn connection_ids_and_the_smallest_packets() {
    let net = net();
    // Often alive, so that there are small packets.
    let often = Duration::from_millis(50);
    let (subnet, _) = net.join_with(net.config().keep_alive(often));
    let _host = subnet.new_host(&text("acceptor")).await.unwrap();
    let tap = Tap::to(net.place(&text("acceptor"))).await;
    let peer = client();
    let name = text("dns-name-acceptor");
    let connecting = peer.connect(tap.place, &name).unwrap();
    let conn = timeout(HANG, connecting).await.unwrap().unwrap();
    let kept = u64::from(vector("connection-ids")[0]);
    eventually("the first id is retired", || {
        conn.stats().frame_rx.retire_connection_id == 1
    })
    .await;
    // The first came with the handshake, and one more in place of the one that is retired.
    eventually("the peer is given as many as it keeps", || {
        conn.stats().frame_tx.new_connection_id == kept
    })
    .await;
    assert_eq!(
        conn.stats().frame_rx.new_connection_id,
        kept - 1,
        "quinn keeps 5 too"
    );
    let heard = || conn.stats().frame_rx.ping;
    let before = heard();
    eventually("the host shows that it lives", || heard() > before + 3).await;
    let seen = tap.seen();
    let from_host = seen.iter().filter(|seen| !seen.to_host);
    let smallest = from_host.map(|seen| seen.bytes.len()).min().unwrap();
    // The peer's ids have 8 bytes.
    assert!((8 + 22..8 + 32).contains(&smallest), "{smallest}");
    subnet.close().await.unwrap();
}

/// An authority that is trusted is not held to the length that it allows a path.
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
    let heard = timeout(HANG, recv.read_to_end(9)).await.unwrap().unwrap();
    assert_eq!(
        heard,
        vector("refused-connection"),
        "it is who it says it is"
    );
    subnet.close().await.unwrap();
}
