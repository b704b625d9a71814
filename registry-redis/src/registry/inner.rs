//! RegistryInner: shared by a registry value and its background task.
//!
//! Owns how names are announced, looked up and renewed. Never waits past the deadline that
//! its caller gives, and does not know whether the registry was closed: its callers do.

use std::sync::Arc;

use redis::{Pipeline, Value};
use tokio::time::Instant;
use virtnet_core::{Cause, Failure, check_hostname};

use crate::cache;
use crate::connection::Connection;
use crate::connection::cluster::SlotMigrating;
use crate::hostdata::CurrentHostdata;
use crate::lease::clock::Moment;
use crate::lease::script::{LeaseRequest, Owner};
use crate::lease::table::{Lease, LeaseTable};
use crate::lease::timing::LeaseTiming;
use crate::schema::entry::{Entry, check_hostdata};
use crate::schema::keys::Keys;

/// Names per script. Bounds how long one script blocks the server, to about a millisecond.
pub(crate) const PER_SCRIPT: usize = 200;
/// Names that are sent at once. Bounds the memory of one batch.
pub(crate) const PER_BATCH: usize = 50 * PER_SCRIPT;

pub(crate) struct RegistryInner {
    pub(crate) keys: Keys,
    pub(crate) owner: Owner,
    pub(crate) timing: LeaseTiming,
    pub(crate) leases: LeaseTable,
    pub(crate) hostdata: CurrentHostdata,
    pub(crate) connection: Connection,
}

impl RegistryInner {
    /// Checks that the server is a Redis, and that we have the rights to announce, renew, free
    /// and look up. Returns a warning for users, if there is one.
    pub(crate) async fn probe(&self, until: Instant) -> Result<Option<String>, Failure> {
        let probe = self.owner.probe(&self.keys);
        let probed = self
            .connection
            .ask(until, probe)
            .await
            .map_err(|un| un.failure);
        let warning = match probed {
            Ok(Value::Int(1)) => None,
            Ok(Value::Int(2)) => Some(self.no_index()),
            Ok(other) => return Err(self.connection.errors().strange(&other)),
            // Existing names can be looked up and renewed; new ones have to wait.
            Err(failure) => match SlotMigrating::of(&failure) {
                Some(migrating) => Some(migrating.to_string()),
                None => return Err(failure),
            },
        };
        let looked_up = self.connection.read_anew(until, self.keys.probe()).await;
        looked_up.map(|_| warning).map_err(|un| un.failure)
    }

    /// The warning if the index's key holds something else.
    pub(crate) fn no_index(&self) -> String {
        format!(
            "expected a sorted set under the key {:?}, got another type: the network's hosts \
             cannot be listed; delete the key, and the next renewals recreate it",
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
        let now = self.hostdata.current(&Arc::from(hostdata));
        check_hostdata(hostname, &now)?;
        let Some(pending) = self.leases.begin(hostname) else {
            return Err(Cause::HostAlreadyRegistered.into());
        };
        let holding = LeaseRequest {
            hostname,
            hostdata: &now,
            number: pending.number(),
            confirmed_at: 0,
        };
        let held = self.held_from_now();
        let hold = self.hold(&[holding]);
        let answer = match self.connection.ask(until, hold).await {
            Ok(answer) => answer,
            Err(no_reply) => {
                if !no_reply.maybe_applied {
                    pending.discard();
                }
                return Err(no_reply.failure);
            }
        };
        match self.replies(answer, 1)?[..] {
            [LeaseReply::Held(confirmed_at)] => {
                pending.confirm(hostdata, held, confirmed_at);
                tracing::debug!(hostname, hostdata = &*now, "announced");
                cache::changed_here(&[self.keys.host(hostname)]);
                Ok(())
            }
            [LeaseReply::HeldByOther(ref value)] => {
                pending.discard();
                Err(self.taken(hostname, value))
            }
            _ => {
                pending.discard();
                Err(Cause::HostAlreadyRegistered.into())
            }
        }
    }

    /// Why a name cannot be announced: another registry holds it, or its value was not written
    /// by a registry.
    fn taken(&self, hostname: &str, value: &[u8]) -> Failure {
        let cause = Cause::HostAlreadyRegistered;
        if value.is_empty() {
            let key = self.keys.host(hostname);
            return Failure::because(
                cause,
                format!("expected a string under the key {key:?}, got another type"),
            );
        }
        match Entry::of(hostname, value) {
            Ok(_) => cause.into(),
            Err(strange) => Failure::because(cause, strange.to_string()),
        }
    }

    pub(crate) async fn query(&self, until: Instant, hostname: &str) -> Result<String, Failure> {
        check_hostname(hostname)?;
        let value = self.connection.read(until, &self.keys.host(hostname)).await;
        self.answer(hostname, value.map_err(|un| un.failure)?)
    }

    /// Looks up without the cache. Returns the hostdata if it differs from `answer`.
    pub(crate) async fn requery(
        &self,
        until: Instant,
        hostname: &str,
        answer: &str,
    ) -> Result<Option<String>, Failure> {
        check_hostname(hostname)?;
        let value = self
            .connection
            .read_anew(until, &self.keys.host(hostname))
            .await;
        let now = self.answer(hostname, value.map_err(|un| un.failure)?)?;
        Ok((now != answer).then_some(now))
    }

    /// The hostdata in a host's value.
    fn answer(&self, hostname: &str, value: Value) -> Result<String, Failure> {
        match value {
            Value::Nil => Err(Cause::NoSuchHost.into()),
            Value::BulkString(value) => {
                Entry::of(hostname, &value).map(|entry| entry.hostdata.to_owned())
            }
            // Substitutes for Redis may reply in this form.
            Value::SimpleString(value) => {
                Entry::of(hostname, value.as_bytes()).map(|entry| entry.hostdata.to_owned())
            }
            other => Err(self.connection.errors().strange(&other)),
        }
    }

    /// Renews all leases: extends them, announces names again that the server lost, and finds
    /// those that another registry holds. Each batch of names has its own deadline.
    pub(crate) async fn renew(&self) -> Result<(), Failure> {
        let mut result = Ok(());
        for batch in self.leases.to_renew().chunks(PER_BATCH) {
            let held = self.held_from_now();
            let mut pipeline = Pipeline::new();
            for leases in batch.chunks(PER_SCRIPT) {
                let now: Vec<_> = leases.iter().map(|lease| self.current(lease)).collect();
                let names = leases
                    .iter()
                    .zip(&now)
                    .map(|(lease, hostdata)| LeaseRequest {
                        hostname: &lease.hostname,
                        hostdata,
                        number: lease.number,
                        confirmed_at: lease.confirmed_at,
                    });
                let names: Vec<_> = names.collect();
                pipeline.add_command(self.hold(&names));
            }
            let answers = self
                .connection
                .run(self.connection.until(), &pipeline)
                .await;
            let answers = answers.map_err(|no_reply| no_reply.failure)?;
            for (leases, answer) in batch.chunks(PER_SCRIPT).zip(answers) {
                let renewed = self.connection.checked(answer);
                let renewed = renewed.and_then(|answer| self.renewed(leases, held, answer));
                result = result.and(renewed);
            }
        }
        result
    }

    /// What to announce for a host now; what it was announced with, where the source gives
    /// what no registry could read.
    fn current(&self, lease: &Lease) -> Arc<str> {
        let current = self.hostdata.current(&lease.hostdata);
        match check_hostdata(&lease.hostname, &current) {
            Ok(()) => current,
            Err(_) => Arc::clone(&lease.hostdata),
        }
    }

    fn renewed(&self, leases: &[Lease], held: Moment, answer: Value) -> Result<(), Failure> {
        let replies = self.replies(answer, leases.len())?;
        let ours = leases.iter().zip(&replies);
        let ours = ours.filter_map(|(lease, reply)| match reply {
            LeaseReply::Held(confirmed_at) => Some((lease, *confirmed_at)),
            _ => None,
        });
        self.leases.renewed(ours, held);
        tracing::trace!(names = leases.len(), "renewed");
        for (lease, reply) in leases.iter().zip(&replies) {
            let reason = match reply {
                LeaseReply::Held(_) => continue,
                LeaseReply::HeldByOther(value) => taken(&lease.hostname, value),
                LeaseReply::TakenMeanwhile => lapsed(&lease.hostname),
            };
            tracing::debug!(hostname = &*lease.hostname, "lost");
            self.leases.lose(lease, reason);
        }
        Ok(())
    }

    fn hold(&self, names: &[LeaseRequest<'_>]) -> redis::Cmd {
        self.owner
            .hold(&self.keys, names, self.timing.lease_millis())
    }

    /// Until when we hold the names that are requested now. Counted from before the request is
    /// sent, so the server's lease ends later, however long the request takes.
    fn held_from_now(&self) -> Moment {
        Moment::now().plus(self.timing.held)
    }

    /// The server's reply for each of `count` names.
    fn replies(&self, answer: Value, count: usize) -> Result<Vec<LeaseReply>, Failure> {
        let reply = |value: &Value| match value {
            Value::Int(0) => Some(LeaseReply::TakenMeanwhile),
            Value::Int(now) => u64::try_from(*now).ok().map(LeaseReply::Held),
            Value::BulkString(value) => Some(LeaseReply::HeldByOther(value.clone())),
            Value::SimpleString(value) => Some(LeaseReply::HeldByOther(value.clone().into_bytes())),
            _ => None,
        };
        let replies = match &answer {
            Value::Array(values) if values.len() == count => values.iter().map(reply).collect(),
            _ => None,
        };
        replies.ok_or_else(|| self.connection.errors().strange(&answer))
    }
}

/// The server's reply for one name.
enum LeaseReply {
    /// It is ours; this is the time by the server's clock.
    Held(u64),
    /// Another registry holds it; this is its value.
    HeldByOther(Vec<u8>),
    /// Nobody holds it, but another registry held it since it was last ours.
    TakenMeanwhile,
}

/// Why a name is lost that is free again.
fn lapsed(hostname: &str) -> Failure {
    let text = format!(
        "the name was lost: another {hostname:?} was registered after this one's lease had ended"
    );
    Failure::wrap(Cause::HostAlreadyRegistered, text)
}

/// Why a name is lost that another registry holds.
fn taken(hostname: &str, value: &[u8]) -> Failure {
    let text = match Entry::of(hostname, value) {
        Ok(entry) => {
            let hostdata = entry.hostdata;
            format!("the name was lost: another {hostname:?} is registered, at {hostdata:?}")
        }
        Err(strange) => format!("the name was lost: {strange}"),
    };
    Failure::wrap(Cause::HostAlreadyRegistered, text)
}
