//! Registries by URL: which there are, and opening one.
//!
//! Owns the list of schemes, and which of them this build has. Each scheme has a file of
//! its own, which parses its URL and opens it; a new scheme is a new variant here. Never
//! announces or queries anything.

// Only a registry that is a server uses these settings.
#[cfg_attr(not(feature = "redis"), allow(dead_code))]
mod access;
mod entry;
#[cfg(feature = "local")]
mod local;
mod marked;
mod memory;
#[cfg(feature = "redis")]
mod redis;

#[cfg(feature = "local")]
use std::path::PathBuf;
use std::sync::Arc;

use virtnet_core::{Registry, RegistryError};

pub(crate) use access::Access;
pub use entry::HostEntry;

use self::marked::MarkedRegistry;
use crate::quic::{Identity, Secret, SecretError};
use crate::setting::{Setting, SettingError, redacted};

/// The schemes of the feature `redis`.
const REDIS_SCHEMES: [&str; 6] = [
    "redis",
    "rediss",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
];

/// A parsed registry URL.
#[derive(Debug)]
pub(crate) enum RegistryUrl {
    /// Within this process.
    Memory,
    /// In this folder.
    #[cfg(feature = "local")]
    Local(PathBuf),
    #[cfg(feature = "redis")]
    Redis(redis::Server),
}

/// An open registry of one network.
pub(crate) struct Opened {
    pub(crate) registry: Arc<dyn Registry>,
    /// The members' secret, if the registry is only for one process or one user's
    /// processes. A registry that others can read never has one.
    pub(crate) secret: Option<Shared>,
}

impl Opened {
    /// The identity of members: the given one, or that by the registry's secret.
    pub(crate) fn identity(
        &mut self,
        given: Option<Identity>,
    ) -> Result<Option<Identity>, SecretError> {
        Ok(match (given, self.secret.take()) {
            (Some(given), _) => Some(given),
            (None, Some(shared)) => Some(Identity::secret(shared.read()?)),
            (None, None) => None,
        })
    }

    /// The registry at `url`, whose documents only members can write, for whoever has this identity.
    pub(crate) fn marked(
        self,
        network: &str,
        url: &str,
        identity: Option<&Identity>,
    ) -> MarkedRegistry {
        let marks = identity.and_then(|identity| identity.marks(network));
        MarkedRegistry::new(self.registry, redacted(url), marks)
    }
}

/// The secret that a registry has for its members.
pub(crate) enum Shared {
    Secret(Secret),
    /// The first process creates it.
    #[cfg(feature = "local")]
    File(PathBuf),
}

impl Shared {
    pub(crate) fn read(self) -> Result<Secret, SecretError> {
        match self {
            Shared::Secret(secret) => Ok(secret),
            #[cfg(feature = "local")]
            Shared::File(path) => Secret::from_file_or_new(path),
        }
    }
}

impl RegistryUrl {
    pub(crate) fn parse(setting: &Setting) -> Result<RegistryUrl, SettingError> {
        let url = &*setting.value;
        let refuse =
            |problem: &'static str| Setting::new(setting.name, redacted(url)).refuse(problem);
        match url.split_once(':') {
            Some(("memory", "")) => Ok(RegistryUrl::Memory),
            Some(("memory", _)) => Err(refuse("expected nothing after memory:")),
            #[cfg(feature = "local")]
            Some(("local", folder)) => local::parse(folder).map(RegistryUrl::Local).map_err(refuse),
            #[cfg(not(feature = "local"))]
            Some(("local", _)) => Err(refuse(
                "this program was built without virtnet's feature `local`",
            )),
            #[cfg(feature = "redis")]
            Some((scheme, _)) if REDIS_SCHEMES.contains(&scheme) => redis::Server::parse(url)
                .map(RegistryUrl::Redis)
                .map_err(refuse),
            #[cfg(not(feature = "redis"))]
            Some((scheme, _)) if REDIS_SCHEMES.contains(&scheme) => Err(refuse(
                "this program was built without virtnet's feature `redis`",
            )),
            _ => Err(refuse(
                "unknown scheme: expected memory:, local:, redis://, redis+sentinel:// or \
                 redis+cluster:// (for TLS: rediss in place of redis)",
            )),
        }
    }

    /// Whether it has a secret for its members, so that none must be set.
    pub(crate) fn has_secret(&self) -> bool {
        self.server().is_none()
    }

    /// The host and port of the first server that the URL names. Members are assumed
    /// to reach each other by the route that leads to it.
    pub(crate) fn server(&self) -> Option<(&str, u16)> {
        match self {
            RegistryUrl::Memory => None,
            #[cfg(feature = "local")]
            RegistryUrl::Local(_) => None,
            #[cfg(feature = "redis")]
            RegistryUrl::Redis(server) => Some(server.host_and_port()),
        }
    }

    #[cfg_attr(not(feature = "redis"), allow(unused_variables))]
    pub(crate) async fn open(
        &self,
        network: &str,
        access: &Access,
    ) -> Result<Opened, RegistryError> {
        match self {
            RegistryUrl::Memory => Ok(memory::open(network)),
            #[cfg(feature = "local")]
            RegistryUrl::Local(dir) => local::open(dir, network),
            #[cfg(feature = "redis")]
            RegistryUrl::Redis(server) => server.open(network, access).await,
        }
    }

    /// The network's hosts, sorted by name. Warns of damaged entries.
    #[cfg_attr(not(feature = "redis"), allow(unused_variables))]
    pub(crate) async fn hosts(
        &self,
        network: &str,
        access: &Access,
    ) -> Result<Vec<HostEntry>, RegistryError> {
        match self {
            RegistryUrl::Memory => Ok(memory::hosts(network)),
            #[cfg(feature = "local")]
            RegistryUrl::Local(dir) => local::hosts(dir, network, access),
            #[cfg(feature = "redis")]
            RegistryUrl::Redis(server) => server.hosts(network, access).await,
        }
    }
}

#[cfg(all(test, not(any(feature = "local", feature = "redis"))))]
mod bare_tests {
    use super::*;

    #[test]
    fn a_url_of_a_feature_that_is_not_built_in_names_it() {
        for (url, feature) in [
            ("local:", "`local`"),
            ("redis://h", "`redis`"),
            ("rediss+cluster://h", "`redis`"),
        ] {
            let err = RegistryUrl::parse(&Setting::new("registry", url.to_owned())).unwrap_err();
            let text = err.to_string();
            assert!(text.starts_with(&format!("registry {url:?}: ")), "{text}");
            assert!(
                text.ends_with(&format!("without virtnet's feature {feature}")),
                "{text}"
            );
        }
    }
}

#[cfg(all(test, feature = "local", feature = "redis"))]
mod tests {
    use super::*;

    #[test]
    fn bad_urls_are_named_without_their_password() {
        for (url, shown, problem) in [
            ("", "", "unknown scheme"),
            ("10.0.0.9", "10.0.0.9", "unknown scheme"),
            ("memory:x", "memory:x", "nothing after memory:"),
            ("local:x", "local:x", "one slash"),
            ("local://x", "local://x", "one slash"),
            ("ftp://me:hunter2@h", "ftp://***@h", "unknown scheme"),
            ("redis://me:hunter2@", "redis://***@", "expected a host"),
            ("redis://h:x", "redis://h:x", "expected a port"),
            ("redis://u:hun#ter2@h", "redis://***@h", "%23"),
            ("redis://:hun/ter2@h:1/0", "redis://***@h:1/0", "%2F"),
            (
                "rediss+cluster://u:hun?ter2@h",
                "rediss+cluster://***@h",
                "%3F",
            ),
            ("redis:h", "redis:h", "expected redis://"),
            ("redis+unix://h", "redis+unix://h", "unknown scheme"),
            (
                "redis+cluster://u:hunter2@,h",
                "redis+cluster://***@,h",
                "expected a host",
            ),
        ] {
            let err = RegistryUrl::parse(&Setting::new("registry", url.to_owned())).unwrap_err();
            let text = err.to_string();
            assert!(text.starts_with(&format!("registry {shown:?}: ")), "{text}");
            assert!(text.contains(problem), "{text}");
        }
    }
}
