//! Names of virtual hosts in URIs, whose hosts are ASCII and case-insensitive.
//!
//! Owns the encoding and decoding. Never parses a whole URI.

use std::sync::Arc;

use crate::addr::name::{Noun, Problem};
use crate::addr::split;
use crate::{Addr, AddrError};

/// The default port of `http`.
pub(crate) const HTTP: u16 = 80;

/// Encodes a host's name for a URI.
///
/// Different names stay different even when case is ignored, so a client's connection
/// pool never mixes them up.
///
/// ```
/// use virtnet_core::adapt::uri_host;
///
/// assert_eq!(uri_host("node-1"), "node-1");
/// assert_eq!(uri_host("α"), "[%CE%B1]");
/// assert_eq!(uri_host("Aa"), "[%41a]");
/// assert_eq!(format!("http://{}:1/", uri_host("::1")), "http://[%3A%3A1]:1/");
/// ```
pub fn uri_host(name: &str) -> String {
    if name.bytes().all(is_plain) {
        return name.to_owned();
    }
    let encoded = name.bytes().map(|byte| match byte {
        plain if is_plain(plain) => char::from(plain).to_string(),
        other => format!("%{other:02X}"),
    });
    format!("[{}]", encoded.collect::<String>())
}

/// Encodes an address for a URI, between `http://` and the path.
///
/// ```
/// # use virtnet_core::Addr;
/// use virtnet_core::adapt::uri_authority;
///
/// let addr = Addr::parse("net", "α:1")?;
/// assert_eq!(uri_authority(&addr), "[%CE%B1]:1");
/// # Ok::<(), virtnet_core::AddrError>(())
/// ```
pub fn uri_authority(addr: &Addr) -> String {
    format!("{}:{}", uri_host(addr.host()), addr.port())
}

/// Parses a URI's authority, or a header `Host`, as an address.
///
/// The default port is 80.
///
/// # Errors
///
/// [`AddrError`] if it is not a valid address. Upper-case letters are refused, since a
/// URI's host is case-insensitive: encode them as `%41` to `%5A`.
///
/// ```
/// use virtnet_core::adapt::authority_addr;
///
/// assert_eq!(authority_addr("net", "[%CE%B1]:1")?, "α:1");
/// assert_eq!(authority_addr("net", "node-1")?, "node-1:80");
/// assert!(authority_addr("net", "Node-1:1").is_err());
/// # Ok::<(), virtnet_core::AddrError>(())
/// ```
pub fn authority_addr(
    network: impl AsRef<str> + Into<Arc<str>>,
    authority: &str,
) -> Result<Addr, AddrError> {
    let (name, port) = read(authority, HTTP)?;
    Addr::new(network, name, port)
}

/// Parses the host and port of an authority; `default` is the default port.
pub(crate) fn read(authority: &str, default: u16) -> Result<(String, u16), AddrError> {
    // The part before '@' is a user name and password, which are not used.
    let authority = authority
        .rsplit_once('@')
        .map_or(authority, |(_, rest)| rest);
    let bad = |problem| AddrError::new(Noun::Address, authority, problem);
    let has_port = !authority.ends_with(']') && authority.contains(':');
    let (host, port) = match has_port {
        true => split(authority)?,
        false => {
            let bare = authority
                .strip_prefix('[')
                .map(|rest| rest.strip_suffix(']'));
            let bare = bare.unwrap_or(Some(authority));
            (bare.ok_or_else(|| bad(Problem::Brackets))?, default)
        }
    };
    if host.is_empty() {
        return Err(bad(Problem::NoHost));
    }
    Ok((decode(host).map_err(bad)?, port))
}

/// Whether this byte of a name is written in a URI unchanged.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._~".contains(&byte)
}

/// Decodes a URI's host to a name.
fn decode(host: &str) -> Result<String, Problem> {
    let mut name = Vec::with_capacity(host.len());
    let mut bytes = host.bytes();
    while let Some(byte) = bytes.next() {
        name.push(match byte {
            b'%' => hex(bytes.next())
                .zip(hex(bytes.next()))
                .map(|(high, low)| high << 4 | low)
                .ok_or(Problem::UriPercent)?,
            byte if byte.is_ascii_uppercase() => return Err(Problem::UriCase),
            byte => byte,
        });
    }
    String::from_utf8(name).map_err(|_| Problem::UriPercent)
}

fn hex(digit: Option<u8>) -> Option<u8> {
    let digit = char::from(digit?).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests;
