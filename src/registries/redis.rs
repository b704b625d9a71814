//! `redis://` and related schemes: networks whose registry is a Redis server, or several
//! with sentinels or as a cluster.
//!
//! Owns the first server's host and port, parsed from the URL, to find the route to it. Never
//! checks the rest, which the registry does when it is opened, and never shows the URL.

use std::fmt;
use std::sync::Arc;

use virtnet_core::RegistryError;

use super::{Access, HostEntry, Opened};
use crate::redis::RedisRegistry;

/// The default ports of a Redis server, and of a sentinel.
const DEFAULT_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26_379;

/// A registry URL, and the host and port of its first server.
pub(crate) struct Server {
    url: String,
    host: String,
    port: u16,
}

impl Server {
    /// Parses host and port; the error does not contain the URL.
    pub(super) fn parse(url: &str) -> Result<Server, &'static str> {
        const FORM: &str = "expected redis://user:password@host:port/db";
        // An unescaped '/', '?' or '#' in the password ends the part with the host.
        const CUT: &str = "expected no '@' after the host; write the characters / ? # @ of a password \
                           as %2F %3F %23 %40";
        let (scheme, rest) = url.split_once("://").ok_or(FORM)?;
        let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if after.contains('@') {
            return Err(CUT);
        }
        let places = authority
            .rsplit_once('@')
            .map_or(authority, |(_, places)| places);
        let place = places.split(',').next().unwrap_or(places);
        let (host, port) = match place.strip_prefix('[') {
            Some(v6) => v6.split_once(']').ok_or("expected a ']' after the host")?,
            None => place.split_at(place.find(':').unwrap_or(place.len())),
        };
        if host.is_empty() {
            return Err("expected a host");
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() && scheme.ends_with("+sentinel") => SENTINEL_PORT,
            None if port.is_empty() => DEFAULT_PORT,
            Some(port) => port
                .parse()
                .map_err(|_| "expected a port from 0 to 65535")?,
            None => return Err(FORM),
        };
        Ok(Server {
            url: url.to_owned(),
            host: host.to_owned(),
            port,
        })
    }

    pub(super) fn host_and_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    pub(super) async fn open(
        &self,
        network: &str,
        access: &Access,
    ) -> Result<Opened, RegistryError> {
        Ok(Opened {
            registry: Arc::new(self.connect(network, access).await?),
            secret: None,
        })
    }

    pub(super) async fn hosts(
        &self,
        network: &str,
        access: &Access,
    ) -> Result<Vec<HostEntry>, RegistryError> {
        let listing = RedisRegistry::list(&self.url, network, access.redis()).await?;
        for (name, value) in listing.unreadable {
            let what = format!("the registry's entry of host {name:?} is damaged: {value:?}");
            access.found(&what);
        }
        let hosts = listing.hosts.into_iter();
        Ok(hosts
            .map(|(name, lease)| HostEntry {
                name,
                address: lease.hostdata,
                lease_left: lease.left,
                owner: Some(lease.owner),
                pid: None,
            })
            .collect())
    }

    async fn connect(
        &self,
        network: &str,
        access: &Access,
    ) -> Result<RedisRegistry, RegistryError> {
        let registry = RedisRegistry::connect(&self.url, network, access.redis()).await?;
        let warnings = registry.warnings().iter();
        warnings.for_each(|warning| access.warn(warning));
        Ok(registry)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({}:{})", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_of_a_url() {
        for (url, host, port) in [
            ("redis://10.0.0.9", "10.0.0.9", 6379),
            ("redis://10.0.0.9:7000/3", "10.0.0.9", 7000),
            (
                "rediss://u:pw@redis.example/0?protocol=resp3",
                "redis.example",
                6379,
            ),
            ("redis://[::1]:1", "::1", 1),
            ("redis://:pw@[fe80::1]", "fe80::1", 6379),
            ("redis+cluster://:pw@a,b:1", "a", 6379),
            ("rediss+cluster://[::1]:1,[::2]:2", "::1", 1),
            ("redis+sentinel://u:pw@[::1],b:1/main/0", "::1", 26_379),
            ("rediss+sentinel://a:7,b/main", "a", 7),
        ] {
            let server = Server::parse(url).unwrap();
            assert_eq!(server.host_and_port(), (host, port));
            assert!(!format!("{server:?}").contains("pw"), "{server:?}");
        }
    }
}
