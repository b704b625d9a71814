//! TLS: the certificates and keys that the options name.
//!
//! Owns reading these files, and the errors for unusable ones. Never keeps or shows their
//! content, and cannot turn verification off.

use std::path::{Path, PathBuf};

use redis::{ClientTlsConfig, TlsCertificates};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use virtnet_core::{Cause, Failure};

use crate::options::{ClientCertificate, RedisOptions};

/// Reads the files that the options name; `None` if they name none.
pub(crate) async fn read_files(options: &RedisOptions) -> Result<Option<TlsCertificates>, Failure> {
    let ca = options.ca_file.clone();
    let client = options.client_certificate.clone();
    let reading = tokio::task::spawn_blocking(move || read_files_now(ca, client));
    reading.await.unwrap_or_else(|err| Err(Failure::other(err)))
}

fn read_files_now(
    ca: Option<PathBuf>,
    client: Option<ClientCertificate>,
) -> Result<Option<TlsCertificates>, Failure> {
    if ca.is_none() && client.is_none() {
        return Ok(None);
    }
    let root_cert = ca.map(|ca| read(&ca, "CA", certificates));
    let client_tls = match client {
        Some(ClientCertificate { certificate, key }) => Some(ClientTlsConfig {
            client_cert: read(&certificate, "client certificate", certificates)?,
            client_key: read(&key, "client key", private_key)
                .inspect(|_| warn_if_open("client key", &key))?,
        }),
        None => None,
    };
    Ok(Some(TlsCertificates {
        client_tls,
        root_cert: root_cert.transpose()?,
    }))
}

/// Warns if every user, not only the file's group, can read a file that holds a secret.
fn warn_if_open(what: &str, path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        const OTHERS_READ: u32 = 0o004;
        let mode = std::fs::metadata(path).map_or(0, |data| data.permissions().mode() & 0o777);
        if mode & OTHERS_READ != 0 {
            tracing::warn!("every user can read the {what} file {path:?} (mode {mode:o})");
        }
    }
    #[cfg(not(unix))]
    let _ = (what, path);
}

/// Reads a file and checks its content.
///
/// The client library would accept a file without any certificate as an empty list, and
/// its errors name no file.
fn read(
    path: &Path,
    what: &str,
    check: fn(&[u8]) -> Result<(), String>,
) -> Result<Vec<u8>, Failure> {
    let unusable = |why: String| {
        let text = format!("cannot use the {what} file {path:?}: {why}");
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
        0 => Err("expected a PEM certificate, found none".into()),
        _ => Ok(()),
    }
}

fn private_key(pem: &[u8]) -> Result<(), String> {
    match PrivateKeyDer::from_pem_slice(pem) {
        Ok(_) => Ok(()),
        // The parser's error could show part of the key.
        Err(_) => Err("expected a PEM private key, found none".into()),
    }
}
