//! The live trace of a network: a stream that any process appends to, and how readers notice new batches.
//!
//! Owns the calls. Never keeps a batch: each call asks the server.

mod script;

use std::time::Duration;

use async_trait::async_trait;
use redis::Value;
use tokio::time::{Instant, timeout};
use virtnet_core::{
    Cause, Failure, MAX_TRACE_READ, RegistryError, TracePosition, Traces, check_trace_batch,
};

use crate::registry::RedisRegistry;
use crate::registry::inner::RegistryInner;
use crate::traces::script::TEXT;

/// How often a stream is read whose change the server pushes: the push can be lost with a connection
/// that is dead without anybody noticing.
const PUSHED: Duration = Duration::from_secs(5);
/// How often it is read if the server pushes nothing.
const NOT_PUSHED: Duration = Duration::from_millis(100);

/// Batches in order, with their places.
type Batches = Vec<(TracePosition, String)>;

/// An entry of a stream: its id, and its fields, each followed by its value.
type StreamEntry = (String, Vec<Vec<u8>>);

impl RegistryInner {
    async fn append_trace(&self, until: Instant, batch: &str) -> Result<TracePosition, Failure> {
        check_trace_batch(batch)?;
        let append = script::append(&self.keys, batch);
        let answer = self.connection.ask(until, append).await;
        let id: String = self.typed(answer.map_err(|no_reply| no_reply.failure)?)?;
        self.position(&id)
    }

    async fn read_traces(&self, until: Instant, after: TracePosition) -> Result<Batches, Failure> {
        let answer = self.connection.ask(until, self.range(after)).await;
        self.batches(answer.map_err(|no_reply| no_reply.failure)?)
    }

    /// Reads until there is something.
    async fn next_traces(&self, after: TracePosition) -> Result<Batches, Failure> {
        // From before the first read, so that a push after it is noticed.
        let mut pushes = self.connection.pushed_traces();
        loop {
            pushes.mark_unchanged();
            let until = self.connection.until();
            let read = self.connection.read_trace(until, self.range(after));
            let (answer, is_pushed) = read.await.map_err(|no_reply| no_reply.failure)?;
            let batches = self.batches(answer)?;
            if !batches.is_empty() {
                return Ok(batches);
            }
            let interval = if is_pushed { PUSHED } else { NOT_PUSHED };
            // Either way, it is read again.
            let _ = timeout(interval, pushes.changed()).await;
        }
    }

    async fn last_trace(&self, until: Instant) -> Result<TracePosition, Failure> {
        let mut last = redis::cmd("XREVRANGE");
        last.arg(self.keys.trace()).arg("+").arg("-");
        last.arg("COUNT").arg(1);
        let answer = self.connection.ask(until, last).await;
        let batches = self.batches(answer.map_err(|no_reply| no_reply.failure)?)?;
        Ok(batches
            .first()
            .map_or_else(TracePosition::default, |(at, _)| *at))
    }

    async fn remove_traces(&self, until: Instant) -> Result<(), Failure> {
        let mut del = redis::cmd("DEL");
        del.arg(self.keys.trace());
        let removed = self.connection.ask(until, del).await;
        removed.map(drop).map_err(|no_reply| no_reply.failure)
    }

    /// The command that reads the batches after `after`.
    fn range(&self, after: TracePosition) -> redis::Cmd {
        // Ranges that exclude their begin need Redis 6.2.
        let TracePosition { stream, number } = after;
        let first = TracePosition {
            stream,
            number: number.saturating_add(1),
        };
        let mut range = redis::cmd("XRANGE");
        range.arg(self.keys.trace()).arg(first.to_string()).arg("+");
        range.arg("COUNT").arg(MAX_TRACE_READ);
        range
    }

    fn batches(&self, answer: Value) -> Result<Batches, Failure> {
        let entries: Vec<StreamEntry> = self.typed(answer)?;
        let entries = entries.into_iter().map(|(id, fields)| {
            let at = self.position(&id)?;
            let mut pairs = fields.chunks_exact(2);
            let text = pairs.find(|pair| pair[0] == TEXT.as_bytes());
            let text = text.and_then(|pair| String::from_utf8(pair[1].clone()).ok());
            text.map(|text| (at, text)).ok_or_else(|| self.foreign(&id))
        });
        entries.collect()
    }

    fn position(&self, id: &str) -> Result<TracePosition, Failure> {
        let parts = id.split_once('-');
        let parts = parts.and_then(|(stream, number)| {
            let (stream, number) = (stream.parse().ok()?, number.parse().ok()?);
            Some(TracePosition { stream, number })
        });
        parts.ok_or_else(|| self.foreign(id))
    }

    fn foreign(&self, id: &str) -> Failure {
        let key = self.keys.trace();
        let what = format!("the stream {key:?} has an entry {id:?} that no registry wrote");
        Failure::wrap(Cause::Protocol, what)
    }
}

#[async_trait]
impl Traces for RedisRegistry {
    async fn append(&self, batch: &str) -> Result<TracePosition, RegistryError> {
        let append = self
            .inner
            .append_trace(self.inner.connection.until(), batch);
        self.call("append to trace", &[], append).await
    }

    /// Reads batches.
    ///
    /// # Errors
    ///
    /// Those of the trait; [`Cause::Protocol`] if no registry wrote one of them.
    async fn read(&self, after: TracePosition) -> Result<Batches, RegistryError> {
        let read = self.inner.read_traces(self.inner.connection.until(), after);
        self.call("read trace", &[], read).await
    }

    /// Reads batches, and again when Redis pushes that there are new ones; every 100 ms if the server pushes
    /// nothing. Fails while Redis cannot be reached.
    ///
    /// # Errors
    ///
    /// Those of the trait; [`Cause::Protocol`] if no registry wrote one of the batches.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no batch: the next call with the same `after` returns it.
    async fn next(&self, after: TracePosition) -> Result<Batches, RegistryError> {
        let next = self.inner.next_traces(after);
        self.call("follow trace", &[], next).await
    }

    async fn last(&self) -> Result<TracePosition, RegistryError> {
        let last = self.inner.last_trace(self.inner.connection.until());
        self.call("read trace", &[], last).await
    }

    async fn clear(&self) -> Result<(), RegistryError> {
        let remove = self.inner.remove_traces(self.inner.connection.until());
        self.call("remove trace", &[], remove).await
    }
}
