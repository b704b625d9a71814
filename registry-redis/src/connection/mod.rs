//! The link: the one connection to Redis, and its replacement.
//!
//! Owns the connection and the bound on every wait for it. Never knows what the
//! commands mean, only that running one twice does no harm.
//!
//! Why not the client library's own reconnecting connection: its callers wait
//! together for one shared attempt, with retries and pauses that no caller can
//! bound. Here a call that finds no connection makes one, within the time it has; if
//! that ends first, the next call goes on with what it began.

pub(crate) mod cluster;
pub(crate) mod connecting;
pub(crate) mod current;
pub(crate) mod locate;
pub(crate) mod sentinel;
pub(crate) mod stranger;
pub(crate) mod tls;
pub(crate) mod tracking;
pub(crate) mod url;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use virtnet_core::Failure;

use crate::cache::Cache;
use crate::connection::connecting::connect;
use crate::connection::current::{Current, Numbered};
use crate::connection::locate::Locator;
use crate::connection::tracking::Tracking;
use crate::connection::url::{Kind, Node, RedisUrl};
use crate::error::{self, ServerErrors};
use crate::options::RedisOptions;

pub(crate) struct Connection {
    pub(crate) locator: Arc<Locator>,
    deadline: Duration,
    /// The right to connect, and how far that got: one attempt at a time, so that
    /// a returning server is not met by as many connections as there are calls.
    ///
    /// It is held across awaits on purpose: who has it polls the attempt. A call
    /// that ends leaves it to the next; were it dropped, none would ever be
    /// through while calls that have little time left are queueing.
    turn: Mutex<Option<Attempt>>,
    slot: Arc<Current>,
}

/// Connecting, whoever waits for it, with a deadline of its own.
struct Attempt {
    until: Instant,
    connecting: Pin<Box<dyn Future<Output = Result<Numbered, Failure>> + Send>>,
}

/// Commands that were answered.
pub(crate) struct Answered {
    /// The number of the connection over which the answers came.
    pub(crate) connection: u64,
    /// The server that gave them.
    pub(crate) node: Node,
    pub(crate) answers: Vec<Value>,
    /// Whether the server, or the one before it, may have got them before.
    maybe_done: bool,
}

/// Commands that were not answered.
pub(crate) struct Unanswered {
    pub(crate) failure: Failure,
    /// Whether the server may have got them, or get them yet.
    pub(crate) maybe_done: bool,
}

impl Connection {
    /// A link without a connection yet, to the server that has `key`. It reads
    /// the files for TLS.
    pub(crate) async fn new(
        target: RedisUrl,
        key: &str,
        options: &RedisOptions,
    ) -> Result<Connection, Failure> {
        let deadline = options.bound();
        let memory = Cache::new(options.remembered());
        let reading = timeout_at(Instant::now() + deadline, options.tls.read());
        let certificates = reading.await.map_err(|_| error::late(deadline))??;
        let locator = Locator {
            faults: ServerErrors::new(target.password()).of_cluster(target.kind == Kind::Cluster),
            certificates,
            tcp: locate::tcp_settings(deadline),
            tracking: Tracking::new(memory.is_on()),
            key: key.to_owned(),
            target,
        };
        locator.check()?;
        Ok(Connection {
            locator: Arc::new(locator),
            deadline,
            turn: Mutex::new(None),
            slot: Arc::new(Current::new(memory)),
        })
    }

    /// A link to the same place that shares no connection with this one, and remembers
    /// nothing.
    pub(crate) fn afresh(&self, deadline: Duration) -> Connection {
        Connection {
            locator: Arc::clone(&self.locator),
            deadline,
            turn: Mutex::new(None),
            slot: Arc::new(Current::new(Cache::new(Duration::ZERO))),
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

    pub(crate) fn faults(&self) -> &ServerErrors {
        &self.locator.faults
    }

    pub(crate) fn memory(&self) -> &Cache {
        &self.slot.ear.memory
    }

    /// Waits until the server may have forgotten what it knew of us.
    pub(crate) async fn shaken(&self) {
        self.slot.shaken().await;
    }

    /// Runs one command; the error is the server's, or that there is none.
    pub(crate) async fn ask(&self, until: Instant, cmd: Cmd) -> Result<Value, Unanswered> {
        let mut batch = Pipeline::new();
        batch.add_command(cmd.clone());
        let mut answered = self.run_over(until, &batch).await?;
        self.answer_ahead(until, &mut answered, &cmd).await?;
        self.answer(answered.answers.pop())
            .map_err(|unanswered| Unanswered {
                // That it is refused now does not undo what it did then.
                maybe_done: answered.maybe_done,
                ..unanswered
            })
    }

    /// One of a batch's answers, if it is not the server's error.
    pub(crate) fn answer(&self, answer: Option<Value>) -> Result<Value, Unanswered> {
        // The client library collects as many answers as there are commands.
        self.checked(answer.unwrap_or_default())
            .map_err(|failure| Unanswered {
                failure,
                maybe_done: false,
            })
    }

    /// An answer, if it is not the server's error.
    pub(crate) fn checked(&self, answer: Value) -> Result<Value, Failure> {
        answer
            .extract_error()
            .map_err(|err| self.faults().failure(&err))
    }

    /// Runs commands that may be run twice, and returns their answers, the
    /// server's errors among them.
    ///
    /// Commands of one task that goes on over the same connection arrive in
    /// order, those of a dropped call included.
    pub(crate) async fn run(
        &self,
        until: Instant,
        batch: &Pipeline,
    ) -> Result<Vec<Value>, Unanswered> {
        Ok(self.run_over(until, batch).await?.answers)
    }

    /// The same, with how the answers came about.
    pub(crate) async fn run_over(
        &self,
        until: Instant,
        batch: &Pipeline,
    ) -> Result<Answered, Unanswered> {
        let mut maybe_done = false;
        // A connection may have died while idle, or have a node at its other
        // end that was demoted: that is found out by using it. So the commands
        // are repeated once, over a new connection.
        for last in [false, true] {
            let mut current = self.connection(until).await.map_err(|failure| Unanswered {
                failure,
                maybe_done,
            })?;
            let begin = Instant::now();
            let sent = current
                .connection
                .send_packed_commands(batch, 0, batch.len());
            let answered = timeout_at(until, sent).await;
            // Nothing says that a path without an answer is not dead for good,
            // unless the call's time was nearly over when this was sent.
            let was_hasty = answered.is_err() && begin.elapsed() < self.deadline / 2;
            let failure = match answered {
                Ok(Ok(answers)) if last || !answers.iter().any(is_passing) => {
                    return Ok(Answered {
                        connection: current.number,
                        node: current.node,
                        answers,
                        maybe_done,
                    });
                }
                Ok(Ok(_)) => {
                    self.slot.discard(current.number);
                    continue;
                }
                Ok(Err(err)) if !last && err.is_connection_dropped() => {
                    maybe_done = true;
                    self.slot.discard(current.number);
                    continue;
                }
                Ok(Err(err)) => {
                    let why = timeout_at(until, self.locator.cut_off(&current.node, &err));
                    why.await.unwrap_or_else(|_| self.faults().failure(&err))
                }
                Err(_) => error::late(self.deadline),
            };
            if !was_hasty {
                self.slot.discard(current.number);
            }
            return Err(Unanswered {
                failure,
                maybe_done: true,
            });
        }
        unreachable!("the last round returns")
    }

    /// Drops the connection. It ends once the last call on it has.
    pub(crate) fn hang_up(&self) {
        // Only a call that was not polled since the close can have the turn.
        if let Ok(mut turn) = self.turn.try_lock() {
            *turn = None;
        }
        if let Some(current) = self.slot.current() {
            self.slot.discard(current.number);
        }
    }

    async fn connection(&self, until: Instant) -> Result<Numbered, Failure> {
        if let Some(sure) = self.sure() {
            return Ok(sure);
        }
        let connected = timeout_at(until, async {
            let mut turn = self.turn.lock().await;
            if let Some(sure) = self.sure() {
                return Ok(sure);
            }
            if let Some(current) = self.slot.current() {
                let begin = Instant::now();
                let within = self.deadline / 4;
                if !self.locator.is_replaced(&current.node, within).await {
                    self.slot.confirm(current.number, begin);
                    return Ok(current);
                }
                self.slot.discard(current.number);
            }
            // What nobody went on with in time may have been overtaken by events.
            turn.take_if(|attempt| attempt.until <= Instant::now());
            let attempt = turn.get_or_insert_with(|| self.attempt());
            let connected = attempt.connecting.as_mut().await;
            *turn = None;
            connected.inspect(|current| self.slot.install(current.clone()))
        });
        let connected = connected.await;
        connected.unwrap_or_else(|_| Err(error::late(self.deadline)))
    }

    /// The connection, if it need not be asked for whether it is the right one.
    fn sure(&self) -> Option<Numbered> {
        match self.locator.good_for() {
            Some(age) => self.slot.confirmed_within(age),
            None => self.slot.current(),
        }
    }

    fn attempt(&self) -> Attempt {
        let (until, deadline) = (self.until(), self.deadline);
        let (locator, slot) = (Arc::clone(&self.locator), Arc::clone(&self.slot));
        let connecting = Box::pin(async move {
            let connected = timeout_at(until, connect(&locator, &slot)).await;
            connected.unwrap_or_else(|_| Err(error::late(deadline)))
        });
        Attempt { until, connecting }
    }
}

/// Whether another connection is to be tried for this answer's sake.
fn is_passing(answer: &Value) -> bool {
    match answer {
        Value::ServerError(err) => {
            let err = err.clone().into();
            error::is_passing(&err) && !cluster::is_moving(&err)
        }
        _ => false,
    }
}
