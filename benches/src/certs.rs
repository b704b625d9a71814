//! Certificates of the contenders that bring none, and how tickets carry them.
//!
//! Owns a fresh self-signed certificate for each server, and the rustls
//! configurations that check it. Never turns a check off.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};

/// The name in every certificate.
pub const NAME: &str = "bench.test";
const ALPN: &[u8] = b"bench";

/// Where a server is, and the certificate that it has.
#[derive(Serialize, Deserialize)]
pub struct Ticket {
    pub addr: SocketAddr,
    pub cert: Vec<u8>,
}

impl Ticket {
    pub fn text(&self) -> Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    pub fn parse(text: &str) -> Result<Ticket> {
        serde_json::from_str(text).context("a ticket")
    }
}

/// ring; with AES-128-GCM first where the ciphers are to be those of virtnet.
fn provider(aes128_first: bool) -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    if aes128_first {
        provider.cipher_suites = vec![
            ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
            ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
            ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ];
    }
    Arc::new(provider)
}

/// A server's configuration with a new certificate, which is returned too.
pub fn server(aes128_first: bool) -> Result<(ServerConfig, Vec<u8>)> {
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(provider(aes128_first))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok((config, made.cert.der().to_vec()))
}

/// A client's that trusts that certificate alone. Every handshake is a whole
/// one: resumed sessions are another work, which virtnet declines on purpose.
pub fn client(cert: &[u8], aes128_first: bool) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(cert.to_vec()))?;
    let mut config = ClientConfig::builder_with_provider(provider(aes128_first))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}
