//! TLS: the certificates and keys that a user names.
//!
//! Owns reading their files, and what is said of one that is no good. Never
//! keeps or shows what is in them, and decides nothing about verification: that
//! is always done.

use std::path::{Path, PathBuf};

use redis::{ClientTlsConfig, TlsCertificates};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use virtnet_core::{Cause, Failure};

/// The files, by their names.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsFiles {
    pub(crate) ca: Option<PathBuf>,
    /// The client's certificate, and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    pub(crate) fn is_empty(&self) -> bool {
        self.ca.is_none() && self.identity.is_none()
    }

    /// Reads the files; `None` when there are none.
    pub(crate) async fn read(&self) -> Result<Option<TlsCertificates>, Failure> {
        let files = self.clone();
        let reading = tokio::task::spawn_blocking(move || files.read_now());
        reading.await.unwrap_or_else(|err| Err(Failure::other(err)))
    }

    fn read_now(&self) -> Result<Option<TlsCertificates>, Failure> {
        if self.is_empty() {
            return Ok(None);
        }
        let root_cert = self.ca.as_deref().map(|ca| read(ca, "CA", certificates));
        let client_tls = match &self.identity {
            Some((certificate, key)) => Some(ClientTlsConfig {
                client_cert: read(certificate, "client certificate", certificates)?,
                client_key: read(key, "client key", private_key)
                    .inspect(|_| warn_if_open("client key", key))?,
            }),
            None => None,
        };
        Ok(Some(TlsCertificates {
            client_tls,
            root_cert: root_cert.transpose()?,
        }))
    }
}

/// Warns of a file with a secret in it that every user can read, not only its group.
fn warn_if_open(what: &str, path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        const OTHERS_READ: u32 = 0o004;
        let mode = std::fs::metadata(path).map_or(0, |data| data.permissions().mode() & 0o777);
        if mode & OTHERS_READ != 0 {
            tracing::warn!("every user can read the file {path:?} with the {what} (mode {mode:o})");
        }
    }
    #[cfg(not(unix))]
    let _ = (what, path);
}

/// Reads a file and checks that it holds what it should.
///
/// Checked here, as the client library takes a file without any certificate for
/// a list of none, and names no file.
fn read(
    path: &Path,
    what: &str,
    check: fn(&[u8]) -> Result<(), String>,
) -> Result<Vec<u8>, Failure> {
    let unusable = |why: String| {
        let text = format!("the {what} file {path:?} cannot be used: {why}");
        Failure::wrap(Cause::InvalidAddr, text)
    };
    let pem = std::fs::read(path).map_err(|err| unusable(err.to_string()))?;
    check(&pem).map_err(unusable)?;
    Ok(pem)
}

fn certificates(pem: &[u8]) -> Result<(), String> {
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        certificate.map_err(|err| err.to_string())?;
        count += 1;
    }
    match count {
        0 => Err("there is no certificate in it".into()),
        _ => Ok(()),
    }
}

fn private_key(pem: &[u8]) -> Result<(), String> {
    match PrivateKeyDer::from_pem_slice(pem) {
        Ok(_) => Ok(()),
        // Nothing of what the file holds.
        Err(_) => Err("there is no private key in it".into()),
    }
}
