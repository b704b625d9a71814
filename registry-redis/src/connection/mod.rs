//! Connection: the one connection to Redis, and its replacement.
//!
//! Owns the connection and the bound on every wait for it. Never knows what the
//! commands mean, only that running one twice does no harm.
//!
//! Why not the client library's own reconnecting connection: its callers wait
//! together for one shared attempt, with retries and pauses that no caller can
//! bound. Here a call without a connection waits for the attempt under way, or begins
//! one, within its own deadline; if the deadline passes first, the others go on with it.

mod attempt;
pub(crate) mod cluster;
pub(crate) mod connecting;
pub(crate) mod current;
pub(crate) mod error;
pub(crate) mod locate;
pub(crate) mod lookup;
pub(crate) mod not_redis;
pub(crate) mod sentinel;
pub(crate) mod tls;
pub(crate) mod tracking;
pub(crate) mod url;

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use virtnet_core::Failure;

use crate::cache::Cache;
use crate::connection::attempt::{Attempt, Attempts};
use crate::connection::connecting::connect;
use crate::connection::current::{Current, OpenConnection};
use crate::connection::error::ServerErrors;
use crate::connection::locate::Locator;
use crate::connection::tracking::Tracking;
use crate::connection::url::{Kind, Node, RedisUrl};
use crate::options::RedisOptions;

pub(crate) struct Connection {
    pub(crate) locator: Arc<Locator>,
    deadline: Duration,
    attempts: Attempts,
    current: Arc<Current>,
}

/// The replies to commands.
pub(crate) struct Replies {
    /// The number of the connection over which they came.
    pub(crate) connection: u64,
    /// The server that sent them.
    pub(crate) node: Node,
    pub(crate) answers: Vec<Value>,
    /// Whether this server, or the one before it, may have run the commands before.
    maybe_applied: bool,
}

/// There was no reply, or an error.
pub(crate) struct NoReply {
    pub(crate) failure: Failure,
    /// Whether the server may have run the commands, or may still do so.
    pub(crate) maybe_applied: bool,
}

impl Connection {
    /// A value for the server that has `key`. It reads the files for TLS, and does not
    /// connect yet.
    pub(crate) async fn new(
        target: RedisUrl,
        key: &str,
        options: &RedisOptions,
    ) -> Result<Connection, Failure> {
        let deadline = options.limited_deadline();
        let cache = Cache::new(options.cache_lifetime());
        let reading = timeout_at(Instant::now() + deadline, tls::read_files(options));
        let certificates = reading.await.map_err(|_| error::late(deadline))??;
        let locator = Locator {
            errors: ServerErrors::new(target.password()).of_cluster(target.kind == Kind::Cluster),
            certificates,
            tcp: locate::tcp_settings(deadline),
            tracking: Tracking::new(cache.is_on()),
            key: key.to_owned(),
            target,
        };
        locator.check()?;
        Ok(Connection {
            locator: Arc::new(locator),
            deadline,
            attempts: Attempts::default(),
            current: Arc::new(Current::new(cache)),
        })
    }

    /// A value for the same server, with a connection of its own and without a cache.
    pub(crate) fn separate(&self, deadline: Duration) -> Connection {
        Connection {
            locator: Arc::clone(&self.locator),
            deadline,
            attempts: Attempts::default(),
            current: Arc::new(Current::new(Cache::new(Duration::ZERO))),
        }
    }

    /// How long a call may take.
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// When a call that begins now must have ended.
    pub(crate) fn until(&self) -> Instant {
        Instant::now() + self.deadline
    }

    pub(crate) fn errors(&self) -> &ServerErrors {
        &self.locator.errors
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.current.push_listener.cache
    }

    /// Waits until the server may have lost names of ours, or did so since the last wait.
    pub(crate) async fn possible_data_loss(&self) {
        self.current.possible_data_loss().await;
    }

    /// Receives a notification whenever a change number may have changed: the server pushed that,
    /// all data was flushed, or the connection was lost or replaced.
    pub(crate) fn pushed_changes(&self) -> watch::Receiver<()> {
        self.current.push_listener.changes.subscribe()
    }

    /// The same for the live trace.
    pub(crate) fn pushed_traces(&self) -> watch::Receiver<()> {
        self.current.push_listener.traces.subscribe()
    }

    /// Runs one command. An error reply is an error.
    pub(crate) async fn ask(&self, until: Instant, cmd: Cmd) -> Result<Value, NoReply> {
        Ok(self.ask_and_tell(until, cmd).await?.0)
    }

    /// The same; tells whether the command may have been run twice, of which this is the second
    /// reply.
    pub(crate) async fn ask_and_tell(
        &self,
        until: Instant,
        cmd: Cmd,
    ) -> Result<(Value, bool), NoReply> {
        let mut batch = Pipeline::new();
        batch.add_command(cmd.clone());
        let mut answered = self.run_over(until, &batch).await?;
        self.follow_ask(until, &mut answered, &cmd).await?;
        let maybe_applied = answered.maybe_applied;
        match self.answer(answered.answers.pop()) {
            Ok(answer) => Ok((answer, maybe_applied)),
            // An error reply now does not undo what an earlier run did.
            Err(no_reply) => Err(NoReply {
                maybe_applied,
                ..no_reply
            }),
        }
    }

    /// The same for a command that is followed by another one, with the reply to that: `None`, if
    /// the server did not run it after the first.
    pub(crate) async fn ask_and_tell_then(
        &self,
        until: Instant,
        cmd: Cmd,
        then: Cmd,
    ) -> Result<((Value, bool), Option<Value>), NoReply> {
        let mut batch = Pipeline::new();
        batch.add_command(cmd.clone()).add_command(then);
        let mut answered = self.run_over(until, &batch).await?;
        let second = answered.answers.pop();
        let is_from_other_node = self.follow_ask(until, &mut answered, &cmd).await?;
        let maybe_applied = answered.maybe_applied;
        match self.answer(answered.answers.pop()) {
            Ok(answer) => Ok((
                (answer, maybe_applied),
                second.filter(|_| !is_from_other_node),
            )),
            Err(no_reply) => Err(NoReply {
                maybe_applied,
                ..no_reply
            }),
        }
    }

    /// One of a batch's replies, unless it is an error reply.
    pub(crate) fn answer(&self, answer: Option<Value>) -> Result<Value, NoReply> {
        // The client library collects as many replies as there are commands.
        self.checked(answer.unwrap_or_default())
            .map_err(|failure| NoReply {
                failure,
                maybe_applied: false,
            })
    }

    /// A reply, unless it is an error reply.
    pub(crate) fn checked(&self, answer: Value) -> Result<Value, Failure> {
        answer
            .extract_error()
            .map_err(|err| self.errors().failure(&err))
    }

    /// Runs commands that may be run twice, and returns their replies, error replies
    /// included.
    ///
    /// Commands that one task sends over the same connection arrive in order, those of
    /// a dropped call included.
    pub(crate) async fn run(
        &self,
        until: Instant,
        batch: &Pipeline,
    ) -> Result<Vec<Value>, NoReply> {
        Ok(self.run_over(until, batch).await?.answers)
    }

    /// The same, with the connection over which the replies came.
    pub(crate) async fn run_over(
        &self,
        until: Instant,
        batch: &Pipeline,
    ) -> Result<Replies, NoReply> {
        let mut maybe_applied = false;
        // A connection may have died while idle, or its node may have been demoted.
        // Only its use shows that, so the commands are repeated once, over a new one.
        for last in [false, true] {
            let mut current = self.connection(until).await.map_err(|failure| NoReply {
                failure,
                maybe_applied,
            })?;
            let begin = Instant::now();
            let sent = current
                .connection
                .send_packed_commands(batch, 0, batch.len());
            let answered = timeout_at(until, sent).await;
            // A connection without a reply may be dead for good, unless most of the
            // call's time had passed when the commands were sent.
            let was_hasty = answered.is_err() && begin.elapsed() < self.deadline / 2;
            let failure = match answered {
                Ok(Ok(answers)) if last || !answers.iter().any(is_passing) => {
                    return Ok(Replies {
                        connection: current.number,
                        node: current.node,
                        answers,
                        maybe_applied,
                    });
                }
                Ok(Ok(_)) => {
                    self.current.discard(current.number);
                    continue;
                }
                Ok(Err(err)) if !last && err.is_connection_dropped() => {
                    maybe_applied = true;
                    self.current.discard(current.number);
                    continue;
                }
                Ok(Err(err)) => {
                    let why = timeout_at(until, self.locator.why_dropped(&current.node, &err));
                    why.await.unwrap_or_else(|_| self.errors().failure(&err))
                }
                Err(_) => error::late(self.deadline),
            };
            if !was_hasty {
                self.current.discard(current.number);
            }
            return Err(NoReply {
                failure,
                maybe_applied: true,
            });
        }
        unreachable!("the last round returns")
    }

    /// Drops the connection. It ends once the last call on it has.
    pub(crate) fn disconnect(&self) {
        self.attempts.cancel();
        if let Some(current) = self.current.get() {
            self.current.discard(current.number);
        }
    }

    async fn connection(&self, until: Instant) -> Result<OpenConnection, Failure> {
        if let Some(current) = self.confirmed() {
            return Ok(current);
        }
        let attempts = &self.attempts;
        let connected = attempts.connected(|| self.confirmed(), || self.attempt());
        let connected = timeout_at(until, connected).await;
        connected.unwrap_or_else(|_| Err(error::late(self.deadline)))
    }

    /// The connection, if it still counts as leading to the right server.
    fn confirmed(&self) -> Option<OpenConnection> {
        match self.locator.confirmed_for() {
            Some(age) => self.current.confirmed_within(age),
            None => self.current.get(),
        }
    }

    fn attempt(&self) -> Attempt {
        let (until, deadline) = (self.until(), self.deadline);
        let (locator, current) = (Arc::clone(&self.locator), Arc::clone(&self.current));
        let connecting = Box::pin(async move {
            let connected = timeout_at(until, async {
                if let Some(open) = current.get() {
                    let begin = Instant::now();
                    if !locator.is_replaced(&open.node, deadline / 4).await {
                        current.confirm(open.number, begin);
                        return Ok(open);
                    }
                    current.discard(open.number);
                }
                let connected = connect(&locator, &current).await?;
                current.install(connected.clone());
                Ok(connected)
            });
            let connected = connected.await;
            connected.unwrap_or_else(|_| Err(error::late(deadline)))
        });
        Attempt { until, connecting }
    }
}

/// Whether this reply is a reason to try another connection.
fn is_passing(answer: &Value) -> bool {
    match answer {
        Value::ServerError(err) => {
            let err = err.clone().into();
            error::is_passing(&err) && !cluster::is_migrating(&err)
        }
        _ => false,
    }
}
