//! The entry of a host in a registry, in one form for every kind of registry.
//!
//! Owns [`HostEntry`]. Never reads a registry: each scheme's file does.

use std::time::Duration;

/// A host of a network, as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostEntry {
    /// Its name.
    pub name: String,
    /// The UDP address that its engine announced: `host:port`.
    pub address: String,
    /// How long the name stays taken unless it is renewed; `None` for `memory:` and
    /// `local:`, where a process holds its names as long as it lives.
    pub lease_left: Option<Duration>,
    /// The id of the subnetwork that announced it: 32 hexadecimal digits; `None` for
    /// `memory:`.
    pub owner: Option<String>,
    /// The process that holds it, for `memory:` and `local:`.
    pub pid: Option<u32>,
}
