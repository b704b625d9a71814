//! Listing: the hosts of a network, read from its index.
//!
//! Owns the public view of leases: [`HostLease`]. Never writes, so it needs no right to, and
//! never reads other networks' keys.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::{FromRedisValue, Pipeline, Value};
use tokio::time::Instant;
use virtnet_core::{Cause, Failure, check_hostname};

use crate::registry::inner::RegistryInner;
use crate::schema::entry::Entry;
use crate::text::clipped_bytes;

/// How many names are read at once.
const PAGE: usize = 1_000;
/// How much of an unreadable value is shown, in characters.
const SHOWN: usize = 80;

/// One host of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostLease {
    /// Where the host is reached, as it was announced.
    pub hostdata: String,
    /// The owner: 32 hexadecimal digits, different for each registry value, that is, for each
    /// process's part of the network.
    pub owner: String,
    /// How long the name is held if it is not renewed; `None` if its key never expires, which
    /// no registry does.
    pub left: Option<Duration>,
}

/// The hosts of a network, at about the same moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing {
    /// The hosts by name, whichever process announced them.
    pub hosts: BTreeMap<String, HostLease>,
    /// Names whose values no registry wrote, with the start of the value. They can be neither
    /// dialed nor announced while that value exists.
    pub unreadable: BTreeMap<String, String>,
}

impl RegistryInner {
    pub(crate) async fn listing(&self, until: Instant) -> Result<Listing, Failure> {
        let mut listing = Listing::default();
        let mut cursor = "0".to_owned();
        loop {
            let names;
            (cursor, names) = self.page(until, &cursor).await?;
            if !names.is_empty() {
                self.read(until, &names, &mut listing).await?;
            }
            // With this cursor, the server has sent everything.
            if cursor == "0" {
                return Ok(listing);
            }
        }
    }

    /// One step through the network's index. It may return a name twice.
    async fn page(&self, until: Instant, cursor: &str) -> Result<(String, Vec<String>), Failure> {
        let mut scan = redis::cmd("ZSCAN");
        scan.arg(self.keys.index()).arg(cursor);
        scan.arg("COUNT").arg(PAGE);
        let answer = self
            .connection
            .ask(until, scan)
            .await
            .map_err(|un| un.failure);
        let answer = answer.map_err(|failure| match failure.cause() {
            Cause::Protocol => {
                Failure::wrap(Cause::Protocol, format!("{}: {failure}", self.no_index()))
            }
            _ => failure,
        })?;
        let (cursor, pairs): (String, Vec<Vec<u8>>) = self.typed(answer)?;
        // Each member is followed by its score. A member that is no valid name was not
        // written by a registry, and has no key to read.
        let names = pairs.iter().step_by(2);
        let names = names.filter_map(|member| self.keys.hostname(member));
        let names = names.filter(|name| check_hostname(name).is_ok());
        Ok((cursor, names.collect()))
    }

    async fn read(
        &self,
        until: Instant,
        names: &[String],
        listing: &mut Listing,
    ) -> Result<(), Failure> {
        let keys: Vec<_> = names.iter().map(|name| self.keys.host(name)).collect();
        let mut batch = Pipeline::new();
        batch.cmd("MGET").arg(&keys);
        for key in &keys {
            batch.cmd("PTTL").arg(key);
        }
        let answers = self.connection.run(until, &batch).await;
        let mut answers = answers.map_err(|un| un.failure)?.into_iter();
        let mut next = || self.connection.checked(answers.next().unwrap_or_default());
        let values: Vec<Option<Vec<u8>>> = self.typed(next()?)?;
        for (hostname, value) in names.iter().zip(values) {
            let millis: i64 = self.typed(next()?)?;
            // The index may still contain a name whose lease has ended.
            if millis != GONE {
                listing.add(hostname, value.as_deref(), millis);
            }
        }
        Ok(())
    }

    pub(crate) fn typed<T: FromRedisValue>(&self, answer: Value) -> Result<T, Failure> {
        redis::from_redis_value(answer).map_err(|err| self.connection.errors().failure(&err.into()))
    }
}

/// The reply of `PTTL` for a key that does not exist.
const GONE: i64 = -2;

impl Listing {
    fn add(&mut self, hostname: &str, value: Option<&[u8]>, millis: i64) {
        let hostname = hostname.to_owned();
        let Some(value) = value else {
            let what = "no string".to_owned();
            self.unreadable.insert(hostname, what);
            return;
        };
        match Entry::parse(value) {
            Some(entry) => {
                let lease = HostLease {
                    hostdata: entry.hostdata.to_owned(),
                    owner: entry.owner.to_owned(),
                    left: u64::try_from(millis).ok().map(Duration::from_millis),
                };
                self.hosts.insert(hostname, lease);
            }
            None => {
                let value = clipped_bytes(value, SHOWN);
                self.unreadable.insert(hostname, value);
            }
        }
    }
}
