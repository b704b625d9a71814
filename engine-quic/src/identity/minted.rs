//! A host's own certificate, made when it is first needed.
//!
//! Owns the moment at which it is made. Never decides what it says: `authority` does.
//!
//! A key pair and a signature take longer than all else that a new host needs, and nobody sees
//! them before the first handshake. So the host's task makes them while the registry is asked;
//! a handshake that comes earlier makes them itself.

use std::sync::{Arc, OnceLock};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::SecureRandom;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use virtnet_core::Failure;

use crate::identity::authority::{Authority, HostKey};

/// The certificate of one host.
pub(crate) struct MintedCertificate {
    authority: Arc<Authority>,
    /// The host's DNS name.
    name: String,
    seed: [u8; 32],
    /// `None` in it: it cannot be made.
    made: OnceLock<Option<Arc<CertifiedKey>>>,
}

impl MintedCertificate {
    /// The certificate for the host with this DNS name. It has a new key.
    ///
    /// # Errors
    ///
    /// When there are no random bits for the key. Nothing else can fail.
    pub(crate) fn new(
        authority: &Arc<Authority>,
        name: String,
        random: &dyn SecureRandom,
    ) -> Result<MintedCertificate, Failure> {
        let mut seed = [0; 32];
        let no_randomness = |_| Failure::other("the operating system returned no random bytes");
        random.fill(&mut seed).map_err(no_randomness)?;
        Ok(MintedCertificate {
            authority: Arc::clone(authority),
            name,
            seed,
            made: OnceLock::new(),
        })
    }

    /// The certificate with its key. The first call makes them, which takes some 50 µs; calls
    /// during that wait for it.
    pub(crate) fn get(&self) -> Option<Arc<CertifiedKey>> {
        self.made.get_or_init(|| self.make()).clone()
    }

    fn make(&self) -> Option<Arc<CertifiedKey>> {
        let made = HostKey::of_seed(&self.seed).and_then(|key| {
            let certificate = self.authority.mint(&self.name, &key)?;
            Ok(CertifiedKey::new(vec![certificate], key.private))
        });
        let made = made.inspect_err(|failure| tracing::error!("no handshake succeeds: {failure}"));
        made.ok().map(Arc::new)
    }
}

impl ResolvesServerCert for MintedCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.get()
    }
}

impl ResolvesClientCert for MintedCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.get()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl std::fmt::Debug for MintedCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MintedCertificate")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::ring::default_provider;

    use super::*;

    #[test]
    fn it_is_made_once_and_each_host_has_its_own() {
        let authority = Arc::new(Authority::derive(&[7; 32], "net").unwrap());
        let random = default_provider().secure_random;
        let of = |name: &str| MintedCertificate::new(&authority, name.to_owned(), random).unwrap();
        let minted = of(&crate::dns_name("net", "α"));
        assert!(minted.made.get().is_none(), "a new host waits for none");
        let certificates: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..4).map(|_| scope.spawn(|| minted.get())).collect();
            let made = makers.into_iter().map(|maker| maker.join().unwrap());
            made.map(Option::unwrap).collect()
        });
        let is_first = |other: &Arc<CertifiedKey>| Arc::ptr_eq(other, &certificates[0]);
        assert!(certificates.iter().all(is_first));
        let again = of(&crate::dns_name("net", "α")).get().unwrap();
        assert_ne!(again.cert, certificates[0].cert, "keys are never the same");
        let consistent = certificates[0].keys_match();
        assert!(consistent.is_ok(), "{consistent:?}");
    }
}
