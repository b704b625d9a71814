//! Hosts' names as they are given to the command, and the own one.
//!
//! Owns what may stand where a host's name is expected, and which name a dialing
//! command takes that was given none. Never announces one but through the library.

use std::time::Duration;

use virtnet::{Addr, Cause, Host, OpError, SubNetwork};

use super::end::{End, say};

/// Names the host that dials from here, for who gives no `--from`.
pub(crate) const VARIABLE: &str = "VIRTNET_HOST";

/// Reads a host's name. One with a colon stands in brackets, as in an address:
/// whoever writes α:1 means a port, and there is none here.
pub(crate) fn host(network: &str, text: &str) -> Result<Addr, End> {
    let bracketed = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    if bracketed.is_none() && text.contains(':') {
        const SHOWN: usize = 80;
        let shown: String = text.chars().take(SHOWN).collect();
        return Err(End::Misused(format!(
            "invalid host {shown:?}: expected a name without a port, got a ':' (a name that \
             has one stands in brackets, as [a:b])"
        )));
    }
    Ok(Addr::new(network, bracketed.unwrap_or(text), 0)?)
}

/// The name of a host that only dials.
pub(crate) struct OwnName {
    addr: Addr,
    /// Whether another one does as well.
    any: bool,
}

impl OwnName {
    /// The one that was asked for; or else that of the environment; or else a random
    /// one, which begins with `what`.
    pub(crate) fn read(network: &str, from: Option<&str>, what: &str) -> Result<OwnName, End> {
        if let Some(from) = from {
            let addr = host(network, from)?;
            return Ok(OwnName { addr, any: false });
        }
        let addr = match std::env::var(VARIABLE) {
            Ok(from) if from.is_empty() => Addr::new(network, unique(what), 0)?,
            Ok(from) => host(network, &from).map_err(named)?,
            Err(std::env::VarError::NotPresent) => Addr::new(network, unique(what), 0)?,
            Err(err) => return Err(End::Misused(format!("{VARIABLE}: {err}"))),
        };
        Ok(OwnName { addr, any: true })
    }

    /// Makes the host. Where the environment's name is taken, as by another command in
    /// the same container, it is one that begins like it.
    pub(crate) async fn host(
        &self,
        subnet: &SubNetwork,
        within: Duration,
    ) -> Result<Host, OpError> {
        let name = self.addr.host();
        match subnet.new_host_within(name, within).await {
            Err(err) if self.any && err.cause() == Cause::HostAlreadyRegistered => {
                let other = unique(name);
                say(&format!("{name} is taken: dialing from {other}"));
                subnet.new_host(&other).await
            }
            made => made,
        }
    }
}

/// Nobody else has a name by chance that has 48 random bits.
fn unique(start: &str) -> String {
    let random = virtnet::quic::Secret::random().reveal();
    format!("{start}-{}", &random[..12])
}

fn named(end: End) -> End {
    match end {
        End::Misused(line) => End::Misused(format!("{VARIABLE}: {line}")),
        end => end,
    }
}
