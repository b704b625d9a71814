//! The rules of host and network names, and the error for invalid ones.
//!
//! Owns the limits of names and [`AddrError`]. Never changes a name: no case
//! folding, no Unicode normalisation.

use std::fmt;

/// The maximum length of a host or network name, in bytes of UTF-8.
///
/// In a frame, a name follows a length of one byte, so no longer name fits.
pub const MAX_NAME: usize = 255;

/// How many characters of an invalid input an error shows.
const SHOWN: usize = 80;

/// Checks that `name` is a valid name of a host or a network.
pub(crate) fn check_name(noun: Noun, name: &str) -> Result<(), AddrError> {
    check_text(noun, name)?;
    match name.contains(['[', ']']) {
        true => Err(AddrError::new(noun, name, Problem::BracketInName)),
        false => Ok(()),
    }
}

/// Checks a hostname that a [`Registry`](crate::Registry) is given, before it sends a
/// request: it must not be empty, longer than [`MAX_NAME`] bytes, or contain a control
/// character.
///
/// Square brackets are allowed here; only [`Addr`](crate::Addr) refuses them.
///
/// # Errors
///
/// [`AddrError`], which converts to a [`Failure`](crate::Failure) with
/// [`Cause::InvalidAddr`](crate::Cause::InvalidAddr).
pub fn check_hostname(hostname: &str) -> Result<(), AddrError> {
    check_text(Noun::Hostname, hostname)
}

/// Checks a network's name, with the rules of [`check_hostname`].
///
/// # Errors
///
/// See [`check_hostname`].
pub fn check_network(network: &str) -> Result<(), AddrError> {
    check_text(Noun::Network, network)
}

fn check_text(noun: Noun, name: &str) -> Result<(), AddrError> {
    let problem = if name.is_empty() {
        Problem::Empty
    } else if name.len() > MAX_NAME {
        Problem::TooLong(name.len())
    } else if name.chars().any(char::is_control) {
        Problem::Control
    } else {
        return Ok(());
    };
    Err(AddrError::new(noun, name, problem))
}

/// The kind of input that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noun {
    Address,
    Hostname,
    Network,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("expected an address on this host's network, got one on another network")]
    OtherNetwork,
    #[error("expected 1 to {MAX_NAME} bytes, got 0")]
    Empty,
    #[error("expected 1 to {MAX_NAME} bytes, got {0}")]
    TooLong(usize),
    #[error("a name must not contain control characters")]
    Control,
    #[error("a name must not contain '[' or ']'")]
    BracketInName,
    #[error("expected square brackets only around the whole host, such as [::1]:80")]
    Brackets,
    #[error("a host that contains ':' needs brackets, such as [::1]:80")]
    Colons,
    #[error("expected host:port, got no host")]
    NoHost,
    #[error("expected host:port, got no port")]
    NoPort,
    #[error("the port must be a number from 0 to 65535, in digits only")]
    PortNotNumber,
    #[error("the port must be at most 65535")]
    PortTooLarge,
    #[error("expected two hex digits after each '%', and UTF-8 once decoded")]
    UriPercent,
    #[error("upper-case letters in a URI's host must be percent-encoded, such as [%41] for A")]
    UriCase,
}

/// An invalid address or name. The text shows the input and the rule that it
/// violates.
///
/// ```
/// let err = virtnet_core::Addr::parse("n", "α:65536").unwrap_err();
/// assert_eq!(err.to_string(), r#"invalid address "α:65536": the port must be at most 65535"#);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct AddrError {
    noun: Noun,
    input: String,
    problem: Problem,
}

/// The part of `input` that an error shows.
pub(crate) fn clipped(input: &str) -> String {
    let mut shown: String = input.chars().take(SHOWN).collect();
    if shown.len() < input.len() {
        shown.push('…');
    }
    shown
}

impl AddrError {
    pub(crate) fn new(noun: Noun, input: &str, problem: Problem) -> AddrError {
        AddrError {
            noun,
            input: clipped(input),
            problem,
        }
    }
}

impl fmt::Display for AddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = match self.noun {
            Noun::Address => "address",
            Noun::Hostname => "hostname",
            Noun::Network => "network name",
        };
        write!(f, "invalid {noun} {:?}: {}", self.input, self.problem)
    }
}

impl fmt::Debug for AddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            // It has no source to show.
            return fmt::Display::fmt(self, f);
        }
        f.debug_struct("AddrError")
            .field("noun", &self.noun)
            .field("input", &self.input)
            .field("problem", &self.problem)
            .finish()
    }
}

impl std::error::Error for AddrError {}
