//! Inner: what a registry value and its background task share.
//!
//! Owns how names are announced, looked up, renewed and freed. Never waits past
//! the moment that its caller gives, and does not know whether the registry was
//! closed: whoever calls does.

use std::fmt;
use std::sync::Arc;

use redis::{Pipeline, Value};
use tokio::time::Instant;
use virtnet_core::{Cause, Failure, check_hostname};

use crate::clock::Moment;
use crate::entry::{Entry, check_hostdata};
use crate::keys::Keys;
use crate::link::Link;
use crate::memory;
use crate::names::{Announcement, Lease, Names};
use crate::script::{Holding, Owner};
use crate::terms::Terms;

/// Names that one script deals with: bounds how long the server is kept from
/// serving others, to about a millisecond.
const PER_SCRIPT: usize = 200;
/// Names that are sent at once: bounds the memory of one batch.
const PER_BATCH: usize = 50 * PER_SCRIPT;

pub(crate) struct Inner {
    pub(crate) keys: Keys,
    pub(crate) owner: Owner,
    pub(crate) terms: Terms,
    pub(crate) names: Names,
    pub(crate) link: Link,
}

impl Inner {
    /// Finds out whether this is a Redis, and whether we may do there what
    /// announcing, renewing and freeing will.
    pub(crate) async fn probe(&self, until: Instant) -> Result<(), Failure> {
        let probe = self.owner.probe(&self.keys);
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
        check_hostname(hostname)?;
        check_hostdata(hostname, hostdata)?;
        let Some(claim) = self.names.claim(hostname) else {
            return Err(Cause::HostAlreadyRegistered.into());
        };
        let holding = Holding {
            hostname,
            hostdata,
            number: claim.number(),
        };
        let held = self.held_from_now();
        let hold = self.hold(&[holding]);
        let answer = match self.link.ask(until, hold).await {
            Ok(answer) => answer,
            Err(unanswered) => {
                if !unanswered.maybe_done {
                    claim.forget();
                }
                return Err(unanswered.failure);
            }
        };
        match self.verdicts(answer, 1)?[..] {
            [Verdict::Ours] => {
                claim.keep(hostdata, held);
                tracing::debug!(hostname, hostdata, "announced");
                memory::changed_here(&[self.keys.host(hostname)]);
                Ok(())
            }
            _ => {
                claim.forget();
                Err(Cause::HostAlreadyRegistered.into())
            }
        }
    }

    pub(crate) async fn query(&self, until: Instant, hostname: &str) -> Result<String, Failure> {
        check_hostname(hostname)?;
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
        check_hostname(hostname)?;
        let value = self.link.read_anew(until, &self.keys.host(hostname)).await;
        let now = self.answer(hostname, value.map_err(|un| un.failure)?)?;
        Ok((now != answer).then_some(now))
    }

    /// What a host's key holds, as the answer to a query.
    fn answer(&self, hostname: &str, value: Value) -> Result<String, Failure> {
        match value {
            Value::Nil => Err(Cause::NoSuchHost.into()),
            Value::BulkString(value) => {
                Entry::of(hostname, &value).map(|entry| entry.hostdata.to_owned())
            }
            other => Err(self.link.faults().strange(&other)),
        }
    }

    /// Renews all leases: puts off their ends, announces again what the server
    /// lost, and finds out what another holds. Each batch of names has a
    /// deadline of its own.
    pub(crate) async fn renew(&self) -> Result<(), Failure> {
        let mut result = Ok(());
        for batch in self.names.leases().chunks(PER_BATCH) {
            let held = self.held_from_now();
            let mut pipeline = Pipeline::new();
            for leases in batch.chunks(PER_SCRIPT) {
                let names: Vec<_> = leases.iter().map(Holding::from).collect();
                pipeline.add_command(self.hold(&names));
            }
            let answers = self.link.run(self.link.until(), &pipeline).await;
            let answers = answers.map_err(|unanswered| unanswered.failure)?;
            for (leases, answer) in batch.chunks(PER_SCRIPT).zip(answers) {
                let renewed = self.link.checked(answer);
                let renewed = renewed.and_then(|answer| self.renewed(leases, held, answer));
                result = result.and(renewed);
            }
        }
        result
    }

    fn renewed(&self, leases: &[Lease], held: Moment, answer: Value) -> Result<(), Failure> {
        let verdicts = self.verdicts(answer, leases.len())?;
        let ours = leases.iter().zip(&verdicts);
        let ours = ours.filter(|(_, verdict)| matches!(verdict, Verdict::Ours));
        self.names.renewed(ours.map(|(lease, _)| lease), held);
        tracing::trace!(names = leases.len(), "renewed");
        for (lease, verdict) in leases.iter().zip(&verdicts) {
            if let Verdict::Others(value) = verdict {
                tracing::debug!(hostname = &*lease.hostname, "lost");
                self.names.lose(lease, taken(&lease.hostname, value));
            }
        }
        Ok(())
    }

    fn hold(&self, names: &[Holding<'_>]) -> redis::Cmd {
        self.owner
            .hold(&self.keys, names, self.terms.lease_millis())
    }

    /// Until when we hold what we ask for now. From before it is sent, so the
    /// server's lease ends later, however long it takes.
    fn held_from_now(&self) -> Moment {
        Moment::now().plus(self.terms.held)
    }

    /// What the server says of each of `count` names that were to be held.
    fn verdicts(&self, answer: Value, count: usize) -> Result<Vec<Verdict>, Failure> {
        let verdict = |value: &Value| match value {
            Value::Int(1) => Some(Verdict::Ours),
            Value::BulkString(value) => Some(Verdict::Others(value.clone())),
            _ => None,
        };
        let verdicts = match &answer {
            Value::Array(values) if values.len() == count => values.iter().map(verdict).collect(),
            _ => None,
        };
        verdicts.ok_or_else(|| self.link.faults().strange(&answer))
    }

    /// Frees announcements of ours; those that another took meanwhile, or that
    /// are gone, count as freed.
    pub(crate) async fn free(
        &self,
        until: Instant,
        announcements: &[Announcement],
    ) -> Result<(), NotFreed> {
        let mut not_freed: Option<NotFreed> = None;
        for batch in announcements.chunks(PER_BATCH) {
            let mut pipeline = Pipeline::new();
            for names in batch.chunks(PER_SCRIPT) {
                let names: Vec<_> = names
                    .iter()
                    .map(|(name, number)| (&**name, *number))
                    .collect();
                pipeline.add_command(self.owner.free(&self.keys, &names));
            }
            let answers = self.link.run(until, &pipeline).await;
            for (at, names) in batch.chunks(PER_SCRIPT).enumerate() {
                let answer = match &answers {
                    Ok(answers) => self.link.checked(answers[at].clone()).map(|_| ()),
                    Err(unanswered) => Err(unanswered.failure.clone()),
                };
                match answer {
                    Ok(()) => self.freed(names),
                    Err(why) => not_freed
                        .get_or_insert_with(|| NotFreed::new(why))
                        .hostnames
                        .extend(names.iter().map(|(name, _)| Arc::clone(name))),
                }
            }
        }
        not_freed.map_or(Ok(()), Err)
    }

    fn freed(&self, names: &[Announcement]) {
        // First, so that nobody sees a name freed and finds it.
        let keys: Vec<_> = names.iter().map(|(name, _)| self.keys.host(name)).collect();
        memory::changed_here(&keys);
        names.iter().for_each(|name| self.names.freed(name));
        tracing::debug!(names = names.len(), "freed");
    }
}

impl<'a> From<&'a Lease> for Holding<'a> {
    fn from(lease: &'a Lease) -> Holding<'a> {
        Holding {
            hostname: &lease.hostname,
            hostdata: &lease.hostdata,
            number: lease.number,
        }
    }
}

/// Whose a name is, by the server's word.
enum Verdict {
    Ours,
    /// Another's, with the value that says so.
    Others(Vec<u8>),
}

/// Why a name is lost.
fn taken(hostname: &str, value: &[u8]) -> Failure {
    let text = match Entry::of(hostname, value) {
        Ok(entry) => {
            let place = entry.hostdata;
            format!("the name was lost: another {hostname:?} is registered, at {place:?}")
        }
        Err(strange) => format!("the name was lost: {strange}"),
    };
    Failure::wrap(Cause::HostAlreadyRegistered, text)
}

/// Names that are still taken, and the first reason why.
#[derive(Debug)]
pub(crate) struct NotFreed {
    pub(crate) why: Failure,
    hostnames: Vec<Arc<str>>,
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
