//! The secret that the members of a network share.
//!
//! Owns its text form, and reading and creating its file, also by several processes
//! at once. Never shows it in `Debug` or in errors.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use tempfile::NamedTempFile;

/// Bytes of one secret.
const LENGTH: usize = 32;

/// Most secrets that a rotation may list.
const MAX_SECRETS: usize = 8;

/// Most bytes that are read of a file.
const MAX_FILE: u64 = 4096;

/// The secret that makes hosts members of one network: 32 random bytes,
/// written as 64 hexadecimal digits.
///
/// A process that has the secret can act as any host of the network. Keep it in a
/// file or in the environment of the members, never in the registry. It must be
/// random, not a password: any machine that can reach a host can try guesses.
///
/// The text form may also be a list of up to 8 secrets, separated by commas. The
/// first is used, and all are trusted. So you can replace a secret while the network
/// runs: give every member `old,new`, then every member `new,old`, then `new`.
///
/// ```
/// use virtnet_engine_quic::Secret;
///
/// let secret = Secret::random();
/// let read: Secret = secret.reveal().parse()?;
/// assert_eq!(read.reveal(), secret.reveal());
/// assert!(!format!("{secret:?}").contains(&secret.reveal()));
/// # Ok::<(), virtnet_engine_quic::SecretError>(())
/// ```
#[derive(Clone)]
pub struct Secret {
    /// Never empty. The first is used, and all are trusted.
    keys: Vec<[u8; LENGTH]>,
}

impl Secret {
    /// Makes a new secret from the operating system's random bytes.
    ///
    /// # Panics
    ///
    /// When the operating system returns no random bytes.
    pub fn random() -> Secret {
        let mut key = [0; LENGTH];
        rustls::crypto::ring::default_provider()
            .secure_random
            .fill(&mut key)
            .expect("the operating system returns random bytes");
        Secret { keys: vec![key] }
    }

    /// Reads a secret, or a list of secrets, from a file, of which the first 4,096
    /// bytes count. Surrounding white space is ignored. Logs a warning if every user of
    /// the machine can read the file.
    ///
    /// # Errors
    ///
    /// [`SecretError`], which names the file but does not show its content.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Secret, SecretError> {
        let path = path.as_ref();
        let origin = format!("in file {path:?}");
        let mut text = String::new();
        fs::File::open(path)
            .and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
            .map_err(|err| SecretError::new(&origin, Problem::Unreadable(err.to_string())))?;
        warn_if_open("secret", path);
        Secret::read(text.trim(), &origin)
    }

    /// Reads the file like [`from_file`](Secret::from_file). If the file does not exist,
    /// creates it first, with a new random secret, readable by its owner only.
    ///
    /// Several processes may call this at once: one of them creates the file,
    /// atomically, and all get the same secret.
    ///
    /// # Errors
    ///
    /// [`SecretError`], which names the file, when it cannot be read or created, for
    /// example because its folder does not exist.
    pub fn from_file_or_new(path: impl AsRef<Path>) -> Result<Secret, SecretError> {
        let path = path.as_ref();
        if matches!(path.try_exists(), Ok(false)) {
            publish(path, &Secret::random()).map_err(|err| {
                let problem = Problem::NotCreated(err.to_string());
                SecretError::new(&format!("in file {path:?}"), problem)
            })?;
        }
        Secret::from_file(path)
    }

    /// The secret's text form, for another member. It is not encrypted.
    pub fn reveal(&self) -> String {
        let keys: Vec<_> = self.keys.iter().map(|key| HEXLOWER.encode(key)).collect();
        keys.join(",")
    }

    /// The secret to use, followed by the others to trust.
    pub(crate) fn keys(&self) -> &[[u8; LENGTH]] {
        &self.keys
    }

    fn read(text: &str, origin: &str) -> Result<Secret, SecretError> {
        let mut keys = Vec::new();
        for (index, part) in text.split(',').enumerate() {
            let bad = |problem| SecretError::new(origin, problem);
            let part = part.trim();
            if index == MAX_SECRETS {
                return Err(bad(Problem::TooMany));
            }
            if part.chars().count() != 2 * LENGTH {
                return Err(bad(Problem::Length(index + 1, part.chars().count())));
            }
            let key = HEXLOWER_PERMISSIVE.decode(part.as_bytes());
            let key = key.ok().and_then(|key| key.try_into().ok());
            keys.push(key.ok_or_else(|| bad(Problem::NotHex(index + 1)))?);
        }
        Ok(Secret { keys })
    }
}

/// Warns if every user can read a file with a secret. Does not check the file's group,
/// which may have access on purpose, for example with Kubernetes.
pub(crate) fn warn_if_open(what: &str, path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        const OTHERS_READ: u32 = 0o004;
        let mode = fs::metadata(path).map_or(0, |data| data.permissions().mode() & 0o777);
        if mode & OTHERS_READ != 0 {
            tracing::warn!("every user can read the file {path:?} with the {what} (mode {mode:o})");
        }
    }
    #[cfg(not(unix))]
    let _ = (what, path);
}

/// Writes the secret to `path`, unless the file exists by then.
fn publish(path: &Path, secret: &Secret) -> io::Result<()> {
    // The parent of a bare file name is the empty path, which cannot be opened.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut draft = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    writeln!(draft, "{}", secret.reveal())?;
    // Atomic: the file appears complete, and never replaces an existing one.
    match draft.persist_noclobber(path) {
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done.map(drop).map_err(|failed| failed.error),
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Secret, SecretError> {
        Secret::read(text.trim(), "given as text")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

/// A secret could not be read. The error names its origin and the problem, but never
/// shows the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretError {
    origin: String,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("{0}")]
    Unreadable(String),
    #[error("the file does not exist and cannot be created: {0}")]
    NotCreated(String),
    #[error("entry {0} of the list: expected 64 hexadecimal digits (32 bytes), got {1} characters")]
    Length(usize, usize),
    #[error("entry {0} of the list: expected only hexadecimal digits")]
    NotHex(usize),
    #[error("expected a list of at most {MAX_SECRETS} entries, got more")]
    TooMany,
}

impl SecretError {
    fn new(origin: &str, problem: Problem) -> SecretError {
        SecretError {
            origin: origin.to_owned(),
            problem,
        }
    }
}

impl fmt::Debug for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return virtnet_core::report(self, f);
        }
        f.debug_struct("SecretError")
            .field("origin", &self.origin)
            .field("problem", &self.problem)
            .finish()
    }
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the secret {}: {}", self.origin, self.problem)
    }
}

impl std::error::Error for SecretError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form() {
        let old = "0123456789abcdef".repeat(4);
        let new = "FF".repeat(32);
        let secret: Secret = format!(" {new}, {old}\n").parse().unwrap();
        assert_eq!(secret.keys()[0], [255; 32]);
        assert_eq!(secret.keys()[1][..3], [0x01, 0x23, 0x45]);
        assert_eq!(secret.reveal(), format!("{},{old}", new.to_lowercase()));
        assert_ne!(Secret::random().reveal(), Secret::random().reveal());
    }

    #[test]
    fn errors_name_the_origin_and_not_the_secret() {
        let good = "ab".repeat(32);
        for (text, problem) in [
            (String::new(), Problem::Length(1, 0)),
            (format!("{good},"), Problem::Length(2, 0)),
            (good[1..].to_owned(), Problem::Length(1, 63)),
            (format!("{good}0"), Problem::Length(1, 65)),
            (format!("{good},x{}", &good[1..]), Problem::NotHex(2)),
            (format!("+{}", &good[1..]), Problem::NotHex(1)),
            ("é".repeat(64), Problem::NotHex(1)),
            ([&*good; MAX_SECRETS + 1].join(","), Problem::TooMany),
        ] {
            let err = text.parse::<Secret>().unwrap_err();
            assert_eq!(err.problem, problem);
            assert!(!err.to_string().contains(&good[1..]), "{err}");
        }
        let err = Secret::from_file("/nowhere/secret").unwrap_err();
        assert!(err.to_string().contains("\"/nowhere/secret\""), "{err}");
    }

    #[test]
    fn the_first_process_creates_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network.secret");
        let barrier = std::sync::Barrier::new(16);
        let read = || {
            barrier.wait();
            Secret::from_file_or_new(&path).unwrap().reveal()
        };
        let secrets: Vec<_> = std::thread::scope(|scope| {
            let readers: Vec<_> = (0..16).map(|_| scope.spawn(read)).collect();
            let read = readers.into_iter().map(|reader| reader.join().unwrap());
            read.collect()
        });
        assert!(secrets.iter().all(|secret| *secret == secrets[0]));
        // The file is unchanged, and the only one.
        assert_eq!(
            Secret::from_file_or_new(&path).unwrap().reveal(),
            secrets[0]
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }

        fs::write(&path, "").unwrap();
        let err = Secret::from_file_or_new(&path).unwrap_err();
        assert_eq!(err.problem, Problem::Length(1, 0));
        let nowhere = folder.path().join("nowhere/secret");
        let err = Secret::from_file_or_new(nowhere).unwrap_err().to_string();
        assert!(
            err.contains("nowhere/secret\": the file does not exist"),
            "{err}"
        );
    }
}
