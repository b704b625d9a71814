//! Inner: what a registry value and its background task share.
//!
//! Owns how names are announced, looked up, listed and freed. Never waits past
//! the moment that its caller gives, and does not know whether the registry was
//! closed: whoever calls does.

use std::collections::BTreeMap;
use std::fmt;

use redis::{Pipeline, Value};
use tokio::time::Instant;
use virtnet_core::{Cause, Failure};

use crate::entry::{self, Owner};
use crate::fault::clipped;
use crate::keys::{self, Keys};
use crate::link::Link;
use crate::names::{Announcement, Names};

/// Commands that are sent at once: bounds the memory of one batch.
const BATCH: usize = 1_000;
/// How much of a bad value an error shows, in characters.
const SHOWN: usize = 80;

pub(crate) struct Inner {
    pub(crate) keys: Keys,
    pub(crate) owner: Owner,
    pub(crate) names: Names,
    pub(crate) link: Link,
}

impl Inner {
    /// Finds out whether this is a Redis, and whether we may do there what
    /// announcing and freeing will.
    pub(crate) async fn probe(&self, until: Instant) -> Result<(), Failure> {
        let probe = self.owner.probe(self.keys.probe());
        match self.link.ask(until, probe).await.map_err(|un| un.failure)? {
            Value::Int(1) => {}
            other => return Err(self.link.faults().strange(&other)),
        }
        let looked_up = self.link.read_anew(until, self.keys.probe()).await;
        looked_up.map(drop).map_err(|un| un.failure)
    }

    pub(crate) async fn announce(
        &self,
        until: Instant,
        hostname: &str,
        hostdata: &str,
    ) -> Result<(), Failure> {
        keys::check("hostname", hostname)?;
        let Some(claim) = self.names.claim(hostname) else {
            return Err(Cause::HostAlreadyRegistered.into());
        };
        let key = self.keys.host(hostname);
        let announce = self.owner.announce(&key, hostdata, claim.number());
        match self.link.ask(until, announce).await {
            Ok(Value::Int(1)) => {
                claim.keep();
                Ok(())
            }
            Ok(Value::Int(0)) => {
                claim.forget();
                Err(Cause::HostAlreadyRegistered.into())
            }
            Ok(other) => Err(self.link.faults().strange(&other)),
            Err(unanswered) => {
                if !unanswered.maybe_done {
                    claim.forget();
                }
                Err(unanswered.failure)
            }
        }
    }

    pub(crate) async fn query(&self, until: Instant, hostname: &str) -> Result<String, Failure> {
        keys::check("hostname", hostname)?;
        let value = self.link.read(until, &self.keys.host(hostname)).await;
        self.answer(hostname, value.map_err(|un| un.failure)?)
    }

    /// Looks up past any memory; what is announced now, if not `answer`.
    pub(crate) async fn requery(
        &self,
        until: Instant,
        hostname: &str,
        answer: &str,
    ) -> Result<Option<String>, Failure> {
        keys::check("hostname", hostname)?;
        let value = self.link.read_anew(until, &self.keys.host(hostname)).await;
        let now = self.answer(hostname, value.map_err(|un| un.failure)?)?;
        Ok((now != answer).then_some(now))
    }

    /// What a host's key holds, as the answer to a query.
    fn answer(&self, hostname: &str, value: Value) -> Result<String, Failure> {
        match value {
            Value::Nil => Err(Cause::NoSuchHost.into()),
            Value::BulkString(value) => hostdata(hostname, &value),
            other => Err(self.link.faults().strange(&other)),
        }
    }

    pub(crate) async fn hosts(&self, until: Instant) -> Result<BTreeMap<String, String>, Failure> {
        let mut hosts = BTreeMap::new();
        let mut cursor = "0".to_owned();
        loop {
            let keys;
            (cursor, keys) = self.scan(until, &cursor).await?;
            if !keys.is_empty() {
                self.read_hosts(until, &keys, &mut hosts).await?;
            }
            // The server says by this that it has shown everything.
            if cursor == "0" {
                return Ok(hosts);
            }
        }
    }

    /// One step through the network's keys; may show a key twice.
    async fn scan(&self, until: Instant, cursor: &str) -> Result<(String, Vec<Vec<u8>>), Failure> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(self.keys.pattern());
        scan.arg("COUNT").arg(BATCH);
        let answer = self.link.ask(until, scan).await.map_err(|un| un.failure)?;
        redis::from_redis_value(answer).map_err(|err| self.link.faults().failure(&err.into()))
    }

    async fn read_hosts(
        &self,
        until: Instant,
        keys: &[Vec<u8>],
        hosts: &mut BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let mut mget = redis::cmd("MGET");
        mget.arg(keys);
        let answer = self.link.ask(until, mget).await.map_err(|un| un.failure)?;
        let values: Vec<Option<Vec<u8>>> = redis::from_redis_value(answer)
            .map_err(|err| self.link.faults().failure(&err.into()))?;
        for (key, value) in keys.iter().zip(values) {
            // A host that was freed between the two commands is no host.
            let Some(value) = value else { continue };
            let Some(hostname) = self.keys.hostname(key) else {
                let key = clipped(&String::from_utf8_lossy(key), SHOWN);
                let text = format!("the key {key:?} is no host's, though it begins like one");
                return Err(Failure::wrap(Cause::Protocol, text));
            };
            let hostdata = hostdata(&hostname, &value)?;
            hosts.insert(hostname, hostdata);
        }
        Ok(())
    }

    /// Frees announcements of ours; those that another took meanwhile, or that
    /// are gone, count as freed.
    pub(crate) async fn free(
        &self,
        until: Instant,
        announcements: &[Announcement],
    ) -> Result<(), NotFreed> {
        let mut not_freed: Option<NotFreed> = None;
        for chunk in announcements.chunks(BATCH) {
            let mut batch = Pipeline::new();
            for (hostname, number) in chunk {
                batch.add_command(self.owner.free(&self.keys.host(hostname), *number));
            }
            let answers = self.link.run(until, &batch).await;
            for (at, announcement) in chunk.iter().enumerate() {
                let answer = match &answers {
                    Ok(answers) => self.link.checked(answers[at].clone()).map(|_| ()),
                    Err(unanswered) => Err(unanswered.failure.clone()),
                };
                match answer {
                    Ok(()) => self.names.freed(announcement),
                    Err(why) => not_freed
                        .get_or_insert_with(|| NotFreed::new(why))
                        .hostnames
                        .push(announcement.0.clone()),
                }
            }
        }
        not_freed.map_or(Ok(()), Err)
    }
}

/// Reads a host's value; an error names host and value.
fn hostdata(hostname: &str, value: &[u8]) -> Result<String, Failure> {
    entry::hostdata(value).map(str::to_owned).ok_or_else(|| {
        let value = clipped(&String::from_utf8_lossy(value), SHOWN);
        let text = format!("host {hostname:?} has a value that no registry wrote: {value:?}");
        Failure::wrap(Cause::Protocol, text)
    })
}

/// Names that are still taken, and the first reason why.
#[derive(Debug)]
pub(crate) struct NotFreed {
    pub(crate) why: Failure,
    hostnames: Vec<String>,
}

impl NotFreed {
    fn new(why: Failure) -> NotFreed {
        let hostnames = Vec::new();
        NotFreed { why, hostnames }
    }
}

impl fmt::Display for NotFreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMED: usize = 8;
        write!(f, "{}; not freed:", self.why)?;
        for hostname in self.hostnames.iter().take(NAMED) {
            write!(f, " {hostname:?}")?;
        }
        match self.hostnames.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl std::error::Error for NotFreed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.why.source()
    }
}
