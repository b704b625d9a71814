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

/// To a member, a document without a right mark does not exist, and it replaces one. Who has no secret reads and
/// writes documents without marks, and is told of others.
pub(crate) struct MarkedRegistry {
    registry: Arc<dyn Registry>,
    /// For people, in errors.
    shown: String,
    marks: Option<Marks>,
}

impl MarkedRegistry {
    pub(crate) fn new(
        registry: Arc<dyn Registry>,
        shown: String,
        marks: Option<Marks>,
    ) -> MarkedRegistry {
        MarkedRegistry {
            registry,
            shown,
            marks,
        }
    }

    /// The documents of the registry, which has some: else nobody gets these.
    fn inner(&self) -> Result<&dyn Documents, RegistryError> {
        let documents = self.registry.documents();
        documents.ok_or_else(|| self.denied("read documents", "", "it has none"))
    }

    fn denied(&self, op: &'static str, what: &str, why: &str) -> RegistryError {
        let why = Failure::wrap(Cause::PermissionDenied, why.to_owned());
        RegistryError::new(&self.shown, op, &[what], why)
    }

    /// What a member wrote, if one did.
    fn read(&self, key: &str, text: String) -> Result<Option<String>, RegistryError> {
        match &self.marks {
            Some(marks) => Ok(marks.text(key, &text).map(str::to_owned)),
            None if Marks::is_marked(&text) => Err(self.denied("read document", key, NO_SECRET)),
            None => Ok(Some(text)),
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
        let text = self.inner()?.get(key).await?;
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
        let text = self.inner()?.get(key).await?;
        text.map_or(Ok(None), |text| self.read(key, text))
    }

    async fn list(&self, topic: &str) -> Result<Vec<(String, String)>, RegistryError> {
        let (mut listed, mut others) = (Vec::new(), false);
        for (key, text) in self.inner()?.list(topic).await? {
            let is_marked = Marks::is_marked(&text);
            match self.read(&key, text)? {
                Some(text) => listed.push((key, text)),
                None => others |= is_marked,
            }
        }
        // It would look as if the network had no members. One of them finds its own document.
        match listed.is_empty() && others {
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
        self.inner()?.put(key, &text, lifetime).await
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
        let (inner, text) = (self.inner()?, self.mark(key, text));
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
        self.inner()?.remove(key).await
    }

    async fn changed(&self, topic: &str, seen: u64) -> Result<u64, RegistryError> {
        self.inner()?.changed(topic, seen).await
    }

    async fn changed_documents(
        &self,
        topic: &str,
        seen: u64,
        keys: &[&str],
    ) -> Result<(u64, Vec<Option<String>>), RegistryError> {
        let changed = self.inner()?.changed_documents(topic, seen, keys).await?;
        Ok((changed.0, self.read_all(keys, changed.1)?))
    }
}

#[cfg(test)]
mod tests {
    use virtnet_core::conformance::{RegistryBed, run};
    use virtnet_core::memory::MemoryHub;

    use super::*;
    use crate::quic::{Identity, Secret};

    const NETWORK: &str = "net";

    fn marks(secret: &Secret) -> Option<Marks> {
        Identity::secret(secret.clone()).marks(NETWORK)
    }

    fn with(hub: &MemoryHub, marks: Option<Marks>) -> MarkedRegistry {
        MarkedRegistry::new(Arc::new(hub.registry()), "memory:".to_owned(), marks)
    }

    struct Marked(MemoryHub, Secret);

    #[async_trait]
    impl RegistryBed for Marked {
        async fn registry(&self) -> Arc<dyn Registry> {
            Arc::new(with(&self.0, marks(&self.1)))
        }
    }

    /// All that a registry must do, except that the largest texts have no room for a mark.
    mod contract {
        use super::*;

        virtnet_core::conformance_tests! { async { Marked(MemoryHub::new(), Secret::random()) };
            registry: announce_and_query, no_such_host, taken_names, close_frees_exactly_the_own_names,
                closed_means_down, announce_dropped_at_every_poll;
            documents: put_get_list_remove, replace, replace_then_read, replace_contenders, expiry,
                what_is_not_allowed;
            document_changes: changes_wake, changes_come_with_documents, changes_miss_nothing,
                calls_dropped_at_every_poll, documents_after_close;
            traces: batches_are_read_in_order, traces_after_close;
        }
    }

    #[test]
    fn what_no_member_wrote_does_not_exist() {
        run(async {
            let (hub, secret) = (MemoryHub::new(), Secret::random());
            let (raw, member) = (hub.registry(), with(&hub, marks(&secret)));
            member.put("plan", "cut", None).await.unwrap();
            let marked = raw.get("plan").await.unwrap().unwrap();
            let strange = ["hold", "mark 00\nhold", &marked.replace("cut", "hold")];
            for text in strange {
                raw.put("plan", text, None).await.unwrap();
                assert_eq!(member.get("plan").await.unwrap(), None, "{text}");
                let (_, texts) = member
                    .changed_documents("plan", 0, &["plan"])
                    .await
                    .unwrap();
                assert_eq!(texts, [None]);
                assert!(
                    !member
                        .replace("plan", Some("hold"), "x", None)
                        .await
                        .unwrap()
                );
                let keys = ["plan"];
                let replace = member.replace_and_read("plan", None, "cut", None, &keys);
                assert_eq!(replace.await.unwrap(), (true, vec![Some("cut".to_owned())]));
                assert_eq!(raw.get("plan").await.unwrap().as_deref(), Some(&*marked));
            }
            // Put to another place.
            raw.put("plan/2", &marked, None).await.unwrap();
            assert_eq!(
                member.list("plan").await.unwrap(),
                [("plan".into(), "cut".into())]
            );
            assert!(!member.replace("plan", None, "hold", None).await.unwrap());
        });
    }

    #[test]
    fn who_has_not_the_secret_is_told() {
        run(async {
            let (hub, secret) = (MemoryHub::new(), Secret::random());
            let member = with(&hub, marks(&secret));
            let (none, another) = (with(&hub, None), with(&hub, marks(&Secret::random())));
            assert_eq!(another.list("plan").await.unwrap(), []);
            none.put("plan", "open", None).await.unwrap();
            assert_eq!(none.get("plan").await.unwrap().as_deref(), Some("open"));
            assert_eq!(another.list("plan").await.unwrap(), []);

            member.put("plan", "cut", None).await.unwrap();
            let err = another.list("plan").await.unwrap_err();
            let text = "registry \"memory:\": list documents \"plan\": the members of this network have another secret";
            assert_eq!(
                (err.to_string(), err.cause()),
                (text.to_owned(), Cause::PermissionDenied)
            );
            for err in [
                none.get("plan").await.unwrap_err(),
                none.list("plan").await.unwrap_err(),
                none.replace("plan", None, "x", None).await.unwrap_err(),
            ] {
                let text = "registry \"memory:\": read document \"plan\": the members of this network have a \
                            secret: set VIRTNET_SECRET or VIRTNET_SECRET_FILE here, too";
                assert_eq!(
                    (err.to_string(), err.cause()),
                    (text.to_owned(), Cause::PermissionDenied)
                );
            }
            assert_eq!(member.get("plan").await.unwrap().as_deref(), Some("cut"));
        });
    }

    #[test]
    fn while_the_secret_is_replaced_all_write() {
        run(async {
            let (hub, [old, new]) = (MemoryHub::new(), [Secret::random(), Secret::random()]);
            let both = |one: &Secret, other: &Secret| {
                let both = format!("{},{}", one.reveal(), other.reveal());
                with(&hub, marks(&both.parse().unwrap()))
            };
            let (first, second) = (both(&old, &new), both(&new, &old));
            first.put("plan", "0", None).await.unwrap();
            for number in 0..4 {
                let (old, new) = (number.to_string(), (number + 1).to_string());
                let writer = if number % 2 == 0 { &second } else { &first };
                assert!(
                    writer
                        .replace("plan", Some(&old), &new, None)
                        .await
                        .unwrap()
                );
                assert!(
                    !writer
                        .replace("plan", Some(&old), &new, None)
                        .await
                        .unwrap()
                );
            }
            assert_eq!(first.get("plan").await.unwrap().as_deref(), Some("4"));
        });
    }
}
