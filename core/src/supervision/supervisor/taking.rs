//! Requests by documents, at their supervisor: each is taken once, and answered.
//!
//! Owns the replacements of a request's text. Never waits for a request, and never does one.

use std::sync::Arc;

use super::{REMEMBERED, Supervisor};
use crate::supervision::document::{ANSWERED, Progress, REQUESTS, RequestDoc, SupervisorDoc};
use crate::supervision::request::documents;
use crate::{Failure, Registry};

/// A request's document, as it is when it is taken.
#[derive(Debug, Clone)]
pub(super) struct Taking {
    pub(super) key: String,
    pub(super) taken: RequestDoc,
}

impl Supervisor {
    /// The first request for this supervisor that nobody has taken.
    pub(super) fn first(&self, listed: &[(String, String)]) -> Option<Taking> {
        let mut new = listed.iter().filter(|(key, _)| !self.taken.contains(key));
        new.find_map(|(key, text)| {
            let doc = text.parse::<RequestDoc>().ok()?;
            let is_ours = doc.progress == Progress::Asked && doc.to.contains(&self.doc.id);
            let taken = doc.with(Progress::Taken(self.doc.id.clone()));
            let key = key.clone();
            is_ours.then_some(Taking { key, taken })
        })
    }

    /// Takes the request that is being taken, unless it was withdrawn. It may be taken already, by a call
    /// that was dropped.
    pub(super) async fn take(&mut self) -> Result<Option<Taking>, Failure> {
        let Some(taking) = &self.taking else {
            return Ok(None);
        };
        let key = taking.key.clone();
        let old = taking.taken.with(Progress::Asked).text();
        let new = taking.taken.text();
        let wanted = new.clone();
        let now = self.calls.run(async move |registry| {
            let docs = documents(&*registry)?;
            let (old, keys) = (Some(&*old), [&*key]);
            let (_, mut texts) = docs
                .replace_and_read(&key, old, &new, Some(ANSWERED), &keys)
                .await?;
            Ok(texts.pop().flatten())
        });
        let now = now.await?;
        let taking = self.taking.take();
        self.taken.extend(taking.iter().map(|it| it.key.clone()));
        if self.taken.len() > REMEMBERED {
            self.taken.pop_front();
        }
        let taken = taking.filter(|_| now.as_deref() == Some(&*wanted));
        Ok(taken)
    }

    /// Whoever reads the answer finds the state, too.
    pub(super) async fn try_answer(
        &mut self,
        request: &Taking,
        progress: &Progress,
    ) -> Result<(), Failure> {
        self.write().await?;
        let key = request.key.clone();
        let asked = request.taken.with(Progress::Asked).text();
        let (old, new) = (
            request.taken.text(),
            request.taken.with(progress.clone()).text(),
        );
        let replaced = self.calls.run(async move |registry: Arc<dyn Registry>| {
            let docs = documents(&*registry)?;
            // After a failover it may not be taken any more. If it is another's now, all documents have vanished,
            // and whoever asked knows.
            for old in [&old, &asked] {
                if docs.replace(&key, Some(old), &new, Some(ANSWERED)).await? {
                    break;
                }
            }
            Ok(())
        });
        replaced.await
    }

    pub(super) async fn try_end(&self) -> Result<(), Failure> {
        let key = SupervisorDoc::key(&self.doc.id);
        let left = self.calls.run(async move |registry: Arc<dyn Registry>| {
            let docs = documents(&*registry)?;
            docs.remove(&key).await?;
            Ok(docs.list(REQUESTS).await?)
        });
        let mut left = left.await?;
        while let Some(Taking { key, taken }) = self.first(&left) {
            left.retain(|(other, _)| *other != key);
            let old = taken.with(Progress::Asked).text();
            let refused = Progress::Refused("its supervisor has ended".to_owned());
            let new = taken.with(refused).text();
            let replaced = self.calls.run(async move |registry: Arc<dyn Registry>| {
                let docs = documents(&*registry)?;
                docs.replace(&key, Some(&old), &new, Some(ANSWERED)).await?;
                Ok(())
            });
            replaced.await?;
        }
        Ok(())
    }
}
