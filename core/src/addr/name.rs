//! Names: what can name a host or a network, and the error for what cannot.
//!
//! Owns the limits of names and [`AddrError`]. Never changes a name: no case
//! folding, no Unicode normalisation.

use std::fmt;

/// Longest name of a host or of a network, in bytes of UTF-8.
///
/// Names travel behind a one-byte length, so this is also the most that a
/// frame can carry.
pub const MAX_NAME: usize = 255;

/// How much of a refused input an error shows, in characters.
const SHOWN: usize = 80;

/// Checks that `name` can name a host or a network.
pub(crate) fn check_name(noun: Noun, name: &str) -> Result<(), AddrError> {
    check_text(noun, name)?;
    match name.contains(['[', ']']) {
        true => Err(AddrError::new(noun, name, Problem::Brackets)),
        false => Ok(()),
    }
}

/// What a [`Registry`](crate::Registry) refuses of a hostname before it asks anybody:
/// one that is empty, longer than [`MAX_NAME`] bytes, or has a control character.
///
/// Square brackets are for the grammar of addresses to refuse: to a registry every
/// other string is a name.
///
/// # Errors
///
/// [`AddrError`], which becomes a [`Failure`](crate::Failure) with
/// [`Cause::InvalidAddr`](crate::Cause::InvalidAddr).
pub fn check_hostname(hostname: &str) -> Result<(), AddrError> {
    check_text(Noun::Hostname, hostname)
}

/// The same for the name of a network.
///
/// # Errors
///
/// As of [`check_hostname`].
pub fn check_network(network: &str) -> Result<(), AddrError> {
    check_text(Noun::Network, network)
}

fn check_text(noun: Noun, name: &str) -> Result<(), AddrError> {
    let problem = if name.is_empty() {
        Problem::Empty
    } else if name.len() > MAX_NAME {
        Problem::TooLong
    } else if name.chars().any(char::is_control) {
        Problem::Control
    } else {
        return Ok(());
    };
    Err(AddrError::new(noun, name, problem))
}

/// What was being read when an input was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noun {
    Address,
    Hostname,
    Network,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("it is an address on another network")]
    OtherNetwork,
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {MAX_NAME} bytes")]
    TooLong,
    #[error("it contains a control character")]
    Control,
    #[error("square brackets go in pairs, around a host that contains ':'")]
    Brackets,
    #[error("a host that contains ':' needs brackets, as in [host]:port")]
    Colons,
    #[error("the host is missing")]
    NoHost,
    #[error("the port is missing")]
    NoPort,
    #[error("the port is not a number")]
    PortNotNumber,
    #[error("the port does not fit 16 bits")]
    PortTooLarge,
    #[error("after a '%' come two hex digits, and all that they stand for is UTF-8")]
    UriPercent,
    #[error(
        "upper and lower case are one in a URI: in a name, upper case is %41 to %5A, in brackets"
    )]
    UriCase,
}

/// An address or a name that was refused; shows the input and what is wrong
/// with it.
///
/// ```
/// let err = virtnet_core::Addr::parse("n", "α:65536").unwrap_err();
/// assert_eq!(err.to_string(), r#"invalid address "α:65536": the port does not fit 16 bits"#);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct AddrError {
    noun: Noun,
    input: String,
    problem: Problem,
}

/// As much of what was given as an error shows.
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
