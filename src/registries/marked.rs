//! A registry whose documents only members can write, as they mark them by their secret.
//!
//! Owns what a document without a right mark means. Names pass through. Never computes a mark: the
//! engine's identity does.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use virtnet_core::{Cause, Documents, Failure, Lost, Registry, RegistryError, Traces};

use crate::quic::Marks;

const NO_SECRET: &str = "the members of this network have a secret: set VIRTNET_SECRET or \
                         VIRTNET_SECRET_FILE here, too";
const ANOTHER_SECRET: &str = "the members of this network have another secret";

/// Without a right mark, a document does not exist, and it is replaced. Members with certificates of their own have no
/// marks, and read and write documents without. An observer is told where it has not the members' secret.
pub(crate) struct MarkedRegistry {
    registry: Arc<dyn Registry>,
    /// For people, in errors.
    shown: String,
    marks: Option<Marks>,
    /// Else somebody's junk would stop members, too.
    is_observer: bool,
}

impl MarkedRegistry {
    /// For a member.
    pub(crate) fn new(
        registry: Arc<dyn Registry>,
        shown: String,
        marks: Option<Marks>,
    ) -> MarkedRegistry {
        MarkedRegistry {
            registry,
            shown,
            marks,
            is_observer: false,
        }
    }

    pub(crate) fn for_observer(self) -> MarkedRegistry {
        MarkedRegistry {
            is_observer: true,
            ..self
        }
    }

    /// The documents of the registry.
    fn inner(&self) -> &dyn Documents {
        let documents = self.registry.documents();
        documents.expect("whoever calls these documents got them, so the registry has some")
    }

    fn denied(&self, op: &'static str, what: &str, why: &str) -> RegistryError {
        let why = Failure::wrap(Cause::PermissionDenied, why.to_owned());
        RegistryError::new(&self.shown, op, &[what], why)
    }

    /// What a member wrote, if one did.
    fn read(&self, key: &str, text: String) -> Result<Option<String>, RegistryError> {
        match &self.marks {
            Some(marks) => Ok(marks.text(key, &text).map(str::to_owned)),
            None if !Marks::is_marked(&text) => Ok(Some(text)),
            None if self.is_observer => Err(self.denied("read document", key, NO_SECRET)),
            None => Ok(None),
        }
    }

    fn read_all(
        &self,
        keys: &[&str],
        texts: Vec<Option<String>>,
    ) -> Result<Vec<Option<String>>, RegistryError> {
        let texts = keys.iter().zip(texts);
        texts
            .map(|(key, text)| text.map_or(Ok(None), |text| self.read(key, text)))
            .collect()
    }

    /// The text as it is written.
    fn mark(&self, key: &str, text: &str) -> String {
        match &self.marks {
            Some(marks) => marks.mark(key, text),
            None => text.to_owned(),
        }
    }

    /// What is written where `old` can be read.
    fn written(&self, key: &str, old: &str) -> Vec<String> {
        match &self.marks {
            Some(marks) => marks.all(key, old),
            None => vec![old.to_owned()],
        }
    }

    /// The text of a document that no member has written.
    async fn strange(&self, key: &str) -> Result<Option<String>, RegistryError> {
        let text = self.inner().get(key).await?;
        Ok(match text {
            Some(text) if self.read(key, text.clone())?.is_none() => Some(text),
            _ => None,
        })
    }
}

#[async_trait]
impl Registry for MarkedRegistry {
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError> {
        self.registry.announce(hostname, hostdata).await
    }

    async fn query(&self, hostname: &str) -> Result<String, RegistryError> {
        self.registry.query(hostname).await
    }

    async fn requery(&self, hostname: &str, answer: &str) -> Result<Option<String>, RegistryError> {
        self.registry.requery(hostname, answer).await
    }

    fn holds(&self, hostname: &str) -> bool {
        self.registry.holds(hostname)
    }

    async fn lost(&self) -> Lost {
        self.registry.lost().await
    }

    fn crash(&self, hostname: &str) {
        self.registry.crash(hostname);
    }

    fn documents(&self) -> Option<&dyn Documents> {
        self.registry.documents().map(|_| self as &dyn Documents)
    }

    fn traces(&self) -> Option<&dyn Traces> {
        self.registry.traces()
    }

    async fn close(&self) -> Result<(), RegistryError> {
        self.registry.close().await
    }
}

#[async_trait]
impl Documents for MarkedRegistry {
    async fn get(&self, key: &str) -> Result<Option<String>, RegistryError> {
        let text = self.inner().get(key).await?;
        text.map_or(Ok(None), |text| self.read(key, text))
    }

    async fn list(&self, topic: &str) -> Result<Vec<(String, String)>, RegistryError> {
        let (mut listed, mut others) = (Vec::new(), false);
        for (key, text) in self.inner().list(topic).await? {
            let is_marked = Marks::is_marked(&text);
            match self.read(&key, text)? {
                Some(text) => listed.push((key, text)),
                None => others |= is_marked,
            }
        }
        // It would look as if the network had no members.
        match self.is_observer && listed.is_empty() && others {
            true => Err(self.denied("list documents", topic, ANOTHER_SECRET)),
            false => Ok(listed),
        }
    }

    async fn put(
        &self,
        key: &str,
        text: &str,
        lifetime: Option<Duration>,
    ) -> Result<(), RegistryError> {
        let text = self.mark(key, text);
        self.inner().put(key, &text, lifetime).await
    }

    async fn replace(
        &self,
        key: &str,
        old: Option<&str>,
        text: &str,
        lifetime: Option<Duration>,
    ) -> Result<bool, RegistryError> {
        let replaced = self.replace_and_read(key, old, text, lifetime, &[]).await?;
        Ok(replaced.0)
    }

    async fn replace_and_read(
        &self,
        key: &str,
        old: Option<&str>,
        text: &str,
        lifetime: Option<Duration>,
        keys: &[&str],
    ) -> Result<(bool, Vec<Option<String>>), RegistryError> {
        let (inner, text) = (self.inner(), self.mark(key, text));
        let mut olds = match old {
            // While the secret is replaced, it may have another mark than it would have here.
            Some(old) => self.written(key, old).into_iter().rev().map(Some).collect(),
            None => vec![None],
        };
        let mut replaced = (false, Vec::new());
        while let Some(old) = olds.pop() {
            let replace = inner.replace_and_read(key, old.as_deref(), &text, lifetime, keys);
            replaced = replace.await?;
            match (replaced.0, old) {
                (true, _) => break,
                (false, Some(_)) => {}
                // What no member has written does not count.
                (false, None) => olds.extend(self.strange(key).await?.map(Some)),
            }
        }
        Ok((replaced.0, self.read_all(keys, replaced.1)?))
    }

    async fn remove(&self, key: &str) -> Result<(), RegistryError> {
        self.inner().remove(key).await
    }

    async fn changed(&self, topic: &str, seen: u64) -> Result<u64, RegistryError> {
        self.inner().changed(topic, seen).await
    }

    async fn changed_documents(
        &self,
        topic: &str,
        seen: u64,
        keys: &[&str],
    ) -> Result<(u64, Vec<Option<String>>), RegistryError> {
        let changed = self.inner().changed_documents(topic, seen, keys).await?;
        Ok((changed.0, self.read_all(keys, changed.1)?))
    }
}

#[cfg(test)]
#[path = "marked_tests.rs"]
mod tests;
