//! Peers other than the engine: quinn used directly, with certificates of a PKI.
//!
//! Owns no test.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::timeout;
use virtnet_engine_quic::{Identity, dns_name};

use super::HANG;

/// An authority that signs any certificate that a test needs.
pub struct Pki {
    root: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
pub struct Leaf {
    pub chain: String,
    pub key: String,
}

impl Pki {
    pub fn new() -> Pki {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let root = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        Pki { root, issuer }
    }

    pub fn leaf(&self, network: &str, hosts: &[&str]) -> Leaf {
        self.leaf_with(network, hosts, |_| {})
    }

    /// A certificate with changed parameters.
    pub fn leaf_with(
        &self,
        network: &str,
        hosts: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Leaf {
        signed_by(&self.issuer, network, hosts, change)
    }

    pub fn identity(&self, leaf: &Leaf) -> Identity {
        let (root, chain, key) = (self.root.pem(), &leaf.chain, &leaf.key);
        Identity::pki(root.as_bytes(), chain.as_bytes(), key.as_bytes()).unwrap()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        roots
    }
}

fn signed_by(
    issuer: &Issuer<'_, KeyPair>,
    network: &str,
    hosts: &[&str],
    change: impl FnOnce(&mut CertificateParams),
) -> Leaf {
    let key = KeyPair::generate().unwrap();
    let names: Vec<_> = hosts.iter().map(|host| dns_name(network, host)).collect();
    let mut params = CertificateParams::new(names).unwrap();
    change(&mut params);
    let leaf = params.signed_by(&key, issuer).unwrap();
    Leaf {
        chain: leaf.pem(),
        key: key.serialize_pem(),
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

impl Leaf {
    /// The same, with another certificate in its chain.
    pub fn with(&self, other: &Leaf) -> Leaf {
        Leaf {
            chain: format!("{}{}", self.chain, other.chain),
            key: self.key.clone(),
        }
    }

    /// A certificate that this one signs, as if it were an authority.
    pub fn signs(&self, network: &str, hosts: &[&str]) -> Leaf {
        let key = KeyPair::from_pem(&self.key).unwrap();
        let issuer = Issuer::new(CertificateParams::default(), key);
        signed_by(&issuer, network, hosts, |_| {}).with(self)
    }

    fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        (chain.map(Result::unwrap).collect(), key)
    }
}

/// What a peer with or without a certificate proves itself with, and checks.
pub fn crypto(pki: &Pki, leaf: Option<&Leaf>, protocols: &[&str]) -> QuicClientConfig {
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(pki.roots());
    let mut config = match leaf.map(Leaf::der) {
        Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    QuicClientConfig::try_from(config).unwrap()
}

fn client_config(pki: &Pki, leaf: Option<&Leaf>, protocols: &[&str]) -> quinn::ClientConfig {
    quinn::ClientConfig::new(Arc::new(crypto(pki, leaf, protocols)))
}

/// Connects to a host with quinn, with or without a certificate.
pub async fn connect(
    pki: &Pki,
    leaf: Option<&Leaf>,
    addr: SocketAddr,
    server_name: &str,
) -> (Endpoint, Connection) {
    connect_as(&["virtnet/2", "virtnet/1"], pki, leaf, addr, server_name).await
}

/// The same with these ALPN protocols, in order of preference.
pub async fn connect_as(
    protocols: &[&str],
    pki: &Pki,
    leaf: Option<&Leaf>,
    addr: SocketAddr,
    server_name: &str,
) -> (Endpoint, Connection) {
    let crypto = crypto(pki, leaf, protocols);
    connect_by(Arc::new(crypto), addr, server_name).await
}

/// The same with a TLS of its own.
pub async fn connect_by(
    crypto: Arc<dyn quinn::crypto::ClientConfig>,
    addr: SocketAddr,
    server_name: &str,
) -> (Endpoint, Connection) {
    let config = quinn::ClientConfig::new(crypto);
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let connecting = endpoint.connect_with(config, addr, server_name).unwrap();
    let conn = connecting.await.unwrap();
    (endpoint, conn)
}

/// A QUIC server of another protocol.
pub fn other_server(leaf: &Leaf) -> Endpoint {
    server(leaf, &["h3"])
}

/// A QUIC server with these ALPN protocols, in order of preference. It requests no
/// certificate.
pub fn server(leaf: &Leaf, protocols: &[&str]) -> Endpoint {
    let (chain, key) = leaf.der();
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let config = QuicServerConfig::try_from(config).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(config));
    Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

/// A first frame, encoded like the engine does; the names may be invalid.
pub fn hello(network: &str, src: (&str, u16), dst: (&str, u16)) -> Vec<u8> {
    let mut body = Vec::new();
    let mut name = |name: &str, port: Option<u16>| {
        body.push(name.len() as u8);
        body.extend(name.bytes());
        body.extend(port.into_iter().flat_map(u16::to_be_bytes));
    };
    name(network, None);
    name(src.0, Some(src.1));
    name(dst.0, Some(dst.1));
    let mut frame = vec![2];
    frame.extend((body.len() as u16).to_be_bytes());
    frame.extend(body);
    frame
}

/// The first datagrams of `count` handshakes, by connection id.
pub async fn first_datagrams(pki: &Pki, count: usize) -> HashMap<Vec<u8>, Vec<u8>> {
    let sink = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let place = sink.local_addr().unwrap();
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let config = client_config(pki, None, &["virtnet/2", "virtnet/1"]);
    let mut connecting = Vec::new();
    let mut datagrams = HashMap::new();
    let mut buffer = [0; 2048];
    while datagrams.len() < count {
        // No more at a time than the socket's buffer takes.
        for _ in 0..32.min(count - datagrams.len()) {
            let config = config.clone();
            connecting.push(endpoint.connect_with(config, place, "none").unwrap());
        }
        while datagrams.len() < connecting.len() {
            let length = timeout(HANG, sink.recv(&mut buffer)).await;
            let length = length.expect("a datagram arrives").unwrap();
            // After the flags and the version: the length of the id, and the id.
            let id = buffer[6..][..usize::from(buffer[5])].to_vec();
            datagrams
                .entry(id)
                .or_insert_with(|| buffer[..length].to_vec());
        }
    }
    drop(connecting);
    datagrams
}
