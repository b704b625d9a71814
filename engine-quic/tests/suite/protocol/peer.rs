//! The peer of docs/protocol.md: its hosts, built by hand from the page's vectors.
//!
//! Owns no test. Never derives a value that the page gives.

use std::net::Ipv4Addr;
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint, VarInt};
use rcgen::{CertificateParams, DnType, Issuer, KeyPair, PKCS_ED25519};
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::time::timeout;

use crate::common::{HANG, Net};

const PAGE: &str = include_str!("../../../../docs/protocol.md");

/// What the page gives by that name.
pub(crate) fn vector(name: &str) -> Vec<u8> {
    let prefix = format!("{name}: ");
    let digits = PAGE.lines().find_map(|line| line.strip_prefix(&prefix));
    let digits = digits.unwrap_or_else(|| panic!("the page has no {name}"));
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

pub(crate) fn text(name: &str) -> String {
    String::from_utf8(vector(name)).unwrap()
}

pub(crate) fn code(name: &str) -> VarInt {
    VarInt::from_u32(vector(name)[0].into())
}

/// The page's network, as virtnet's own members have it.
pub(crate) fn net() -> Net {
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
pub(crate) struct Certified {
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

pub(crate) fn certified(dns_name: String) -> Certified {
    certified_over(dns_name, None)
}

/// The same, over an authority between the page's and the host's certificate, if there
/// is one.
pub(crate) fn certified_over(dns_name: String, between: Option<CertificateParams>) -> Certified {
    // The PKCS#8 bytes before an Ed25519 key (RFC 8410).
    let pkcs8 = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    let pkcs8 = PrivatePkcs8KeyDer::from([&pkcs8[..], &vector("authority-seed")].concat());
    let signer = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_ED25519).unwrap();
    let mut authority = CertificateParams::default();
    // After the tags and lengths of five layers, and the object identifier.
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
pub(crate) fn client() -> Endpoint {
    client_with(certified(text("dns-name-dialer")))
}

pub(crate) fn client_with(Certified { roots, chain, key }: Certified) -> Endpoint {
    let mut tls = rustls::ClientConfig::builder_with_provider(default_provider().into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    tls.alpn_protocols = vec![vector("alpn"), vector("alpn-of-all")];
    let tls = QuicClientConfig::try_from(tls).unwrap();
    let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
    endpoint
}

/// The page's dialed host.
pub(crate) fn server() -> Endpoint {
    let Certified { roots, chain, key } = certified(text("dns-name-acceptor"));
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    tls.alpn_protocols = vec![vector("alpn"), vector("alpn-of-all")];
    let tls = QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

/// Connects the page's dialing host to the page's dialed host.
pub(crate) async fn reach(net: &Net, peer: &Endpoint) -> Connection {
    let (place, name) = (net.real_addr(&text("acceptor")), text("dns-name-acceptor"));
    let connecting = peer.connect(place, &name).unwrap();
    timeout(HANG, connecting).await.unwrap().unwrap()
}
