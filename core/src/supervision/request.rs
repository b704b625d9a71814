//! Asking a host's supervisor for something, and waiting for its answer.
//!
//! Owns a request from its beginning to its end. Never does what is asked for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Calls;
use super::document::{
    Action, HostState, Progress, REQUESTS, RequestDoc, SUPERVISORS, SupervisorDoc,
};
use super::error::{Reason, SupervisionError};
use crate::control::{NO_NUMBER, random_id};
use crate::{Cause, Documents, Failure, Registry, check_hostname};

/// How long the end of a request may take after its time limit.
const END_WITHIN: Duration = Duration::from_secs(2);

impl From<Failure> for Reason {
    fn from(failure: Failure) -> Reason {
        Reason::Registry(failure)
    }
}

/// The documents of a registry that is known to have them.
pub(super) fn documents(registry: &dyn Registry) -> Result<&dyn Documents, Failure> {
    registry
        .documents()
        .ok_or_else(|| Failure::wrap(Cause::Other, Reason::NoDocuments.to_string()))
}

/// All supervisors of the network.
pub(super) async fn supervisors(calls: &Calls) -> Result<Vec<SupervisorDoc>, Reason> {
    if calls.registry.documents().is_none() {
        return Err(Reason::NoDocuments);
    }
    let listed = calls.run(async |registry| Ok(documents(&*registry)?.list(SUPERVISORS).await?));
    let listed = listed.await?.into_iter();
    Ok(listed
        .filter_map(|(key, text)| SupervisorDoc::read(&key, &text))
        .collect())
}

/// Has a host's supervisor do something.
pub(super) async fn ask(
    calls: &Calls,
    (action, host): (Action, &str),
    by: &str,
    within: Duration,
) -> Result<(), SupervisionError> {
    let asked = async {
        check_hostname(host).map_err(Reason::Name)?;
        let by_then = Instant::now() + within;
        let to = match timeout_at(by_then, addressed(calls, host)).await {
            Ok(to) => to?,
            Err(_) => return Err(Reason::NoAnswer(within)),
        };
        let request = Asked {
            calls,
            key: RequestDoc::key(&random_id()),
            doc: RequestDoc {
                action,
                host: host.to_owned(),
                to,
                by: by.to_owned(),
                progress: Progress::Asked,
            },
        };
        let answer = timeout_at(by_then, request.answered(within)).await;
        match answer {
            Ok(answer) => answer,
            Err(_) => timeout_at(by_then + END_WITHIN, request.given_up(within))
                .await
                .unwrap_or(Err(Reason::Unfinished(within))),
        }
    };
    asked
        .await
        .map_err(|reason| SupervisionError::new(Some(action), host, reason))
}

/// The supervisors of a host that may take a request: one whose host was killed only if there is
/// no other, as another process may have its name since.
async fn addressed(calls: &Calls, host: &str) -> Result<Vec<String>, Reason> {
    let mut found = supervisors(calls).await?;
    found.retain(|found| found.host == host);
    let is_killed = |found: &SupervisorDoc| found.state == HostState::Killed;
    if !found.iter().all(is_killed) {
        found.retain(|found| !is_killed(found));
    }
    if !found.is_empty() {
        return Ok(found.into_iter().map(|found| found.id).collect());
    }
    let name = host.to_owned();
    let queried = calls.run(async move |registry| Ok(registry.query(&name).await?));
    match queried.await {
        Ok(_) => Err(Reason::NotSupervised),
        Err(why) if why.cause() == Cause::NoSuchHost => Err(Reason::NoSuchHost),
        Err(why) => Err(why.into()),
    }
}

/// A request that is under way.
struct Asked<'a> {
    calls: &'a Calls,
    key: String,
    doc: RequestDoc,
}

impl Asked<'_> {
    /// Writes the request, and waits for its answer.
    async fn answered(&self, within: Duration) -> Result<(), Reason> {
        let (key, text) = (self.key.clone(), self.doc.text());
        // It is not done later than that, also if this process is killed.
        let write = async move |registry: Arc<dyn Registry>| {
            let docs = documents(&*registry)?;
            Ok(docs.replace(&key, None, &text, Some(within)).await?)
        };
        self.calls.run(write).await?;
        let mut seen = NO_NUMBER;
        loop {
            let key = self.key.clone();
            let changed = self.calls.run(async move |registry| {
                let docs = documents(&*registry)?;
                Ok(docs.changed_documents(REQUESTS, seen, &[&key]).await?)
            });
            let (number, mut texts) = changed.await?;
            seen = number;
            let text = texts.pop().flatten();
            match text.and_then(|text| text.parse::<RequestDoc>().ok()) {
                Some(doc) => match doc.progress {
                    Progress::Done => {
                        self.end().await;
                        break Ok(());
                    }
                    Progress::Refused(why) => {
                        self.end().await;
                        break Err(Reason::Refused(why));
                    }
                    _ => {}
                },
                // All documents have vanished: nobody knows of the request any more.
                None => break Err(Reason::NoAnswer(within)),
            }
        }
    }

    /// The request was answered, and nobody needs it any more.
    async fn end(&self) {
        let key = self.key.clone();
        let removed = self.calls.run(async move |registry| {
            documents(&*registry)?.remove(&key).await?;
            Ok(())
        });
        // It would vanish by itself.
        let _ = removed.await;
    }

    /// Withdraws the request, unless a supervisor has taken it.
    async fn given_up(&self, within: Duration) -> Result<(), Reason> {
        let key = self.key.clone();
        let old = self.doc.text();
        let new = self.doc.with(Progress::Withdrawn).text();
        let now = self.calls.run(async move |registry| {
            let docs = documents(&*registry)?;
            let keys = [&*key];
            let lifetime = Some(super::SHORTEST);
            let (_, mut texts) = docs
                .replace_and_read(&key, Some(&old), &new, lifetime, &keys)
                .await?;
            Ok(texts.pop().flatten())
        });
        let now = now.await?.and_then(|text| text.parse::<RequestDoc>().ok());
        match now.map(|doc| doc.progress) {
            // What has expired cannot be taken any more either.
            None | Some(Progress::Asked | Progress::Withdrawn) => Err(Reason::NoAnswer(within)),
            Some(Progress::Taken(_)) => Err(Reason::Unfinished(within)),
            Some(Progress::Done) => {
                self.end().await;
                Ok(())
            }
            Some(Progress::Refused(why)) => {
                self.end().await;
                Err(Reason::Refused(why))
            }
        }
    }
}
