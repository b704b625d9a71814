//! Identities: how a host proves its name, and which peers it trusts.
//!
//! Owns the choice between a secret and PKI files, reading those files, and the
//! DNS name that stands for a host. Never issues a certificate (`authority` does)
//! and never configures TLS (`tls` does).

pub(crate) mod authority;
pub(crate) mod marks;
pub(crate) mod minted;
pub(crate) mod reset;
pub(crate) mod secret;
pub(crate) mod tls;

use std::path::Path;

use data_encoding::BASE32_NOPAD;
use ring::digest::{Context, SHA256};
use ring::hkdf::{HKDF_SHA256, Salt};
use rustls::InconsistentKeys;
use rustls::crypto::ring::sign as ring_sign;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use virtnet_core::Failure;

use crate::Secret;
use crate::identity::marks::Marks;
use crate::identity::secret::warn_if_open;

/// HKDF salt of keys for QUIC's stateless resets.
pub(crate) const RESET_PURPOSE: &[u8] = b"virtnet/1 resets";

/// Most bytes that a PEM file may have.
const MAX_PEM: u64 = 1 << 20;

/// Most bytes that TLS of peers reads of a chain, with 5 bytes around each certificate and 4 before them.
pub(crate) const MAX_CHAIN: usize = 0xffff;

/// How the hosts of a subnetwork prove their names, and which peers they trust.
///
/// With a [`Secret`], every host gets its own certificate when it is made, and
/// every process that has the secret can act as any host of the network. If you
/// do not trust members that far, supply your own certificates
/// ([`Identity::pki`]).
#[derive(Debug, Clone)]
pub struct Identity(pub(crate) IdentityKind);

#[derive(Clone)]
pub(crate) enum IdentityKind {
    Secret(Secret),
    Pki(Pki),
}

/// Certificates that the user supplies.
#[derive(Clone)]
pub(crate) struct Pki {
    pub(crate) authorities: Vec<CertificateDer<'static>>,
    chain: Vec<CertificateDer<'static>>,
    key: std::sync::Arc<PrivateKeyDer<'static>>,
}

impl Identity {
    /// Trusts every peer that has `secret`.
    pub fn secret(secret: Secret) -> Identity {
        Identity(IdentityKind::Secret(secret))
    }

    /// Trusts every peer whose certificate `authorities` signed. All three arguments
    /// are PEM.
    ///
    /// `chain` begins with the certificate of the subnetwork's hosts, and `key` is its
    /// private key. The certificate must be valid for TLS servers and clients, and its
    /// subject alternative names must include the [`dns_name`] of every host that you
    /// make with it. Otherwise making the host fails.
    ///
    /// # Errors
    ///
    /// When `authorities` or `chain` contains no certificate, or `key` no private key that can be used and that belongs
    /// to the chain's first certificate; when `chain` is larger than peers accept, 65,535 bytes in DER.
    pub fn pki(authorities: &[u8], chain: &[u8], key: &[u8]) -> Result<Identity, Failure> {
        Identity::read_pki([
            (authorities, "the authorities' certificates"),
            (chain, "the certificate chain"),
            (key, "the key"),
        ])
    }

    /// Reads [`Identity::pki`] from three PEM files of at most 1 MiB each. Logs a
    /// warning if every user of the machine can read the key's file.
    ///
    /// # Errors
    ///
    /// As for [`Identity::pki`], and when a file is too large or cannot be read. The
    /// error names the file.
    pub fn pki_files(
        authorities: impl AsRef<Path>,
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Identity, Failure> {
        let (authorities, chain, key) = (authorities.as_ref(), chain.as_ref(), key.as_ref());
        warn_if_open("private key", key);
        Identity::read_pki([
            (&read_file(authorities)?, &format!("file {authorities:?}")),
            (&read_file(chain)?, &format!("file {chain:?}")),
            (&read_file(key)?, &format!("file {key:?}")),
        ])
    }

    /// The marks of the members of `network`, if they have a secret.
    pub fn marks(&self, network: &str) -> Option<Marks> {
        match &self.0 {
            IdentityKind::Secret(secret) => Some(Marks::new(secret, network)),
            IdentityKind::Pki(_) => None,
        }
    }

    fn read_pki(pem: [(&[u8], &str); 3]) -> Result<Identity, Failure> {
        let [
            (authorities, authorities_at),
            (chain, chain_at),
            (key, key_at),
        ] = pem;
        let key = read_key(key, key_at)?;
        let chain = read_certificates(chain, chain_at)?;
        let size = chain.iter().map(|der| der.len() + 5).sum::<usize>() + 4;
        if size > MAX_CHAIN {
            return Err(Failure::other(format!(
                "{chain_at}: expected a chain of at most {MAX_CHAIN} bytes, got {size}: peers accept no larger one"
            )));
        }
        check_key(&key, key_at, (&chain, chain_at))?;
        Ok(Identity(IdentityKind::Pki(Pki {
            authorities: read_certificates(authorities, authorities_at)?,
            chain,
            key: key.into(),
        })))
    }
}

impl std::fmt::Debug for IdentityKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            IdentityKind::Secret(_) => "Secret",
            IdentityKind::Pki(_) => "Pki",
        })
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let mut pem = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_PEM + 1).read_to_end(&mut pem))
        .map_err(|err| Failure::other(format!("cannot read file {path:?}: {err}")))?;
    match pem.len() as u64 {
        ..=MAX_PEM => Ok(pem),
        _ => Err(Failure::other(format!(
            "file {path:?}: expected at most {MAX_PEM} bytes, got more"
        ))),
    }
}

fn read_key(pem: &[u8], at: &str) -> Result<PrivateKeyDer<'static>, Failure> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|err| {
        let why = match err {
            // In the label of PKCS#8, in a header before that.
            _ if pem.windows(9).any(|word| word == b"ENCRYPTED") => "it is encrypted".into(),
            pem::Error::NoItemsFound => "expected one in PEM, got none".into(),
            _ => err.to_string(),
        };
        Failure::other(format!("cannot read a private key from {at}: {why}"))
    })
}

/// Without this, making a host would fail, and could not say which file is the cause.
fn check_key(
    key: &PrivateKeyDer<'static>,
    at: &str,
    (chain, chain_at): (&[CertificateDer<'static>], &str),
) -> Result<(), Failure> {
    let key = ring_sign::any_supported_type(key).map_err(|_| {
        Failure::other(format!(
            "cannot use the private key from {at}: expected Ed25519, ECDSA on P-256 or P-384, \
             or RSA of 2048 to 8192 bits; in PKCS#8, keys of ECDSA must contain the public key"
        ))
    })?;
    match CertifiedKey::new(chain.to_vec(), key).keys_match() {
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(Failure::other(format!(
                "the private key from {at} does not belong to the first certificate from {chain_at}"
            )))
        }
        // What is wrong with the certificate is said where a host is made.
        _ => Ok(()),
    }
}

fn read_certificates(pem: &[u8], at: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let bad =
        |problem: &str| Failure::other(format!("cannot read certificates from {at}: {problem}"));
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|err| bad(&err.to_string()))?;
    if certificates.is_empty() {
        return Err(bad("expected at least one, got none"));
    }
    Ok(certificates)
}

/// A host's certificate chain, with the private key of its first certificate.
pub(crate) struct CertifiedChain {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Pki {
    pub(crate) fn certified(&self) -> CertifiedChain {
        CertifiedChain {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }

    /// The key for stateless resets of the host with this DNS name.
    pub(crate) fn reset_key(&self, name: &str) -> [u8; 32] {
        derive_key(RESET_PURPOSE, self.key.secret_der(), name)
    }
}

/// Derives a key from `key`, for one purpose and name.
pub(crate) fn derive_key(purpose: &[u8], key: &[u8], name: &str) -> [u8; 32] {
    let mut derived = [0; 32];
    hkdf(purpose, key, name.as_bytes(), &mut derived);
    derived
}

/// HKDF with SHA-256 (RFC 5869): `out` has the 32 bytes of one hash.
pub(crate) fn hkdf(salt: &[u8], key: &[u8], info: &[u8], out: &mut [u8]) {
    let key = Salt::new(HKDF_SHA256, salt).extract(key);
    key.expand(&[info], HKDF_SHA256)
        .and_then(|okm| okm.fill(out))
        .expect("HKDF with SHA-256 gives 32 bytes");
}

/// The DNS name that stands for a host in certificates.
///
/// It has 60 characters and contains a hash of both names, as hostnames may contain
/// characters that DNS names may not. Names that differ in any byte give different
/// DNS names.
///
/// ```
/// use virtnet_engine_quic::dns_name;
///
/// assert_eq!(dns_name("net", "α").len(), 60);
/// assert_ne!(dns_name("net", "α"), dns_name("net", "Α"));
/// assert_ne!(dns_name("ab", "c"), dns_name("a", "bc"));
/// ```
pub fn dns_name(network: &str, hostname: &str) -> String {
    let mut hash = Context::new(&SHA256);
    for name in [network, hostname] {
        hash.update(&(name.len() as u64).to_be_bytes());
        hash.update(name.as_bytes());
    }
    format!("{}.virtnet", base32(hash.finish().as_ref()))
}

/// Base 32 (RFC 4648) without padding, in lower case as is usual in DNS names.
pub(crate) fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("fooba", "mzxw6ytb"),
            ("foobar", "mzxw6ytboi"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn names_fit_certificates_and_differ() {
        let name = dns_name("net", "α");
        assert!(name.split('.').all(|label| label.len() <= 63), "{name}");
        assert_ne!(name, dns_name("net", "β"));
        assert_ne!(name, dns_name("ten", "α"));
    }
}
