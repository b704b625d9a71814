//! Host names as arguments, and the name of the host that dials.
//!
//! Owns what is valid where a host name is expected, and the default name of a host that
//! dials. Never registers a name except through the library.

use std::time::Duration;

use virtnet::{Addr, Cause, Host, OpError, SubNetwork};

use super::exit::Exit;
use super::output::print_stderr;

/// The variable that replaces a missing `--from`.
pub(crate) const VARIABLE: &str = "VIRTNET_HOST";

/// Parses a host name. A name with a colon must be in brackets, as in an address, because
/// `α:1` would mean a port.
pub(crate) fn host(network: &str, text: &str) -> Result<Addr, Exit> {
    let bracketed = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    if bracketed.is_none() && text.contains(':') {
        const SHOWN: usize = 80;
        let shown: String = text.chars().take(SHOWN).collect();
        return Err(Exit::Usage(format!(
            "invalid host {shown:?}: expected a name without a port, got a ':' (write a name \
             that contains ':' in brackets, such as [a:b])"
        )));
    }
    Ok(Addr::new(network, bracketed.unwrap_or(text), 0)?)
}

/// The name of a host that only dials.
pub(crate) struct OwnName {
    addr: Addr,
    /// Whether to add a random suffix when the name is in use.
    fallback: bool,
}

impl OwnName {
    /// The name of `--from`; otherwise that of the variable; otherwise a random one, which
    /// begins with `prefix`.
    pub(crate) fn read(network: &str, from: Option<&str>, prefix: &str) -> Result<OwnName, Exit> {
        if let Some(from) = from {
            let addr = host(network, from)?;
            return Ok(OwnName {
                addr,
                fallback: false,
            });
        }
        let addr = match std::env::var(VARIABLE) {
            Ok(from) if from.is_empty() => Addr::new(network, unique(prefix), 0)?,
            Ok(from) => host(network, &from).map_err(named)?,
            Err(std::env::VarError::NotPresent) => Addr::new(network, unique(prefix), 0)?,
            Err(err) => return Err(Exit::Usage(format!("{VARIABLE}: {err}"))),
        };
        Ok(OwnName {
            addr,
            fallback: true,
        })
    }

    /// Creates the host. When the variable's name is in use, for example by another command
    /// in the same container, adds a random suffix.
    pub(crate) async fn host(
        &self,
        subnet: &SubNetwork,
        within: Duration,
    ) -> Result<Host, OpError> {
        let name = self.addr.host();
        match subnet.new_host_within(name, within).await {
            Err(err) if self.fallback && err.cause() == Cause::HostAlreadyRegistered => {
                let other = unique(name);
                print_stderr(&format!("{name} is in use: dialing from {other}"));
                subnet.new_host(&other).await
            }
            made => made,
        }
    }
}

/// Adds 48 random bits, so that no other host has the name by chance.
fn unique(prefix: &str) -> String {
    let random = virtnet::quic::Secret::random().reveal();
    format!("{prefix}-{}", &random[..12])
}

fn named(end: Exit) -> Exit {
    match end {
        Exit::Usage(line) => Exit::Usage(format!("{VARIABLE}: {line}")),
        end => end,
    }
}
