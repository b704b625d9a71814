//! `redis://` and `rediss://`: networks whose registry is a Redis server.
//!
//! Owns what is read out of such a URL here: the server's host and port, to see
//! by which way it is reached. Never checks the rest, which the registry does
//! when it is opened, and never shows the URL.

use std::fmt;
use std::sync::Arc;

use virtnet_core::{Registry, RegistryError};

use super::Opened;
use crate::redis::{RedisOptions, RedisRegistry};

/// Where Redis listens unless it is told otherwise.
const DEFAULT_PORT: u16 = 6379;

/// A Redis server, by its URL.
pub(crate) struct Server {
    url: String,
    host: String,
    port: u16,
}

impl Server {
    /// Reads host and port; the error says what is wrong, without the input.
    pub(super) fn parse(url: &str) -> Result<Server, &'static str> {
        const FORM: &str = "a URL has the form redis://user:password@host:port/db";
        let (_, rest) = url.split_once("://").ok_or(FORM)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let place = authority
            .rsplit_once('@')
            .map_or(authority, |(_, place)| place);
        let (host, port) = match place.strip_prefix('[') {
            Some(v6) => v6
                .split_once(']')
                .ok_or("the brackets of its host are not closed")?,
            None => place.split_at(place.find(':').unwrap_or(place.len())),
        };
        if host.is_empty() {
            return Err("it has no host");
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => DEFAULT_PORT,
            Some(port) => port
                .parse()
                .map_err(|_| "its port is no number of 16 bits")?,
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

    pub(super) async fn open(&self, network: &str) -> Result<Opened, RegistryError> {
        Ok(Opened {
            registry: Arc::new(self.connect(network).await?),
            secret: None,
        })
    }

    pub(super) async fn hosts(
        &self,
        network: &str,
    ) -> Result<Vec<(String, String)>, RegistryError> {
        let registry = self.connect(network).await?;
        let hosts = registry.hosts().await?;
        registry.close().await?;
        Ok(hosts.into_iter().collect())
    }

    async fn connect(&self, network: &str) -> Result<RedisRegistry, RegistryError> {
        RedisRegistry::connect(&self.url, network, RedisOptions::default()).await
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
        ] {
            let server = Server::parse(url).unwrap();
            assert_eq!(server.host_and_port(), (host, port));
            assert!(!format!("{server:?}").contains("pw"), "{server:?}");
        }
    }
}
