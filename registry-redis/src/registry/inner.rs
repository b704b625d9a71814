//! RegistryInner: what a registry value and its background task share.
//!
//! Owns how names are announced, looked up, renewed and freed. Never waits past
//! the moment that its caller gives, and does not know whether the registry was
//! closed: whoever calls does.

use std::sync::Arc;

use redis::{Pipeline, Value};
use tokio::time::Instant;
use virtnet_core::{Cause, Failure, check_hostname};

use crate::cache;
use crate::connection::Connection;
use crate::connection::cluster::OnItsWay;
use crate::lease::clock::Moment;
use crate::lease::script::{Holding, Owner};
use crate::lease::table::{Lease, LeaseTable};
use crate::lease::timing::LeaseTiming;
use crate::lease::whereabouts::Where;
use crate::schema::entry::{Entry, check_hostdata};
use crate::schema::keys::Keys;

/// LeaseTable that one script deals with: bounds how long the server is kept from
/// serving others, to about a millisecond.
pub(crate) const PER_SCRIPT: usize = 200;
/// LeaseTable that are sent at once: bounds the memory of one batch.
pub(crate) const PER_BATCH: usize = 50 * PER_SCRIPT;

pub(crate) struct RegistryInner {
    pub(crate) keys: Keys,
    pub(crate) owner: Owner,
    pub(crate) terms: LeaseTiming,
    pub(crate) names: LeaseTable,
    pub(crate) place: Where,
    pub(crate) link: Connection,
}

impl RegistryInner {
    /// Finds out whether this is a Redis, and whether we may do there what
    /// announcing, renewing and freeing will. Returns what people should know.
    pub(crate) async fn probe(&self, until: Instant) -> Result<Option<String>, Failure> {
        let probe = self.owner.probe(&self.keys);
        let probed = self.link.ask(until, probe).await.map_err(|un| un.failure);
        let warning = match probed {
            Ok(Value::Int(1)) => None,
            Ok(Value::Int(2)) => Some(self.no_index()),
            Ok(other) => return Err(self.link.faults().strange(&other)),
            // What is there can be looked up and renewed, new names have to wait.
            Err(failure) => match OnItsWay::of(&failure) {
                Some(on_its_way) => Some(on_its_way.to_string()),
                None => return Err(failure),
            },
        };
        let looked_up = self.link.read_anew(until, self.keys.probe()).await;
        looked_up.map(|_| warning).map_err(|un| un.failure)
    }

    /// What is said of a network whose index is something else.
    pub(crate) fn no_index(&self) -> String {
        format!(
            "the key {:?} is no sorted set, so the network's hosts cannot be listed: \
             delete it, and the next renewals make it anew",
            self.keys.index()
        )
    }

    pub(crate) async fn announce(
        &self,
        until: Instant,
        hostname: &str,
        hostdata: &str,
    ) -> Result<(), Failure> {
        check_hostname(hostname)?;
        let now = self.place.now(&Arc::from(hostdata));
        check_hostdata(hostname, &now)?;
        let Some(claim) = self.names.claim(hostname) else {
            return Err(Cause::HostAlreadyRegistered.into());
        };
        let holding = Holding {
            hostname,
            hostdata: &now,
            number: claim.number(),
            seen: 0,
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
            [Verdict::Ours(seen)] => {
                claim.keep(hostdata, held, seen);
                tracing::debug!(hostname, hostdata = &*now, "announced");
                cache::changed_here(&[self.keys.host(hostname)]);
                Ok(())
            }
            [Verdict::Others(ref value)] => {
                claim.forget();
                Err(self.taken(hostname, value))
            }
            _ => {
                claim.forget();
                Err(Cause::HostAlreadyRegistered.into())
            }
        }
    }

    /// Why a name cannot be announced: another has it, or what is in its place was
    /// written by no registry.
    fn taken(&self, hostname: &str, value: &[u8]) -> Failure {
        let cause = Cause::HostAlreadyRegistered;
        if value.is_empty() {
            let key = self.keys.host(hostname);
            return Failure::because(cause, format!("the key {key:?} is no string"));
        }
        match Entry::of(hostname, value) {
            Ok(_) => cause.into(),
            Err(strange) => Failure::because(cause, strange.to_string()),
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
            // What stands in for a Redis may answer in this form.
            Value::SimpleString(value) => {
                Entry::of(hostname, value.as_bytes()).map(|entry| entry.hostdata.to_owned())
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
                let now = leases.iter().map(|lease| self.place.now(&lease.hostdata));
                let now: Vec<_> = now.collect();
                let names = leases.iter().zip(&now).map(|(lease, hostdata)| Holding {
                    hostname: &lease.hostname,
                    hostdata,
                    number: lease.number,
                    seen: lease.seen,
                });
                let names: Vec<_> = names.collect();
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
        let ours = ours.filter_map(|(lease, verdict)| match verdict {
            Verdict::Ours(seen) => Some((lease, *seen)),
            _ => None,
        });
        self.names.renewed(ours, held);
        tracing::trace!(names = leases.len(), "renewed");
        for (lease, verdict) in leases.iter().zip(&verdicts) {
            let reason = match verdict {
                Verdict::Ours(_) => continue,
                Verdict::Others(value) => taken(&lease.hostname, value),
                Verdict::Lapsed => lapsed(&lease.hostname),
            };
            tracing::debug!(hostname = &*lease.hostname, "lost");
            self.names.lose(lease, reason);
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
            Value::Int(0) => Some(Verdict::Lapsed),
            Value::Int(now) => u64::try_from(*now).ok().map(Verdict::Ours),
            Value::BulkString(value) => Some(Verdict::Others(value.clone())),
            Value::SimpleString(value) => Some(Verdict::Others(value.clone().into_bytes())),
            _ => None,
        };
        let verdicts = match &answer {
            Value::Array(values) if values.len() == count => values.iter().map(verdict).collect(),
            _ => None,
        };
        verdicts.ok_or_else(|| self.link.faults().strange(&answer))
    }
}

/// Whose a name is, by the server's word.
enum Verdict {
    /// Ours, at this time by the server's clock.
    Ours(u64),
    /// Another's, with the value that says so.
    Others(Vec<u8>),
    /// Nobody's, but another had it since it was last ours.
    Lapsed,
}

/// Why a name is lost that nobody has.
fn lapsed(hostname: &str) -> Failure {
    let text = format!(
        "the name was lost: another {hostname:?} was registered while this one's lease was over"
    );
    Failure::wrap(Cause::HostAlreadyRegistered, text)
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
