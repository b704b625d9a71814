//! The documents of a network in memory.
//!
//! Owns the texts, their expiry and the change numbers of their topics. Never knows which
//! registry calls, nor whether it was closed.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Failure;
use crate::contract::documents::{check_document_list, document_topic};

/// The documents of one network, which all its registries share.
#[derive(Debug, Default)]
pub(super) struct DocumentTable {
    topics: Mutex<Topics>,
    /// Notified after each change of any topic.
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Topics {
    /// The last change number of any topic.
    last: u64,
    /// Those that have documents.
    by_name: HashMap<String, Topic>,
}

#[derive(Debug, Default)]
struct Topic {
    number: u64,
    by_key: BTreeMap<String, Document>,
}

#[derive(Debug)]
struct Document {
    text: String,
    /// `None` if it never expires.
    until: Option<Instant>,
}

impl Document {
    fn is_expired(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl DocumentTable {
    pub(super) fn get(&self, key: &str) -> Option<String> {
        self.topics.lock().get(key).map(str::to_owned)
    }

    pub(super) fn list(&self, topic: &str) -> Result<Vec<(String, String)>, Failure> {
        let (topics, now) = (self.topics.lock(), Instant::now());
        let documents = topics.by_name.get(topic);
        let documents = documents.into_iter().flat_map(|topic| &topic.by_key);
        let mut listed = Vec::new();
        let mut size = 0;
        for (key, document) in documents.filter(|(_, document)| !document.is_expired(now)) {
            size += document.text.len();
            check_document_list(topic, listed.len() + 1, size)?;
            listed.push((key.clone(), document.text.clone()));
        }
        Ok(listed)
    }

    /// Writes a document if `is_due`, which is asked with its present text.
    pub(super) fn write(
        &self,
        key: &str,
        text: &str,
        lifetime: Option<Duration>,
        is_due: impl FnOnce(Option<&str>) -> bool,
    ) -> bool {
        let mut topics = self.topics.lock();
        if !is_due(topics.get(key)) {
            return false;
        }
        let document = Document {
            text: text.to_owned(),
            // A time that is too far away for the clock is never.
            until: lifetime.and_then(|lifetime| Instant::now().checked_add(lifetime)),
        };
        topics.change(key, |documents| {
            documents.insert(key.to_owned(), document);
        });
        drop(topics);
        self.wake();
        true
    }

    pub(super) fn remove(&self, key: &str) {
        let mut topics = self.topics.lock();
        if topics.get(key).is_none() {
            return;
        }
        topics.change(key, |documents| {
            documents.remove(key);
        });
        drop(topics);
        self.wake();
    }

    /// The change number of a topic.
    pub(super) fn number(&self, topic: &str) -> u64 {
        let topics = self.topics.lock();
        topics.by_name.get(topic).map_or(0, |topic| topic.number)
    }

    /// Receives a notification of each change from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Wakes all that wait for a change, so that they look at what they wait for.
    pub(super) fn wake(&self) {
        self.changes.send_replace(());
    }
}

impl Topics {
    fn get(&self, key: &str) -> Option<&str> {
        let document = self.by_name.get(document_topic(key))?.by_key.get(key)?;
        (!document.is_expired(Instant::now())).then_some(&*document.text)
    }

    /// Changes the documents of a key's topic, and removes those that have expired.
    fn change(&mut self, key: &str, change: impl FnOnce(&mut BTreeMap<String, Document>)) {
        let name = document_topic(key);
        let mut topic = self.by_name.remove(name).unwrap_or_default();
        let now = Instant::now();
        topic.by_key.retain(|_, document| !document.is_expired(now));
        change(&mut topic.by_key);
        self.last += 1;
        topic.number = self.last;
        // A topic without documents has the number 0.
        if !topic.by_key.is_empty() {
            self.by_name.insert(name.to_owned(), topic);
        }
    }
}
