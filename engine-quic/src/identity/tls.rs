//! TLS configuration: version, cipher suites, certificates, no resumption.
//!
//! Owns the rustls configurations and the check of a name against a certificate.
//! Never makes keys or certificates: `authority` does.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, SecureRandom, ring};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    NoServerSessionStorage, ParsedCertificate, ResolvesServerCert, ResolvesServerCertUsingSni,
    WebPkiClientVerifier,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, KeyLogFile, RootCertStore, ServerConfig};
use virtnet_core::{Addr, Failure};

use crate::identity::authority::Authority;
use crate::identity::minted::MintedCertificate;
use crate::identity::{CertifiedChain, Identity, IdentityKind, Pki, dns_name};

/// The protocol's names in the TLS handshake (ALPN), the preferred one first. All versions
/// offer the last: only on a stream can peers tell each other their versions.
pub(crate) const ALPN: [&[u8]; 2] = [b"virtnet/2", b"virtnet/1"];

/// Which peers a network's hosts trust, and how they get their certificates.
pub(crate) struct Trust {
    network: Arc<str>,
    provider: Arc<CryptoProvider>,
    source: CertificateSource,
    /// Configurations without a certificate, which each host copies: most of what they need is
    /// then made once.
    client: ClientConfig,
    server: ServerConfig,
}

enum CertificateSource {
    Minted(Arc<Authority>),
    Pki(Pki),
}

/// The two configurations of one host's endpoint.
pub(crate) struct HostTls {
    pub(crate) client: Arc<QuicClientConfig>,
    pub(crate) server: Arc<QuicServerConfig>,
    /// The certificate, unless the user supplied it.
    pub(crate) minted: Option<Arc<MintedCertificate>>,
    /// The key of stateless resets, which is the same after a restart of the host.
    pub(crate) reset_key: [u8; 32],
    pub(crate) random: &'static dyn SecureRandom,
}

impl Trust {
    /// Prepares `identity` for the hosts of `network`.
    pub(crate) fn new(identity: &Identity, network: Arc<str>) -> Result<Trust, Failure> {
        let mut roots = RootCertStore::empty();
        let mut trust = |certificate: &CertificateDer<'static>| {
            roots.add(certificate.clone()).map_err(unusable)
        };
        let source = match &identity.0 {
            IdentityKind::Secret(secret) => {
                let mut authorities = Vec::new();
                for key in secret.keys() {
                    let authority = Authority::derive(key, &network)?;
                    trust(&authority.certificate)?;
                    authorities.push(authority);
                }
                CertificateSource::Minted(Arc::new(authorities.swap_remove(0)))
            }
            IdentityKind::Pki(pki) => {
                pki.authorities.iter().try_for_each(trust)?;
                CertificateSource::Pki(pki.clone())
            }
        };
        let provider = Arc::new(provider());
        let (servers, clients) = verifiers(roots, &provider)?;
        Ok(Trust {
            network,
            source,
            client: client(&provider, servers)?,
            server: server(&provider, clients)?,
            provider,
        })
    }

    /// Writes the keys of all connections to `SSLKEYLOGFILE`.
    pub(crate) fn log_keys(&mut self) {
        self.client.key_log = Arc::new(KeyLogFile::new());
        self.server.key_log = Arc::new(KeyLogFile::new());
    }

    /// The configurations of the host `hostname`.
    ///
    /// # Errors
    ///
    /// When no certificate proves its name.
    pub(crate) fn host(&self, hostname: &str) -> Result<HostTls, Failure> {
        let name = dns_name(&self.network, hostname);
        match &self.source {
            CertificateSource::Minted(authority) => {
                let reset_key = authority.reset_key(&name);
                let random = self.provider.secure_random;
                let minted = Arc::new(MintedCertificate::new(authority, name, random)?);
                let tls = self.configured(minted.clone(), reset_key)?;
                let minted = Some(minted);
                Ok(HostTls { minted, ..tls })
            }
            CertificateSource::Pki(pki) => {
                let CertifiedChain { chain, key } = pki.certified();
                if !proves(&chain, &name) {
                    return Err(Failure::other(format!(
                        "expected a certificate with the DNS name {name:?}, which stands for host \
                         {hostname:?} of network {:?}",
                        self.network
                    )));
                }
                let certified = CertifiedKey::from_der(chain, key, &self.provider);
                let certified = SingleCertAndKey::from(certified.map_err(unusable)?);
                self.configured(Arc::new(certified), pki.reset_key(&name))
            }
        }
    }

    fn configured<C: ResolvesServerCert + ResolvesClientCert + 'static>(
        &self,
        certificate: Arc<C>,
        reset_key: [u8; 32],
    ) -> Result<HostTls, Failure> {
        let (mut client, mut server) = (self.client.clone(), self.server.clone());
        client.client_auth_cert_resolver = certificate.clone();
        server.cert_resolver = certificate;
        Ok(HostTls {
            client: Arc::new(client.try_into().map_err(unusable)?),
            server: Arc::new(server.try_into().map_err(unusable)?),
            minted: None,
            reset_key,
            random: self.provider.secure_random,
        })
    }
}

/// What verifies the certificates of servers, and those of clients.
fn verifiers(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<(Arc<WebPkiServerVerifier>, Arc<dyn ClientCertVerifier>), Failure> {
    let roots = Arc::new(roots);
    let servers =
        WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
    let clients = WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build();
    Ok((servers.map_err(unusable)?, clients.map_err(unusable)?))
}

fn client(
    provider: &Arc<CryptoProvider>,
    servers: Arc<WebPkiServerVerifier>,
) -> Result<ClientConfig, Failure> {
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_webpki_verifier(servers)
        .with_no_client_auth();
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    // A resumed session would not send its certificate again, and early data can
    // be replayed.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn server(
    provider: &Arc<CryptoProvider>,
    clients: Arc<dyn ClientCertVerifier>,
) -> Result<ServerConfig, Failure> {
    let no_certificate = Arc::new(ResolvesServerCertUsingSni::new());
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(no_certificate);
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The cryptography. It is passed explicitly: a library must not set rustls'
/// process-wide default, and must not rely on it.
fn provider() -> CryptoProvider {
    CryptoProvider {
        // The fastest first, on processors with AES instructions.
        cipher_suites: vec![
            ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
            ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
            ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        ..ring::default_provider()
    }
}

fn unusable(err: impl std::fmt::Display) -> Failure {
    Failure::other(format!("cannot use the certificates: {err}"))
}

/// The DNS name of an address's host.
pub(crate) fn dns_name_of(addr: &Addr) -> String {
    dns_name(addr.network(), addr.host())
}

/// Whether the first certificate of `chain` has the DNS name `name`. The chain must
/// have been verified before.
pub(crate) fn proves(chain: &[CertificateDer<'_>], name: &str) -> bool {
    let Some(first) = chain.first() else {
        return false;
    };
    let (Ok(certificate), Ok(name)) = (
        ParsedCertificate::try_from(first),
        ServerName::try_from(name),
    ) else {
        return false;
    };
    verify_server_name(&certificate, &name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    /// The certificate of the host `α` of a new network `net`, and its authority's.
    fn minted() -> [CertificateDer<'static>; 2] {
        let authority = Arc::new(Authority::derive(&[7; 32], "net").unwrap());
        let random = provider().secure_random;
        let minted = MintedCertificate::new(&authority, dns_name("net", "α"), random).unwrap();
        let certificate = minted.get().unwrap().cert[0].clone();
        [certificate, authority.certificate.clone()]
    }

    #[test]
    fn a_minted_certificate_proves_its_host_and_no_other() {
        let [minted, _] = minted();
        let chain = [minted];
        assert!(proves(&chain, &dns_name("net", "α")));
        assert!(!proves(&chain, &dns_name("net", "β")));
        assert!(!proves(&chain, &dns_name("ten", "α")));
        assert!(!proves(&[], &dns_name("net", "α")));
        let trust = Trust::new(&Identity::secret(Secret::random()), "net".into()).unwrap();
        assert!(trust.host("10.0.0.1").is_ok());
    }

    /// So the clocks of members need not agree or be correct.
    #[test]
    fn a_minted_certificate_is_valid_at_any_time() {
        use rustls::client::danger::ServerCertVerifier;
        use rustls::pki_types::UnixTime;
        let [minted, authority] = minted();
        let mut roots = RootCertStore::empty();
        roots.add(authority).unwrap();
        let (servers, clients) = verifiers(roots, &Arc::new(provider())).unwrap();
        let name = ServerName::try_from(dns_name("net", "α")).unwrap();
        for year in [1976, 2000, 2100, 4095] {
            let since_1970 = std::time::Duration::from_secs((year - 1970) * 31_556_952);
            let now = UnixTime::since_unix_epoch(since_1970);
            let server = servers.verify_server_cert(&minted, &[], &name, &[], now);
            assert!(server.is_ok(), "{year}: {server:?}");
            let client = clients.verify_client_cert(&minted, &[], now);
            assert!(client.is_ok(), "{year}: {client:?}");
        }
    }

    /// A new authority, a certificate with these DNS names and its key, as PEM.
    fn files(names: &[String]) -> [String; 3] {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ED25519};
        let authority = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let root = params.self_signed(&authority).unwrap();
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let leaf = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &Issuer::new(params, authority))
            .unwrap();
        [root.pem(), leaf.pem(), key.serialize_pem()]
    }

    /// A wildcard needs two labels after `*`, and the DNS names of hosts have one.
    #[test]
    fn a_wildcard_matches_no_host() {
        let [root, leaf, key] = files(&["*.virtnet".to_owned()]);
        let identity = Identity::pki(root.as_bytes(), leaf.as_bytes(), key.as_bytes()).unwrap();
        let wild = Trust::new(&identity, "net".into()).unwrap();
        assert!(wild.host("α").is_err());
    }

    #[test]
    fn given_certificates_must_hold_the_name() {
        let files = || files(&[dns_name("net", "α"), dns_name("net", "γ")]);
        let [root, leaf, key] = files();
        let identity =
            |leaf: &str, key: &str| Identity::pki(root.as_bytes(), leaf.as_bytes(), key.as_bytes());
        let given = Trust::new(&identity(&leaf, &key).unwrap(), "net".into()).unwrap();
        assert!(given.host("α").is_ok() && given.host("γ").is_ok());
        let err = given.host("β").err().unwrap().to_string();
        assert!(
            err.contains(&dns_name("net", "β")) && err.contains("\"β\""),
            "{err}"
        );

        let err = identity(&key, &key).unwrap_err().to_string();
        assert_eq!(
            err,
            "cannot read certificates from the certificate chain: expected at least one, got none"
        );
        let err = identity(&leaf, "").unwrap_err().to_string();
        assert!(
            err.starts_with("cannot read a private key from the key: "),
            "{err}"
        );
        let [_, _, another] = files();
        let err = identity(&leaf, &another).unwrap_err().to_string();
        assert_eq!(
            err,
            "the private key from the key does not belong to the first certificate from the certificate chain"
        );
    }
}
