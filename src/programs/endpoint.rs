//! Where a program is on its own machine: a TCP address or a Unix socket.
//!
//! Owns how such an endpoint is written and checked. Never opens a socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// An address of the real machine: `127.0.0.1:5432`, `localhost:5432`, `[::1]:5432`, or
/// `unix:/run/app.sock`.
///
/// ```
/// use virtnet::programs::Endpoint;
///
/// let endpoint: Endpoint = "127.0.0.1:5432".parse()?;
/// assert_eq!(endpoint.to_string(), "127.0.0.1:5432");
/// assert_eq!("unix:/run/db".parse::<Endpoint>()?.to_string(), "unix:/run/db");
/// assert!("5432".parse::<Endpoint>().is_err());
/// # Ok::<(), virtnet::programs::EndpointError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// A host name or IP address, and a port, as in `localhost:5432`. The system resolves the
    /// name each time that it is needed.
    Tcp(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// A text that is not an [`Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid address {text:?}: expected {expected}")]
pub struct EndpointError {
    text: String,
    expected: &'static str,
}

/// The maximum length of a Unix socket's path, in bytes, on most systems.
const MAX_PATH: usize = 107;

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        let wrong = |expected| EndpointError {
            text: text.chars().take(120).collect(),
            expected,
        };
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.len() {
                0 => Err(wrong("a path after \"unix:\"")),
                1..=MAX_PATH => Ok(Endpoint::Unix(path.into())),
                _ => Err(wrong("a path of at most 107 bytes after \"unix:\"")),
            };
        }
        const EXPECTED: &str =
            "IP:PORT, NAME:PORT or unix:PATH, such as 127.0.0.1:5432 or unix:/run/app.sock";
        if text.parse::<SocketAddr>().is_ok() {
            return Ok(Endpoint::Tcp(text.to_owned()));
        }
        let (name, port) = text.rsplit_once(':').ok_or_else(|| wrong(EXPECTED))?;
        let odd = |c: char| c.is_whitespace() || c.is_control() || ":/[]@=".contains(c);
        if name.is_empty() || name.contains(odd) || port.parse::<u16>().is_err() {
            return Err(wrong(EXPECTED));
        }
        Ok(Endpoint::Tcp(text.to_owned()))
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Endpoint {
        Endpoint::Tcp(addr.to_string())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(addr) => addr.fmt(f),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_endpoint_is_named() {
        for good in [
            "127.0.0.1:0",
            "[::1]:80",
            "localhost:65535",
            "db:1",
            "unix:/a b",
        ] {
            let endpoint: Endpoint = good.parse().unwrap();
            assert_eq!(endpoint.to_string(), good);
        }
        for bad in [
            "",
            ":80",
            "80",
            "::1:80",
            "a:b:80",
            "db:65536",
            "db:",
            "unix:",
            "http://a:80",
        ] {
            let err = bad.parse::<Endpoint>().unwrap_err().to_string();
            assert!(err.starts_with(&format!("invalid address {bad:?}: ")));
        }
        let long = format!("unix:/{}", "x".repeat(107));
        assert!(long.parse::<Endpoint>().is_err());
    }
}
