//! The errors of setting and healing faults.
//!
//! Owns [`FaultError`]. Never decides that an operation fails.

use std::fmt;
use std::time::Duration;

use crate::faults::{PlanError, pairs::Pair};
use crate::{Cause, Failure, RegistryError, report};

/// Why a plan of faults could not be set, healed or shown.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// The plan is not one, or the network would have more rules than allowed. Nothing was set.
    #[error("faults: {0}")]
    Plan(#[from] PlanError),
    /// The registry has no documents, so it cannot share a plan.
    #[error("faults: this registry cannot share a plan")]
    NoDocuments,
    /// The registry reported an error, or did not answer in time. What it was asked to do may have
    /// happened.
    #[error("faults: {0}")]
    Registry(Failure),
    /// Some subnetworks cannot enforce the plan, which is not set any more.
    #[error("faults: the plan cannot be enforced {}", refusals(.0))]
    Refused(Vec<Refusal>),
    /// Not all subnetworks concerned have acknowledged in time. Others enforce what was set.
    #[error("faults: within {within:?} there was no acknowledgement by the subnetworks of {}", names(.hosts))]
    NotAcknowledged {
        /// The time limit.
        within: Duration,
        /// The hosts of those subnetworks, sorted.
        hosts: Vec<String>,
    },
    /// The rules are healed everywhere, but some pairs of hosts do not answer yet.
    #[error("faults: healed, but within {within:?} there was no answer {}", answers(.pairs))]
    NotRecovered {
        /// The time limit.
        within: Duration,
        /// The pairs, or some of them: who asked, and who did not answer.
        pairs: Vec<Pair>,
    },
    /// The subnetwork is down.
    #[error("faults: {0}")]
    Down(Failure),
}

/// A subnetwork cannot enforce a plan ([`FaultError::Refused`]).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The hosts of the subnetwork, sorted.
    pub hosts: Vec<String>,
    /// Which rule it cannot enforce, and why.
    pub why: String,
}

/// How many names an error shows.
const SHOWN: usize = 16;

fn names(hosts: &[String]) -> String {
    let mut names: Vec<_> = hosts
        .iter()
        .take(SHOWN)
        .map(|host| format!("{host:?}"))
        .collect();
    if hosts.len() > SHOWN {
        names.push(format!("and {} more", hosts.len() - SHOWN));
    }
    names.join(", ")
}

fn refusals(refusals: &[Refusal]) -> String {
    let refusals = refusals.iter().take(SHOWN);
    let refusals: Vec<_> = refusals
        .map(|refusal| {
            format!(
                "by the subnetwork of {}: {}",
                names(&refusal.hosts),
                refusal.why
            )
        })
        .collect();
    refusals.join("; ")
}

fn answers(pairs: &[Pair]) -> String {
    let answers: Vec<_> = pairs
        .iter()
        .take(SHOWN)
        .map(|(from, to)| format!("from {to:?} to {from:?}"))
        .collect();
    answers.join(", ")
}

impl FaultError {
    /// The cause, to match on.
    pub fn cause(&self) -> Cause {
        match self {
            FaultError::Plan(_) | FaultError::NoDocuments | FaultError::Refused(_) => Cause::Other,
            FaultError::NotAcknowledged { .. } | FaultError::NotRecovered { .. } => Cause::TimedOut,
            FaultError::Registry(failure) | FaultError::Down(failure) => failure.cause(),
        }
    }

    /// The registry did not do something in time.
    pub(crate) fn slow(what: &str, within: Duration) -> FaultError {
        let text = format!("the registry did not {what} within {within:?}");
        FaultError::Registry(Failure::wrap(Cause::RegistryDown, text))
    }
}

impl From<RegistryError> for FaultError {
    fn from(err: RegistryError) -> FaultError {
        FaultError::Registry(err.into())
    }
}

impl From<FaultError> for std::io::Error {
    fn from(err: FaultError) -> std::io::Error {
        std::io::Error::new(err.cause().kind(), err)
    }
}

impl fmt::Debug for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        report(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_hosts() {
        let hosts = vec!["α".to_owned(), "β".to_owned()];
        let within = Duration::from_secs(5);
        let refused = FaultError::Refused(vec![Refusal {
            hosts: hosts.clone(),
            why: "\"lose α -> β 10%\": this engine has no datagrams".to_owned(),
        }]);
        let silent = FaultError::NotRecovered {
            within,
            pairs: vec![("α".to_owned(), "β".to_owned())],
        };
        let late = FaultError::NotAcknowledged { within, hosts };
        let texts = [refused, late, silent].map(|err| err.to_string());
        assert_eq!(
            texts,
            [
                "faults: the plan cannot be enforced by the subnetwork of \"α\", \"β\": \
                 \"lose α -> β 10%\": this engine has no datagrams",
                "faults: within 5s there was no acknowledgement by the subnetworks of \"α\", \"β\"",
                "faults: healed, but within 5s there was no answer from \"β\" to \"α\"",
            ]
        );
        let many: Vec<_> = (0..20).map(|n| n.to_string()).collect();
        assert!(names(&many).ends_with(r#""15", and 4 more"#));
    }
}
