//! Why a program was not killed, paused, resumed or restarted.
//!
//! Owns [`SupervisionError`] and its texts. Never decides that an operation fails.

use std::fmt;
use std::time::Duration;

use super::document::Action;
use crate::{AddrError, Cause, Failure, report};

/// An operation of a [`Supervision`](super::Supervision) or a [`Supervisor`](super::Supervisor) has
/// failed. Its text names the action, the host and the reason.
#[derive(Clone, thiserror::Error)]
#[error("{}: {reason}", what(.action, .host))]
pub struct SupervisionError {
    action: Option<Action>,
    host: String,
    reason: Reason,
}

/// Why an operation failed. Unless it says otherwise, nothing was done.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The name is not valid.
    #[error("{0}")]
    Name(AddrError),
    /// No host has this name.
    #[error("no such host")]
    NoSuchHost,
    /// The host has no supervisor.
    #[error("not supervised: expected a host of \"virtnet run\"")]
    NotSupervised,
    /// The supervisor has refused, such as to resume what was killed. Or it has failed, and its text says how far
    /// it came.
    #[error("{0}")]
    Refused(String),
    /// The supervisor did not begin in time, and will not.
    #[error("its supervisor did not answer within {0:?}; nothing was done")]
    NoAnswer(Duration),
    /// The supervisor has begun, but has not finished in time: it may still do it.
    #[error("its supervisor has begun, but has not finished within {0:?}")]
    Unfinished(Duration),
    /// The registry has no documents, so it cannot share a request.
    #[error("this registry cannot share requests")]
    NoDocuments,
    /// The registry reported an error, or the subnetwork is down. What was asked for may be done.
    #[error("{0}")]
    Registry(Failure),
}

fn what(action: &Option<Action>, host: &str) -> String {
    match action {
        Some(action) => format!("host {action} {host}"),
        None if host.is_empty() => "supervised hosts".to_owned(),
        None => format!("supervise {host}"),
    }
}

impl SupervisionError {
    pub(super) fn new(action: Option<Action>, host: &str, reason: Reason) -> SupervisionError {
        SupervisionError {
            action,
            host: crate::addr::name::clipped(host),
            reason,
        }
    }

    /// The reason, to match on.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The cause, to match on.
    pub fn cause(&self) -> Cause {
        match &self.reason {
            Reason::Name(_) => Cause::InvalidAddr,
            Reason::NoSuchHost => Cause::NoSuchHost,
            Reason::NoAnswer(_) | Reason::Unfinished(_) => Cause::TimedOut,
            Reason::NotSupervised | Reason::Refused(_) | Reason::NoDocuments => Cause::Other,
            Reason::Registry(failure) => failure.cause(),
        }
    }
}

impl From<SupervisionError> for std::io::Error {
    fn from(err: SupervisionError) -> std::io::Error {
        std::io::Error::new(err.cause().kind(), err)
    }
}

impl fmt::Debug for SupervisionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        report(self, f)
    }
}
