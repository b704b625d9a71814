//! Registries by URL: which there are, and opening one.
//!
//! Owns the list of schemes. Each scheme has a file of its own, which knows how
//! to read its URL and how to open it; one more is one more variant here. Never
//! announces or queries anything.

mod access;
mod local;
mod memory;
mod redis;

use std::path::PathBuf;
use std::sync::Arc;

use virtnet_core::{Registry, RegistryError};

pub(crate) use access::Access;

use crate::HostInfo;
use crate::quic::{Secret, SecretError};
use crate::setting::{Setting, SettingError, redacted};

/// A registry's URL that was read.
#[derive(Debug)]
pub(crate) enum RegistryUrl {
    /// Within this process.
    Memory,
    /// In this folder.
    Local(PathBuf),
    Redis(redis::Server),
}

/// What a network is joined with.
pub(crate) struct Opened {
    pub(crate) registry: Arc<dyn Registry>,
    /// The members' secret, where the registry itself keeps them within one
    /// process or one user's. No registry that others can read ever has one.
    pub(crate) secret: Option<Shared>,
}

/// The secret of a network that has one for its members.
pub(crate) enum Shared {
    Secret(Secret),
    /// Made by whoever comes first.
    File(PathBuf),
}

impl Shared {
    pub(crate) fn read(self) -> Result<Secret, SecretError> {
        match self {
            Shared::Secret(secret) => Ok(secret),
            Shared::File(path) => Secret::from_file_or_new(path),
        }
    }
}

impl RegistryUrl {
    pub(crate) fn parse(setting: &Setting) -> Result<RegistryUrl, SettingError> {
        let url = &*setting.value;
        let refuse = |problem: String| Setting::new(setting.name, redacted(url)).refuse(problem);
        match url.split_once(':') {
            Some(("memory", "")) => Ok(RegistryUrl::Memory),
            Some(("memory", _)) => Err(refuse("nothing may follow memory:".to_owned())),
            Some(("local", folder)) => local::parse(folder)
                .map(RegistryUrl::Local)
                .map_err(|problem| refuse(problem.to_owned())),
            Some((scheme, _)) if redis::SCHEMES.contains(&scheme) => redis::Server::parse(url)
                .map(RegistryUrl::Redis)
                .map_err(|problem| refuse(problem.to_owned())),
            _ => Err(refuse(
                "unknown scheme: there are memory:, local:, redis://, redis+sentinel:// and \
                 redis+cluster://, and rediss in place of redis for TLS"
                    .to_owned(),
            )),
        }
    }

    /// Whether it has a secret for its members, who then need none.
    pub(crate) fn has_secret(&self) -> bool {
        matches!(self, RegistryUrl::Memory | RegistryUrl::Local(_))
    }

    /// The host and port of the registry, when it is a server, or of the first
    /// one that its URL names: members are taken to reach each other by the way
    /// they reach that.
    pub(crate) fn server(&self) -> Option<(&str, u16)> {
        match self {
            RegistryUrl::Memory | RegistryUrl::Local(_) => None,
            RegistryUrl::Redis(server) => Some(server.host_and_port()),
        }
    }

    pub(crate) async fn open(
        &self,
        network: &str,
        access: &Access,
    ) -> Result<Opened, RegistryError> {
        match self {
            RegistryUrl::Memory => Ok(memory::open(network)),
            RegistryUrl::Local(dir) => local::open(dir, network),
            RegistryUrl::Redis(server) => server.open(network, access).await,
        }
    }

    /// The network's hosts, sorted by name. What is damaged is warned of.
    pub(crate) async fn hosts(
        &self,
        network: &str,
        access: &Access,
    ) -> Result<Vec<HostInfo>, RegistryError> {
        match self {
            RegistryUrl::Memory => Ok(memory::hosts(network)),
            RegistryUrl::Local(dir) => local::hosts(dir, network, access),
            RegistryUrl::Redis(server) => server.hosts(network, access).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_urls_are_named_without_their_password() {
        for (url, shown, problem) in [
            ("", "", "unknown scheme"),
            ("10.0.0.9", "10.0.0.9", "unknown scheme"),
            ("memory:x", "memory:x", "nothing may follow"),
            ("local:x", "local:x", "one slash"),
            ("local://x", "local://x", "one slash"),
            ("ftp://me:hunter2@h", "ftp://***@h", "unknown scheme"),
            ("redis://me:hunter2@", "redis://***@", "has no host"),
            ("redis://h:x", "redis://h:x", "port"),
            ("redis://u:hun#ter2@h", "redis://***@h", "%23"),
            ("redis://:hun/ter2@h:1/0", "redis://***@h:1/0", "%2F"),
            (
                "rediss+cluster://u:hun?ter2@h",
                "rediss+cluster://***@h",
                "%3F",
            ),
            ("redis:h", "redis:h", "form redis://"),
            ("redis+unix://h", "redis+unix://h", "unknown scheme"),
            (
                "redis+cluster://u:hunter2@,h",
                "redis+cluster://***@,h",
                "has no host",
            ),
        ] {
            let err = RegistryUrl::parse(&Setting::new("registry", url.to_owned())).unwrap_err();
            let text = err.to_string();
            assert!(text.starts_with(&format!("registry {shown:?}: ")), "{text}");
            assert!(text.contains(problem), "{text}");
        }
    }
}
