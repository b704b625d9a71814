//! Lookups: the value of one key, from memory where that is right.
//!
//! Owns when the server is asked. Never remembers what the server does not
//! promise to take back.

use redis::{Pipeline, Value};
use tokio::task::coop::consume_budget;
use tokio::time::Instant;

use crate::connection::{Connection, NoReply, Replies};

impl Connection {
    /// The value of a key, remembered or asked for; an error of the server's is
    /// a failure.
    pub(crate) async fn read(&self, until: Instant, key: &str) -> Result<Value, NoReply> {
        match self.cache().get(key) {
            Some(value) => {
                tracing::debug!("remembered");
                // Who asks in a loop must let the connection's task read what it is
                // pushed.
                consume_budget().await;
                Ok(Value::BulkString(value))
            }
            None => self.read_anew(until, key).await,
        }
    }

    /// The same, past any memory.
    pub(crate) async fn read_anew(&self, until: Instant, key: &str) -> Result<Value, NoReply> {
        tracing::debug!("asking Redis");
        let mut get = redis::cmd("GET");
        get.arg(key);
        if !self.locator.tracking.is_on() {
            return self.ask(until, get).await;
        }
        let lookup = self.cache().begin_lookup(key);
        // The server then pushes when this key changes, this once. Without it
        // (in the mode that tracks all reads) it would also push each renewal
        // of each own name.
        let mut caching = redis::cmd("CLIENT");
        caching.arg("CACHING").arg("YES");
        let mut batch = Pipeline::new();
        batch.add_command(caching).add_command(get.clone());
        let mut answered = self.run_over(until, &batch).await?;
        // Nobody tells us of its changes there.
        let is_from_other_node = self.follow_ask(until, &mut answered, &get).await?;
        let Replies {
            connection,
            mut answers,
            ..
        } = answered;
        let value = self.answer(answers.pop())?;
        self.answer(answers.pop())?;
        if let Value::BulkString(value) = &value
            && !is_from_other_node
        {
            lookup.store(connection, value);
        }
        Ok(value)
    }

    /// Waits until those who remember keys that were changed over this link
    /// have been sent the news, or until it is too late.
    ///
    /// A server writes out what its clients are due once for all commands of a
    /// turn, in any order: so a change's answer can leave it before the news to
    /// others does. The answer to a later command can't.
    pub(crate) async fn settle(&self, until: Instant, key: &str) {
        let mut get = redis::cmd("GET");
        get.arg(key);
        // It is about the order only: what the answer is is of no interest.
        drop(self.ask(until, get).await);
    }
}
