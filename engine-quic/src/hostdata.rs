//! Hostdata: the real address of a host, as `host:port`.
//!
//! Owns its format, the address that hosts announce, and DNS lookups. Never connects
//! to anything.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use virtnet_core::{Cause, Failure};

use crate::udp::socket::{AddressFamilies, Bind};

/// Longest DNS name, in bytes.
const MAX_DNS_NAME: usize = 253;

/// The most addresses of one DNS name that a dial tries.
const MAX_ADDRESSES: usize = 8;

/// A host of the real network: an IP address or a DNS name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RealHost {
    Ip(IpAddr),
    Name(String),
}

impl RealHost {
    fn ip(&self) -> Option<IpAddr> {
        match self {
            RealHost::Ip(ip) => Some(*ip),
            RealHost::Name(_) => None,
        }
    }
}

/// The real address of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RealAddr {
    host: RealHost,
    port: u16,
}

impl fmt::Display for RealAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            RealHost::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            RealHost::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl RealAddr {
    /// Parses the hostdata that the registry has for `hostname`.
    pub(crate) fn parse(hostname: &str, hostdata: &str) -> Result<RealAddr, Failure> {
        let corrupt = |problem: &str| {
            let shown: String = hostdata.chars().take(80).collect();
            Failure::wrap(
                Cause::Protocol,
                format!(
                    "invalid hostdata {shown:?} of host {hostname:?} in the registry: {problem}"
                ),
            )
        };
        let (host, port) = split_host_port(hostdata).map_err(corrupt)?;
        let port = port
            .ok_or("expected a port after the host, got none")
            .map_err(corrupt)?;
        Ok(RealAddr { host, port })
    }

    /// The socket address, unless a DNS name has to be resolved first.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.host.ip()?, self.port))
    }

    /// The addresses to try, in order. Queries the DNS for a name.
    pub(crate) async fn resolve(
        &self,
        hostname: &str,
        families: AddressFamilies,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let failed = |problem: String| {
            // Like a machine that is gone: its name often disappears with it, such as
            // that of a container that ended.
            Failure::wrap(
                Cause::HostUnreachable,
                format!("cannot reach host {hostname:?} at {self}: {problem}"),
            )
        };
        let found: Vec<SocketAddr> = match &self.host {
            RealHost::Ip(ip) => vec![SocketAddr::new(*ip, self.port)],
            RealHost::Name(name) => tokio::net::lookup_host((&**name, self.port))
                .await
                .map_err(|err| failed(format!("cannot resolve the name: {err}")))?
                .collect(),
        };
        let mut usable = found.clone();
        usable.retain(|addr| families.contains(addr));
        usable.truncate(MAX_ADDRESSES);
        if usable.is_empty() {
            return Err(failed(match found.first() {
                None => "the name resolves to no address".to_owned(),
                Some(addr) if addr.is_ipv6() => {
                    format!("{addr} is IPv6, but this host is bound to IPv4 only")
                }
                Some(addr) => format!("{addr} is IPv4, but this host is bound to IPv6 only"),
            }));
        }
        Ok(usable)
    }
}

/// The address that hosts announce. The port is each host's own if it is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advertised {
    host: RealHost,
    port: Option<u16>,
}

impl Advertised {
    /// Determines the address that hosts bound to `bind` announce.
    ///
    /// # Errors
    ///
    /// When `advertise` is invalid, or missing while `bind` is unspecified.
    pub(crate) fn new(advertise: Option<&str>, bind: Bind) -> Result<Advertised, Failure> {
        match advertise {
            Some(input) => {
                let refused = |problem: &str| {
                    let text = format!("cannot advertise {input:?}: {problem}");
                    Failure::wrap(Cause::InvalidAddr, text)
                };
                let (host, port) = split_host_port(input).map_err(refused)?;
                if port.is_some() && bind.is_range() {
                    let problem =
                        format!("expected no port, as each host announces its own from {bind}");
                    return Err(refused(&problem));
                }
                Ok(Advertised { host, port })
            }
            None if bind.first.ip().is_unspecified() => Err(Failure::wrap(
                Cause::InvalidAddr,
                format!(
                    "no other machine can reach hosts at {bind}, the address that they bind: \
                     set an address to advertise"
                ),
            )),
            None => Ok(Advertised {
                host: RealHost::Ip(bind.first.ip()),
                port: None,
            }),
        }
    }

    /// The IP address, unless it is a DNS name.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.host.ip()
    }

    /// The hostdata of an endpoint bound to `port`.
    pub(crate) fn hostdata(&self, port: u16) -> String {
        let place = RealAddr {
            host: self.host.clone(),
            port: self.port.unwrap_or(port),
        };
        place.to_string()
    }
}

/// Splits `host` or `host:port`. An IPv6 address is in brackets if a port follows.
fn split_host_port(input: &str) -> Result<(RealHost, Option<u16>), &'static str> {
    if let Ok(ip) = input.parse::<Ipv6Addr>() {
        return Ok((real_host(&ip.to_string())?, None));
    }
    let (host, port) = match input.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest
                .split_once(']')
                .ok_or("expected \"]\" after the IPv6 address")?;
            host.parse::<Ipv6Addr>()
                .map_err(|_| "expected an IPv6 address between the brackets")?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err("expected \":\" and a port after \"]\""),
            }
        }
        None => match input.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (input, None),
        },
    };
    let host = real_host(host)?;
    let port = match port {
        None => None,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            match digits.parse() {
                Ok(0) => return Err("expected a port from 1 to 65535, got 0"),
                Ok(port) => Some(port),
                Err(_) => return Err("expected a port from 1 to 65535"),
            }
        }
        Some(_) => return Err("expected a port in decimal digits"),
    };
    Ok((host, port))
}

fn real_host(host: &str) -> Result<RealHost, &'static str> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        if ip.to_canonical().is_unspecified() {
            return Err("expected an address of one host, got the unspecified address");
        }
        return Ok(RealHost::Ip(ip));
    }
    if host.is_empty() {
        return Err("expected a host before the port, got none");
    }
    // The underscore is common in names of compose files.
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if host.len() > MAX_DNS_NAME || !host.bytes().all(allowed) {
        return Err("expected an IP address or a DNS name as the host");
    }
    // Resolvers read `0` and `0x7f.1` as IPv4 addresses.
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or("");
    if last.is_empty() || last.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("expected an IP address or a DNS name as the host");
    }
    Ok(RealHost::Name(host.to_owned()))
}

#[cfg(test)]
#[path = "hostdata/tests.rs"]
mod tests;
