//! Documents: the texts that a network's processes share, and how changes are noticed.
//!
//! Owns the calls. Never keeps a document: each call asks the server.

mod script;

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, Value};
use tokio::time::{Instant, timeout};
use virtnet_core::{
    Cause, Documents, Failure, MAX_DOCUMENT, RegistryError, check_document, check_document_key,
    check_document_list, check_document_topic, document_topic,
};

use crate::documents::script::Present;
use crate::registry::RedisRegistry;
use crate::registry::inner::RegistryInner;

/// How many keys are read at once.
const PAGE: usize = 1_000;
/// How many documents are read at once. Bounds the memory of one reply, to 16 MiB.
const PER_READ: usize = 64;

/// How often a change number is read whose change the server pushes: the push can be lost with a
/// connection that is dead without anybody noticing.
const PUSHED: Duration = Duration::from_secs(5);
/// How often it is read if the server pushes nothing.
const NOT_PUSHED: Duration = Duration::from_millis(100);

impl RegistryInner {
    async fn document(&self, until: Instant, key: &str) -> Result<Option<String>, Failure> {
        check_document_key(key)?;
        let mut get = redis::cmd("GET");
        get.arg(self.keys.document(key));
        let answer = self.connection.ask(until, get).await;
        self.text(key, answer.map_err(|no_reply| no_reply.failure)?)
    }

    async fn documents(
        &self,
        until: Instant,
        topic: &str,
    ) -> Result<Vec<(String, String)>, Failure> {
        check_document_topic(topic)?;
        let keys: Vec<_> = self
            .document_keys(until, topic)
            .await?
            .into_iter()
            .collect();
        let mut documents = Vec::new();
        let mut size = 0;
        for keys in keys.chunks(PER_READ) {
            let texts = self.values(until, keys).await?;
            for (key, text) in keys.iter().zip(texts) {
                // The index may still have a document that has expired.
                if let Some(text) = self.text(key, text)? {
                    size += text.len();
                    check_document_list(topic, documents.len() + 1, size)?;
                    documents.push((key.clone(), text));
                }
            }
        }
        Ok(documents)
    }

    /// The keys of a topic's documents, and of some that have expired.
    async fn document_keys(
        &self,
        until: Instant,
        topic: &str,
    ) -> Result<BTreeSet<String>, Failure> {
        let mut keys = BTreeSet::new();
        let mut cursor = "0".to_owned();
        loop {
            let mut scan = redis::cmd("ZSCAN");
            scan.arg(self.keys.documents(topic)).arg(&cursor);
            scan.arg("COUNT").arg(PAGE);
            let answer = self.connection.ask(until, scan).await;
            let answer = answer.map_err(|no_reply| no_reply.failure)?;
            let pairs: Vec<Vec<u8>>;
            (cursor, pairs) = self.typed(answer)?;
            // Each member is followed by its score. Others than these no registry wrote.
            let members = pairs.into_iter().step_by(2);
            let members = members.filter_map(|member| String::from_utf8(member).ok());
            keys.extend(
                members
                    .filter(|key| check_document_key(key).is_ok() && document_topic(key) == topic),
            );
            // With this cursor, the server has sent everything.
            if cursor == "0" {
                return Ok(keys);
            }
            // Not counting those that have expired, as this is about memory only.
            check_document_list(topic, keys.len() / 2, 0)?;
        }
    }

    /// The texts in a reply, or those that are there now.
    async fn texts(
        &self,
        until: Instant,
        keys: &[&str],
        answers: Option<Vec<Value>>,
    ) -> Result<Vec<Option<String>>, Failure> {
        if let Some(answers) = answers {
            let texts = keys.iter().zip(answers);
            return texts.map(|(key, answer)| self.text(key, answer)).collect();
        }
        let mut texts = Vec::with_capacity(keys.len());
        for keys in keys.chunks(PER_READ) {
            let answers = self.values(until, keys).await?;
            let answers = keys.iter().zip(answers);
            for (key, answer) in answers {
                texts.push(self.text(key, answer)?);
            }
        }
        Ok(texts)
    }

    /// The command that reads some documents.
    fn read_documents<K: AsRef<str>>(&self, keys: &[K]) -> Cmd {
        let mut read = redis::cmd("MGET");
        for key in keys {
            read.arg(self.keys.document(key.as_ref()));
        }
        read
    }

    /// The values of some documents' keys.
    async fn values<K: AsRef<str>>(
        &self,
        until: Instant,
        keys: &[K],
    ) -> Result<Vec<Value>, Failure> {
        let answer = self.connection.ask(until, self.read_documents(keys)).await;
        match answer.map_err(|no_reply| no_reply.failure)? {
            Value::Array(values) if values.len() == keys.len() => Ok(values),
            other => Err(self.connection.errors().strange(&other)),
        }
    }

    /// The text in a reply.
    fn text(&self, key: &str, answer: Value) -> Result<Option<String>, Failure> {
        let text = match answer {
            Value::Nil => return Ok(None),
            Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
            // Substitutes for Redis may reply in this form.
            Value::SimpleString(text) => Some(text),
            other => return Err(self.connection.errors().strange(&other)),
        };
        match text.filter(|text| text.len() <= MAX_DOCUMENT) {
            Some(text) => Ok(Some(text)),
            None => {
                let key = self.keys.document(key);
                let what = format!("the key {key:?} has a value that no registry wrote");
                Err(Failure::wrap(Cause::Protocol, what))
            }
        }
    }

    /// Runs a script. Returns whether it changed something.
    async fn change_document(&self, until: Instant, cmd: Cmd) -> Result<bool, Failure> {
        let answered = self.connection.ask_and_tell(until, cmd).await;
        self.is_changed(answered.map_err(|no_reply| no_reply.failure)?)
    }

    /// Whether a script changed something, by its reply.
    fn is_changed(&self, answered: (Value, bool)) -> Result<bool, Failure> {
        match answered {
            (Value::Int(1), _) => Ok(true),
            (Value::Int(0), false) => Ok(false),
            (Value::Int(0), true) => Err(Failure::explain(
                Cause::RegistryDown,
                "the connection was lost during the change, so it is unknown whether it happened",
            )),
            (other, _) => Err(self.connection.errors().strange(&other)),
        }
    }

    async fn write_document(
        &self,
        until: Instant,
        key: &str,
        text: &str,
        lifetime: Option<Duration>,
        present: Present<'_>,
    ) -> Result<bool, Failure> {
        check_document(key, text, lifetime)?;
        let write = script::write(&self.keys, key, text, lifetime, present);
        self.change_document(until, write).await
    }

    async fn replace_and_read_documents(
        &self,
        until: Instant,
        key: &str,
        old: Option<&str>,
        (text, lifetime): (&str, Option<Duration>),
        keys: &[&str],
    ) -> Result<(bool, Vec<Option<String>>), Failure> {
        check_document(key, text, lifetime)?;
        for key in keys {
            check_document_key(key)?;
        }
        let present = old.map_or(Present::Nothing, Present::Text);
        let write = script::write(&self.keys, key, text, lifetime, present);
        // More would make a reply too large: they are read afterwards.
        if keys.is_empty() || keys.len() > PER_READ {
            let written = self.change_document(until, write).await?;
            return Ok((written, self.texts(until, keys, None).await?));
        }
        let read = self.read_documents(keys);
        let answered = self.connection.ask_and_tell_then(until, write, read).await;
        let (answer, values) = answered.map_err(|no_reply| no_reply.failure)?;
        let written = self.is_changed(answer)?;
        let values = match values {
            Some(Value::Array(values)) if values.len() == keys.len() => Some(values),
            // They are read again, which gives the error.
            _ => None,
        };
        Ok((written, self.texts(until, keys, values).await?))
    }

    async fn remove_document(&self, until: Instant, key: &str) -> Result<(), Failure> {
        check_document_key(key)?;
        let remove = script::remove(&self.keys, key);
        let removed = self.connection.ask(until, remove).await;
        removed.map(drop).map_err(|no_reply| no_reply.failure)
    }

    /// Waits for a change, and reads documents, with each number in one round trip.
    async fn document_change(
        &self,
        topic: &str,
        seen: u64,
        keys: &[&str],
    ) -> Result<(u64, Vec<Option<String>>), Failure> {
        check_document_topic(topic)?;
        for key in keys {
            check_document_key(key)?;
        }
        let key = self.keys.changes(topic);
        // More would make a reply too large: they are read afterwards.
        let others = keys.iter().filter(|_| keys.len() <= PER_READ);
        let others: Vec<_> = others.map(|key| self.keys.document(key)).collect();
        // From before the first read, so that a push after it is noticed.
        let mut pushes = self.connection.pushed_changes();
        loop {
            pushes.mark_unchanged();
            let until = self.connection.until();
            let read = self.connection.read_watched(until, &key, &others);
            let (answer, is_pushed, texts) = read.await.map_err(|no_reply| no_reply.failure)?;
            let number = self.typed::<Option<u64>>(answer)?.unwrap_or(0);
            if number != seen {
                return Ok((number, self.texts(until, keys, texts).await?));
            }
            let interval = if is_pushed { PUSHED } else { NOT_PUSHED };
            // Either way, the number is read again.
            let _ = timeout(interval, pushes.changed()).await;
        }
    }
}

#[async_trait]
impl Documents for RedisRegistry {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// Those of the trait; [`Cause::Protocol`] if no registry wrote the value.
    async fn get(&self, key: &str) -> Result<Option<String>, RegistryError> {
        let document = self.inner.document(self.inner.connection.until(), key);
        self.call("get document", &[key], document).await
    }

    /// Reads the documents of a topic.
    ///
    /// # Errors
    ///
    /// Those of the trait; [`Cause::Protocol`] if no registry wrote one of the values.
    async fn list(&self, topic: &str) -> Result<Vec<(String, String)>, RegistryError> {
        let documents = self.inner.documents(self.inner.connection.until(), topic);
        self.call("list documents", &[topic], documents).await
    }

    async fn put(
        &self,
        key: &str,
        text: &str,
        lifetime: Option<Duration>,
    ) -> Result<(), RegistryError> {
        let until = self.inner.connection.until();
        let write = self
            .inner
            .write_document(until, key, text, lifetime, Present::Any);
        self.call("put document", &[key], write).await.map(drop)
    }

    async fn replace(
        &self,
        key: &str,
        old: Option<&str>,
        text: &str,
        lifetime: Option<Duration>,
    ) -> Result<bool, RegistryError> {
        let until = self.inner.connection.until();
        let present = old.map_or(Present::Nothing, Present::Text);
        let write = self
            .inner
            .write_document(until, key, text, lifetime, present);
        self.call("replace document", &[key], write).await
    }

    /// Writes and reads in one round trip.
    ///
    /// # Errors
    ///
    /// Those of the trait; [`Cause::Protocol`] if no registry wrote one of the values.
    async fn replace_and_read(
        &self,
        key: &str,
        old: Option<&str>,
        text: &str,
        lifetime: Option<Duration>,
        keys: &[&str],
    ) -> Result<(bool, Vec<Option<String>>), RegistryError> {
        let (until, new) = (self.inner.connection.until(), (text, lifetime));
        let inner = &self.inner;
        let replace = inner.replace_and_read_documents(until, key, old, new, keys);
        self.call("replace document", &[key], replace).await
    }

    async fn remove(&self, key: &str) -> Result<(), RegistryError> {
        let remove = self
            .inner
            .remove_document(self.inner.connection.until(), key);
        self.call("remove document", &[key], remove).await
    }

    /// Reads the change number, and again when Redis pushes that it has changed; every 100 ms if
    /// the server pushes nothing. Fails while Redis cannot be reached.
    ///
    /// # Errors
    ///
    /// Those of the trait.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no change: the next call with the same `seen` returns it.
    async fn changed(&self, topic: &str, seen: u64) -> Result<u64, RegistryError> {
        let change = self.inner.document_change(topic, seen, &[]);
        let (number, _) = self.call("watch documents", &[topic], change).await?;
        Ok(number)
    }

    /// Waits as [`changed`](Documents::changed) does; number and documents take one round trip.
    ///
    /// # Errors
    ///
    /// Those of the trait; [`Cause::Protocol`] if no registry wrote one of the values.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no change: the next call with the same `seen` returns it.
    async fn changed_documents(
        &self,
        topic: &str,
        seen: u64,
        keys: &[&str],
    ) -> Result<(u64, Vec<Option<String>>), RegistryError> {
        let change = self.inner.document_change(topic, seen, keys);
        self.call("watch documents", &[topic], change).await
    }
}
