//! A network's certificate authority, which all members derive from one secret.
//!
//! Owns the derivation, and issues the certificates of hosts. Never shows a key.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, PublicKeyData, SerialNumber, SignatureAlgorithm,
};
use ring::digest::{SHA256, digest};
use rustls::crypto::ring::sign::any_eddsa_type;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use virtnet_core::{Cause, Failure};

use crate::identity::{RESET_PURPOSE, base32, derive_key};

/// HKDF salt of this derivation; a later version of it must use another one.
const DERIVATION: &[u8] = b"virtnet/1 authority";

/// The PKCS#8 bytes before the 32 bytes of an Ed25519 key (RFC 8410).
const PKCS8_ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// The authority of one network. All members with the same secret derive the same one.
pub(crate) struct Authority {
    pub(crate) certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    resets: [u8; 32],
}

impl Authority {
    /// Derives the authority of `network` from the bytes of a secret.
    pub(crate) fn derive(key: &[u8; 32], network: &str) -> Result<Authority, Failure> {
        let key_der = pkcs8(&derive_key(DERIVATION, key, network));
        let pair =
            KeyPair::from_pkcs8_der_and_sign_algo(&key_der, &PKCS_ED25519).map_err(unmade)?;
        let mut params = CertificateParams::default();
        // The name depends on the network only, the key also on the secret. So a dialer
        // can distinguish a host of another network (no trusted authority has that
        // name) from one with another secret (the name matches, the key does not).
        let name = format!(
            "virtnet {}",
            base32(digest(&SHA256, network.as_bytes()).as_ref())
        );
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(1));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&pair).map_err(unmade)?.der().clone();
        Ok(Authority {
            certificate,
            issuer: Issuer::new(params, pair),
            resets: derive_key(RESET_PURPOSE, key, network),
        })
    }

    /// The key for stateless resets of the host with this DNS name.
    pub(crate) fn reset_key(&self, name: &str) -> [u8; 32] {
        derive_key(RESET_PURPOSE, &self.resets, name)
    }

    /// Issues a certificate for the host with this DNS name and key.
    pub(crate) fn mint(
        &self,
        name: &str,
        key: &HostKey,
    ) -> Result<CertificateDer<'static>, Failure> {
        let mut params = CertificateParams::new([name.to_owned()]).map_err(unmade)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "virtnet host");
        // While a secret is replaced, two authorities have the same name. OpenSSL tries
        // only the one that this extension identifies; without it, only the first.
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let leaf = params.signed_by(key, &self.issuer).map_err(unmade)?;
        Ok(leaf.into())
    }
}

/// The Ed25519 key pair of one host.
pub(crate) struct HostKey {
    pub(crate) private: Arc<dyn SigningKey>,
    public: Vec<u8>,
}

impl HostKey {
    /// The key pair of 32 random bytes.
    pub(crate) fn of_seed(seed: &[u8; 32]) -> Result<HostKey, Failure> {
        let private = any_eddsa_type(&pkcs8(seed)).map_err(unmade)?;
        // It ends with the 32 bytes of the key (RFC 8410).
        let info = private.public_key();
        let public = info.as_ref().and_then(|info| info.last_chunk::<32>());
        let no_public_key = || unmade("the private key has no public key");
        let public = public.ok_or_else(no_public_key)?.to_vec();
        Ok(HostKey { private, public })
    }
}

impl PublicKeyData for HostKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

/// The private key of a 32-byte seed.
fn pkcs8(seed: &[u8; 32]) -> PrivatePkcs8KeyDer<'static> {
    PrivatePkcs8KeyDer::from([&PKCS8_ED25519[..], seed].concat())
}

fn unmade(err: impl std::fmt::Display) -> Failure {
    Failure::wrap(Cause::Other, format!("cannot make a certificate: {err}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_the_same_wherever_it_is_derived() {
        let certificate = |key, network| Authority::derive(&key, network).unwrap().certificate;
        let one = certificate([7; 32], "quicα");
        assert_eq!(one, certificate([7; 32], "quicα"));
        assert_ne!(one, certificate([8; 32], "quicα"), "another secret");
        assert_ne!(one, certificate([7; 32], "quicβ"), "another network");
        // Members of different versions of this crate must agree on the key.
        let key = Authority::derive(&[7; 32], "quicα").unwrap();
        assert_eq!(
            base32(key.issuer.key().public_key_raw()),
            "5upshqqyq5onqgzikdcpl4pg5o7gqjowafiufewgtkwinxusvg4a"
        );
    }

    /// Peers in other languages verify like OpenSSL: strictly (Python since 3.13), and,
    /// while a secret is replaced, with two authorities of the same name in any order.
    #[cfg(target_os = "linux")]
    #[test]
    fn openssl_verifies_what_either_of_two_authorities_minted() {
        use std::process::Command;

        let dir = tempfile::tempdir().unwrap();
        let openssl = |args: &[&str]| {
            let mut command = Command::new("openssl");
            let done = command.args(args).current_dir(dir.path()).output();
            done.expect("openssl is installed")
        };
        let pem = |name: &str, certificate: &[u8]| {
            std::fs::write(dir.path().join("der"), certificate).unwrap();
            let made = openssl(&["x509", "-inform", "DER", "-in", "der", "-out", name]);
            assert!(made.status.success(), "{made:?}");
            std::fs::read_to_string(dir.path().join(name)).unwrap()
        };
        let name = crate::dns_name("net", "α");
        let [new, old] = [[7; 32], [8; 32]].map(|key| Authority::derive(&key, "net").unwrap());
        for (by, authority) in [("new", &new), ("old", &old)] {
            let key = HostKey::of_seed(&[9; 32]).unwrap();
            pem(by, &authority.mint(&name, &key).unwrap());
        }
        let authorities = [&new, &old].map(|authority| pem("authority", &authority.certificate));
        for (order, authorities) in [
            ("new,old", authorities.concat()),
            ("old,new", [&*authorities[1], &authorities[0]].concat()),
        ] {
            std::fs::write(dir.path().join("trusted"), authorities).unwrap();
            for by in ["new", "old"] {
                let mut args = vec!["verify", "-x509_strict", "-purpose", "sslserver"];
                args.extend(["-verify_hostname", &name, "-CAfile", "trusted", by]);
                let done = openssl(&args);
                assert!(done.status.success(), "{order}, by {by}: {done:?}");
            }
        }
    }
}
