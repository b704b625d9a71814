//! The secret that the members of a network share.
//!
//! Owns its text form and where it may be read from. Never shows it: not in
//! `Debug`, not in errors.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

/// Bytes of one secret.
const LENGTH: usize = 32;

/// Most secrets that a rotation may list.
const MAX_SECRETS: usize = 8;

/// Most bytes of a file that are looked at.
const MAX_FILE: u64 = 4096;

/// The secret that makes hosts members of one network: 32 random bytes,
/// written as 64 hexadecimal digits.
///
/// Whoever holds it can be any host of the network, so keep it in a file or in
/// the environment of those who are to be members, and never in the registry.
/// It must be random, not a password: whoever can reach a host can try
/// guesses.
///
/// In a list `one,other` the first is used and all are trusted. So a secret is
/// replaced while the network runs by giving every member `old,new`, then every
/// member `new,old`, then `new`.
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
    /// The first is used, all are trusted; never empty.
    keys: Vec<[u8; LENGTH]>,
}

impl Secret {
    /// Makes a new secret out of the system's randomness.
    ///
    /// # Panics
    ///
    /// When the system has no randomness to give.
    pub fn random() -> Secret {
        let mut key = [0; LENGTH];
        rustls::crypto::ring::default_provider()
            .secure_random
            .fill(&mut key)
            .expect("the system's random numbers are available");
        Secret { keys: vec![key] }
    }

    /// Reads a secret, or a rotation of them, from a file; white space around
    /// it does not count.
    ///
    /// # Errors
    ///
    /// [`SecretError`], which names the file but not what is in it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Secret, SecretError> {
        let path = path.as_ref();
        let origin = format!("in file {path:?}");
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
            .map_err(|err| SecretError::new(&origin, Problem::Unreadable(err.to_string())))?;
        Secret::read(text.trim(), &origin)
    }

    /// The secret's text form, to be handed to another member.
    pub fn reveal(&self) -> String {
        let hex = |key: &[u8; LENGTH]| -> String {
            key.iter().map(|byte| format!("{byte:02x}")).collect()
        };
        self.keys.iter().map(hex).collect::<Vec<_>>().join(",")
    }

    /// The one to use, and then the others to trust.
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
            let mut key = [0; LENGTH];
            for (byte, digits) in key.iter_mut().zip(part.as_bytes().chunks(2)) {
                let [high, low] = [digits[0], digits[1]].map(|c| char::from(c).to_digit(16));
                *byte = match (high, low) {
                    (Some(high), Some(low)) => (high * 16 + low) as u8,
                    _ => return Err(bad(Problem::NotHex(index + 1))),
                };
            }
            keys.push(key);
        }
        Ok(Secret { keys })
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

/// A secret that could not be read: where it came from and what is wrong with
/// it, but not what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretError {
    origin: String,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("{0}")]
    Unreadable(String),
    #[error("number {0} of the list has {1} characters, not the 64 hexadecimal digits of 32 bytes")]
    Length(usize, usize),
    #[error("number {0} of the list has a character that is no hexadecimal digit")]
    NotHex(usize),
    #[error("the list is longer than {MAX_SECRETS}")]
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
    fn errors_tell_the_place_and_not_the_secret() {
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
}
