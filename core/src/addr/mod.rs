//! Virtual addresses, and how they are written and parsed.
//!
//! Owns the grammar `host:port`. Never looks a host up, and never knows which
//! ports are free.

pub(crate) mod name;
pub(crate) mod to_addr;

use std::fmt;
use std::sync::Arc;

use crate::AddrError;
use crate::addr::name::{Noun, Problem, check_name};

/// The address of a socket on a virtual network: network, host, port.
///
/// It is written `host:port`, with the host in brackets if it contains a `:`. The
/// network is part of the address but not written, since all addresses in a test
/// are usually on one network.
///
/// Names are UTF-8 and compared byte by byte, without case folding or Unicode
/// normalisation.
///
/// ```
/// use virtnet_core::Addr;
///
/// let addr = Addr::parse("quicα", "α:1")?;
/// assert_eq!(addr.host(), "α");
/// assert_eq!(addr.port(), 1);
/// assert_eq!(addr.network(), "quicα");
/// assert_eq!(addr, "α:1");
/// assert_eq!(Addr::new("quicα", "fe80::1", 7)?.to_string(), "[fe80::1]:7");
/// # Ok::<(), virtnet_core::AddrError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Addr {
    network: Arc<str>,
    host: Arc<str>,
    port: u16,
}

impl Addr {
    /// Makes an address from its three parts.
    ///
    /// # Errors
    ///
    /// [`AddrError`] if a name is empty, longer than [`MAX_NAME`](crate::MAX_NAME) bytes, or
    /// contains a control character or a square bracket.
    pub fn new(
        network: impl AsRef<str> + Into<Arc<str>>,
        host: impl AsRef<str> + Into<Arc<str>>,
        port: u16,
    ) -> Result<Addr, AddrError> {
        // Before copying, since untrusted input may be very long.
        check_name(Noun::Network, network.as_ref())?;
        check_name(Noun::Hostname, host.as_ref())?;
        Ok(Addr::unchecked(network.into(), host.into(), port))
    }

    /// Parses `host:port` as an address on `network`.
    ///
    /// # Errors
    ///
    /// [`AddrError`], with the input in its text, if the host or the port is missing,
    /// the port is not a number from 0 to 65535, brackets are unbalanced, or
    /// the host is not a valid name ([`Addr::new`]).
    pub fn parse(
        network: impl AsRef<str> + Into<Arc<str>>,
        input: &str,
    ) -> Result<Addr, AddrError> {
        let (host, port) = split(input)?;
        if host.is_empty() {
            return Err(AddrError::new(Noun::Address, input, Problem::NoHost));
        }
        Addr::new(network, host, port)
    }

    /// An address from names that were checked before, or that an error shows
    /// because they are invalid.
    pub(crate) fn unchecked(network: Arc<str>, host: Arc<str>, port: u16) -> Addr {
        Addr {
            network,
            host,
            port,
        }
    }

    /// The full name of the network.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// The network's name, as a shared pointer.
    pub(crate) fn network_arc(&self) -> Arc<str> {
        Arc::clone(&self.network)
    }

    /// The host's name, as a shared pointer.
    pub(crate) fn host_arc(&self) -> Arc<str> {
        Arc::clone(&self.host)
    }

    /// The name of the host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port on the host, from 1. Port 0 means any free port when listening.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same host with another port.
    pub fn with_port(&self, port: u16) -> Addr {
        Addr {
            port,
            ..self.clone()
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({self})", self.network)
    }
}

/// Compares the written form, so that a test can say `assert_eq!(addr, "α:1")`.
impl PartialEq<str> for Addr {
    fn eq(&self, written: &str) -> bool {
        split(written).is_ok_and(|(host, port)| host == &*self.host && port == self.port)
    }
}

/// Compares the written form, so that a test can say `assert_eq!(addr, "α:1")`.
impl PartialEq<&str> for Addr {
    fn eq(&self, written: &&str) -> bool {
        self == *written
    }
}

/// Compares the written form, so that a test can say `assert_eq!("α:1", conn.peer_addr())`.
impl PartialEq<Addr> for str {
    fn eq(&self, addr: &Addr) -> bool {
        addr == self
    }
}

/// Compares the written form, so that a test can say `assert_eq!("α:1", addr)`.
impl PartialEq<Addr> for &str {
    fn eq(&self, addr: &Addr) -> bool {
        addr == *self
    }
}

/// Splits `host:port`. The host may be empty, which means the host that parses it.
pub(crate) fn split(input: &str) -> Result<(&str, u16), AddrError> {
    let bad = |problem| AddrError::new(Noun::Address, input, problem);
    let (host, port) = match input.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(|| bad(Problem::Brackets))?;
            (
                host,
                port.strip_prefix(':').ok_or_else(|| bad(Problem::NoPort))?,
            )
        }
        None => {
            let (host, port) = input.rsplit_once(':').ok_or_else(|| bad(Problem::NoPort))?;
            if host.contains(':') {
                return Err(bad(Problem::Colons));
            }
            (host, port)
        }
    };
    if host.contains(['[', ']']) || port.contains(['[', ']']) {
        return Err(bad(Problem::Brackets));
    }
    if port.is_empty() {
        return Err(bad(Problem::NoPort));
    }
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad(Problem::PortNotNumber));
    }
    let port = port.parse().map_err(|_| bad(Problem::PortTooLarge))?;
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_NAME;

    #[test]
    fn written_and_read_back() {
        for (host, port, written) in [
            ("α", 1, "α:1"),
            ("a b", 65535, "a b:65535"),
            ("::1", 7, "[::1]:7"),
            ("a{b}%", 0, "a{b}%:0"),
        ] {
            let addr = Addr::new("net", host, port).unwrap();
            assert_eq!(addr.to_string(), written);
            assert_eq!(Addr::parse("net", written).unwrap(), addr);
            assert_eq!(addr, written);
            assert_eq!(written, addr);
            assert_eq!(&addr, written, "as an address that is borrowed compares");
            assert_eq!(written, &addr);
            assert_eq!(addr, *written);
            assert_eq!(*written, addr);
            assert_ne!(&addr, "β:1");
            assert_ne!("β:1", &addr);
        }
        assert_eq!(Addr::parse("net", "[α]:1").unwrap(), "α:1");
    }

    #[test]
    fn names_are_compared_byte_for_byte() {
        let composed = Addr::parse("n", "é:1").unwrap();
        assert_ne!(composed, Addr::parse("n", "e\u{301}:1").unwrap());
        assert_ne!(composed, Addr::parse("n", "É:1").unwrap());
        assert_ne!(composed, Addr::parse("m", "é:1").unwrap());
    }

    #[test]
    fn refusals_name_the_input() {
        let long = "x".repeat(MAX_NAME + 1);
        for (input, problem) in [
            ("", Problem::NoPort),
            (":10", Problem::NoHost),
            ("α", Problem::NoPort),
            ("α:", Problem::NoPort),
            ("[α]", Problem::NoPort),
            ("[α]1", Problem::NoPort),
            ("α:x", Problem::PortNotNumber),
            ("α:-1", Problem::PortNotNumber),
            ("α:+1", Problem::PortNotNumber),
            ("α: 1", Problem::PortNotNumber),
            ("α:65536", Problem::PortTooLarge),
            ("α:99999999999999999999", Problem::PortTooLarge),
            ("[α:1", Problem::Brackets),
            ("α]:1", Problem::Brackets),
            ("[[α]]:1", Problem::NoPort),
            ("[a[]:1", Problem::Brackets),
            ("::1:1", Problem::Colons),
        ] {
            let err = Addr::parse("n", input).unwrap_err();
            assert_eq!(err, AddrError::new(Noun::Address, input, problem));
            assert!(err.to_string().contains(&format!("{input:?}")), "{err}");
        }
        for (host, problem) in [
            ("", Problem::Empty),
            (&*long, Problem::TooLong(MAX_NAME + 1)),
            ("a\nb", Problem::Control),
            ("a]b", Problem::BracketInName),
        ] {
            let err = Addr::new("n", host, 1).unwrap_err();
            assert_eq!(err, AddrError::new(Noun::Hostname, host, problem));
            let err = Addr::new(host, "h", 1).unwrap_err();
            assert_eq!(err, AddrError::new(Noun::Network, host, problem));
        }
        assert!(Addr::new("n", &long[1..], 1).is_ok());
    }
}
