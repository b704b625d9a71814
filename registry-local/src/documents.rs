//! The documents of a network: the calls, and how long they wait for other processes.
//!
//! Owns the bound on each wait. Never touches a document's file itself.
//!
//! As those of the registry, calls do their file I/O in the task that polls them, and a
//! document is written in one poll or not at all.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};
use virtnet_core::{
    Documents, Failure, RegistryError, check_document, check_document_key, check_document_list,
    check_document_topic, document_topic,
};

use crate::document::{Document, Expiry};
use crate::error::{busy, damaged_document, down};
use crate::folder;
use crate::os;
use crate::registry::{BOUND, LocalRegistry, PAUSE};
use crate::topic::{self, Content, TopicLock};

/// How often the change number of a topic is read by a call that waits for another one.
const INTERVAL: Duration = Duration::from_millis(20);

impl LocalRegistry {
    /// The text of a document.
    fn text(&self, key: &str) -> Result<Option<String>, Failure> {
        self.check_open()?;
        let path = folder::document(self.folder(), key);
        match topic::read(self.folder(), key).map_err(|err| down("read", &path, &err))? {
            Content::Text(text) => Ok(Some(text)),
            Content::Damaged => Err(damaged_document(&path)),
            // There is no such document, or the folder is gone.
            Content::Nothing => self.check_folder().map(|()| None),
        }
    }

    fn texts(&self, topic: &str) -> Result<Vec<(String, String)>, Failure> {
        self.check_open()?;
        let folder = self.folder();
        let keys = topic::keys(folder, topic).map_err(|err| down("list", folder, &err))?;
        let mut texts = Vec::new();
        let mut size = 0;
        for key in keys {
            if let Some(text) = self.text(&key)? {
                size += text.len();
                check_document_list(topic, texts.len() + 1, size)?;
                texts.push((key, text));
            }
        }
        Ok(texts)
    }

    /// An error if the folder is gone.
    pub(crate) fn check_folder(&self) -> Result<(), Failure> {
        let there = self.folder().metadata();
        there
            .map(drop)
            .map_err(|err| down("read", self.folder(), &err))
    }

    /// Changes the topic of a key by `change`, which returns `None` if another process was in the
    /// way; tries that until the bound.
    async fn change<T>(
        &self,
        key: &str,
        change: impl Fn(&mut TopicLock<'_>) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        let topic = document_topic(key);
        let until = Instant::now() + BOUND;
        loop {
            self.check_open()?;
            let lock = TopicLock::take(self.folder(), topic);
            let lock = lock.map_err(|err| down("change documents in", self.folder(), &err))?;
            if let Some(mut lock) = lock
                && let Some(changed) = change(&mut lock)?
            {
                return Ok(changed);
            }
            if Instant::now() >= until {
                let path = folder::changes(self.folder(), topic);
                return Err(busy(&path, format_args!("{BOUND:?}")));
            }
            sleep(PAUSE).await;
        }
    }

    /// Writes a document if `is_due`, which is asked with its present text. Returns whether it
    /// did.
    async fn write(
        &self,
        key: &str,
        text: &str,
        lifetime: Option<Duration>,
        is_due: impl Fn(&Self) -> Result<bool, Failure>,
    ) -> Result<bool, Failure> {
        check_document(key, text, lifetime)?;
        self.change(key, |lock| {
            if !is_due(self)? {
                return Ok(Some(false));
            }
            let written = lock.write(&Document {
                expiry: lifetime.and_then(|lifetime| Expiry::new(os::nanos(), lifetime)),
                key: key.to_owned(),
                text: text.to_owned(),
            });
            let written =
                written.map_err(|err| down("write a document in", self.folder(), &err))?;
            Ok(written.then_some(true))
        })
        .await
    }

    async fn removed(&self, key: &str) -> Result<(), Failure> {
        check_document_key(key)?;
        let path = folder::document(self.folder(), key);
        if !is_there(&path)? {
            self.check_open()?;
            return self.check_folder();
        }
        self.change(key, |lock| {
            let removed = lock.remove(key);
            removed.map(Some).map_err(|err| down("remove", &path, &err))
        })
        .await
    }

    async fn change_after(&self, topic: &str, seen: u64) -> Result<u64, Failure> {
        check_document_topic(topic)?;
        let path = folder::changes(self.folder(), topic);
        loop {
            self.check_open()?;
            let read = |err| down("read", &path, &err);
            let mut pause = INTERVAL;
            if topic::may_differ(self.folder(), topic, seen).map_err(read)? {
                match topic::number(self.folder(), topic).map_err(read)? {
                    // There is no such topic, or the folder is gone.
                    Some(0) if seen != 0 => return self.check_folder().map(|()| 0),
                    Some(number) if number != seen => return Ok(number),
                    Some(_) => {}
                    None => pause = PAUSE,
                }
            }
            sleep(pause).await;
        }
    }
}

fn is_there(path: &Path) -> Result<bool, Failure> {
    path.try_exists().map_err(|err| down("inspect", path, &err))
}

#[async_trait]
impl Documents for LocalRegistry {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// Those of the trait; [`Cause::Protocol`](virtnet_core::Cause::Protocol) if no registry wrote
    /// the document's file.
    async fn get(&self, key: &str) -> Result<Option<String>, RegistryError> {
        let text = check_document_key(key).and_then(|()| self.text(key));
        text.map_err(|failure| self.error("get document", &[key], failure))
    }

    /// Reads the documents of a topic.
    ///
    /// # Errors
    ///
    /// Those of the trait; [`Cause::Protocol`](virtnet_core::Cause::Protocol) if no registry wrote
    /// the file of one of the documents.
    async fn list(&self, topic: &str) -> Result<Vec<(String, String)>, RegistryError> {
        let texts = check_document_topic(topic).and_then(|()| self.texts(topic));
        texts.map_err(|failure| self.error("list documents", &[topic], failure))
    }

    async fn put(
        &self,
        key: &str,
        text: &str,
        lifetime: Option<Duration>,
    ) -> Result<(), RegistryError> {
        let written = self.write(key, text, lifetime, |_| Ok(true)).await;
        let written = written.map(drop);
        written.map_err(|failure| self.error("put document", &[key], failure))
    }

    async fn replace(
        &self,
        key: &str,
        old: Option<&str>,
        text: &str,
        lifetime: Option<Duration>,
    ) -> Result<bool, RegistryError> {
        let is_due = |registry: &Self| Ok(registry.text(key)?.as_deref() == old);
        let written = self.write(key, text, lifetime, is_due).await;
        written.map_err(|failure| self.error("replace document", &[key], failure))
    }

    async fn remove(&self, key: &str) -> Result<(), RegistryError> {
        let removed = self.removed(key).await;
        removed.map_err(|failure| self.error("remove document", &[key], failure))
    }

    /// Reads the change number every 20 ms, until it is another one.
    ///
    /// # Errors
    ///
    /// Those of the trait.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no change: the next call with the same `seen` returns it.
    async fn changed(&self, topic: &str, seen: u64) -> Result<u64, RegistryError> {
        let changed = self.change_after(topic, seen).await;
        changed.map_err(|failure| self.error("watch documents", &[topic], failure))
    }
}
