//! Lookups: the value of one key, from the cache where that is right.
//!
//! Owns when the server is asked. Never caches a value whose change the server would not
//! report.

use redis::{Cmd, Pipeline, Value};
use tokio::task::coop::consume_budget;
use tokio::time::Instant;

use crate::connection::{Connection, NoReply, Replies};

impl Connection {
    /// The value of a key, from the cache or the server. An error reply is an error.
    pub(crate) async fn read(&self, until: Instant, key: &str) -> Result<Value, NoReply> {
        match self.cache().get(key) {
            Some(value) => {
                tracing::debug!("answered from the cache");
                // A caller in a loop must let the connection's task run and read pushes.
                consume_budget().await;
                Ok(Value::BulkString(value))
            }
            None => self.read_anew(until, key).await,
        }
    }

    /// The same, without the cache.
    pub(crate) async fn read_anew(&self, until: Instant, key: &str) -> Result<Value, NoReply> {
        tracing::debug!("asking Redis");
        let lookup = self.locator.tracking.is_on();
        let lookup = lookup.then(|| self.cache().begin_lookup(key));
        let (value, tracking, _) = self.read_tracked(until, get(key), &[]).await?;
        if let Value::BulkString(value) = &value
            && let (Some(lookup), Some(connection)) = (lookup, tracking)
        {
            lookup.store(connection, value);
        }
        Ok(value)
    }

    /// The value of a key from the server, and whether the server pushes its next change to the
    /// receivers of [`pushed_changes`](Connection::pushed_changes). The key is a change number's.
    /// Then the values of other keys in the same round trip, or `None`: if the server pushes
    /// nothing, or if the keys are on their way to another node.
    pub(crate) async fn read_watched(
        &self,
        until: Instant,
        key: &str,
        others: &[String],
    ) -> Result<(Value, bool, Option<Vec<Value>>), NoReply> {
        let (value, tracking, others) = self.read_tracked(until, get(key), others).await?;
        Ok((value, tracking.is_some(), others))
    }

    /// The reply to a command that reads one key, and whether the server pushes the key's next change to the
    /// receivers of [`pushed_traces`](Connection::pushed_traces). The key is a live trace's.
    pub(crate) async fn read_trace(
        &self,
        until: Instant,
        read: Cmd,
    ) -> Result<(Value, bool), NoReply> {
        let (value, tracking, _) = self.read_tracked(until, read, &[]).await?;
        Ok((value, tracking.is_some()))
    }

    /// The reply to a command that reads one key, and the connection on which the server pushes the key's next
    /// change, if it does. Then the values of `others`, if they were read too.
    async fn read_tracked(
        &self,
        until: Instant,
        get: Cmd,
        others: &[String],
    ) -> Result<(Value, Option<u64>, Option<Vec<Value>>), NoReply> {
        if !self.locator.tracking.is_on() {
            return Ok((self.ask(until, get).await?, None, None));
        }
        // The server then pushes the next change of this key. In the mode that tracks all
        // reads it would also push each renewal of each own name.
        let mut caching = redis::cmd("CLIENT");
        caching.arg("CACHING").arg("YES");
        let mut batch = Pipeline::new();
        batch.add_command(caching).add_command(get.clone());
        if !others.is_empty() {
            let mut read = redis::cmd("MGET");
            read.arg(others);
            batch.add_command(read);
        }
        let mut answered = self.run_over(until, &batch).await?;
        let others = match others {
            [] => None,
            _ => answered.answers.pop().and_then(|answer| match answer {
                Value::Array(values) if values.len() == others.len() => Some(values),
                // Who needs them reads them again, and gets this error.
                _ => None,
            }),
        };
        // Changes on the other node are not pushed to us.
        let is_from_other_node = self.follow_ask(until, &mut answered, &get).await?;
        let Replies {
            connection,
            mut answers,
            ..
        } = answered;
        let value = self.answer(answers.pop())?;
        self.answer(answers.pop())?;
        let others = others.filter(|_| !is_from_other_node);
        Ok((value, (!is_from_other_node).then_some(connection), others))
    }

    /// Waits until the server has sent its pushes about keys that were changed over this
    /// connection, or until `until`.
    ///
    /// A server writes to its clients once per event loop turn, in any order. So the reply to
    /// a change can leave it before the pushes about that change. The reply to a later
    /// command cannot.
    pub(crate) async fn settle(&self, until: Instant, key: &str) {
        // Only the order matters, not the reply.
        drop(self.ask(until, get(key)).await);
    }
}

fn get(key: &str) -> Cmd {
    let mut get = redis::cmd("GET");
    get.arg(key);
    get
}
