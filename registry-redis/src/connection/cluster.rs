//! Clusters: from any node to the one that has the network's keys.
//!
//! Owns how the nodes' pointers are followed, and what a slot on its way means. Never keeps a map of the slots:
//! one network has one, and whoever has it says so.

use std::error::Error;
use std::fmt;

use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::time::{Instant, timeout_at};
use virtnet_core::{Cause, Failure};

use crate::connection::current::OpenConnection;
use crate::connection::error;
use crate::connection::locate::{Locator, NewConnection, config};
use crate::connection::url::{Kind, Node};
use crate::connection::{Connection, NoReply, Replies};

/// How often a cluster may point elsewhere in a row. More than one move at a
/// time is rare; a circle is a cluster that has not made up its mind.
const MOST_MOVES: usize = 5;

impl Locator {
    /// Asks a node, and follows where it and those after it point to.
    pub(crate) async fn by_cluster(
        &self,
        node: &Node,
        new_connection: &NewConnection<'_>,
    ) -> Result<OpenConnection, Failure> {
        let mut node = node.clone();
        for _ in 0..MOST_MOVES {
            let mut found = self.open(&node, new_connection).await?;
            let mut get = redis::cmd("GET");
            get.arg(&self.key);
            let answer: RedisResult<Value> = get.query_async(&mut found.connection).await;
            match answer {
                Ok(_) => return Ok(found),
                // The slot is on its way from here, and this key is not here, as it never
                // is anywhere. But the slot is this node's until all of it has left.
                Err(err) if is_migrating(&err) => return Ok(found),
                Err(err) => {
                    node = place(&err, &node).ok_or_else(|| self.errors.failure(&err))?;
                }
            }
        }
        let text = format!("the nodes of the cluster have sent us on {MOST_MOVES} times");
        Err(Failure::because(Cause::RegistryDown, text))
    }

    /// Where a key is for now, if a node says by this error that it has gone ahead of
    /// its slot. Others than this key are not to be looked for there.
    pub(crate) fn ahead(&self, err: &RedisError, from: &Node) -> Option<Node> {
        let is_ask = err.kind() == ErrorKind::Server(ServerErrorKind::Ask);
        let is_ours = self.target.kind == Kind::Cluster && is_ask;
        is_ours.then(|| place(err, from))?
    }

    /// Runs one command at a node that does not have the slot yet.
    pub(crate) async fn run_asking(&self, node: &Node, cmd: &Cmd) -> Result<Value, Failure> {
        let mut found = self.open(node, &|| (0, config())).await?;
        let mut batch = Pipeline::new();
        batch.cmd("ASKING").ignore().add_command(cmd.clone());
        let answer = batch.query_async(&mut found.connection).await;
        let (answer,) = self.checked(answer)?;
        Ok(answer)
    }
}

impl Connection {
    /// Puts the right answer to the last of the commands in place, if its key has gone
    /// ahead of its slot to another node of the cluster. Returns whether it had.
    pub(crate) async fn follow_ask(
        &self,
        until: Instant,
        answered: &mut Replies,
        cmd: &Cmd,
    ) -> Result<bool, NoReply> {
        let Some(Value::ServerError(err)) = answered.answers.last() else {
            return Ok(false);
        };
        let ahead = self.locator.ahead(&err.clone().into(), &answered.node);
        let Some(node) = ahead else {
            return Ok(false);
        };
        let running = timeout_at(until, self.locator.run_asking(&node, cmd)).await;
        let answer = running.unwrap_or_else(|_| Err(error::late(self.deadline())));
        let answer = answer.map_err(|failure| NoReply {
            failure,
            maybe_applied: true,
        })?;
        answered.answers.pop();
        answered.answers.push(answer);
        Ok(true)
    }
}

/// Whether a node of a cluster says that it is giving this slot away, or getting it:
/// what has all its keys at one of the two is answered, so the connection is good.
pub(crate) fn is_migrating(err: &RedisError) -> bool {
    matches!(
        err.kind(),
        ErrorKind::Server(ServerErrorKind::TryAgain | ServerErrorKind::Ask)
    )
}

/// What a node of a cluster said of a slot that it is giving away, or getting.
#[derive(Debug)]
pub(crate) struct SlotMigrating(pub(crate) String);

impl fmt::Display for SlotMigrating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SlotMigrating(said) = self;
        write!(
            f,
            "{said}; the slot of the network's keys is being moved to another node of the \
             cluster, and takes no new names until it has arrived"
        )
    }
}

impl Error for SlotMigrating {}

impl SlotMigrating {
    /// What was said, if that is why something failed.
    pub(crate) fn of(failure: &Failure) -> Option<&SlotMigrating> {
        failure.detail()?.downcast_ref()
    }
}

/// Where a node of a cluster points to.
fn place(err: &RedisError, from: &Node) -> Option<Node> {
    let (place, _slot) = err.redirect_node()?;
    let (host, port) = place.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    // A node that does not know its own name leaves it out.
    let host = if host.is_empty() { &from.0 } else { host };
    Some((host.to_owned(), port.parse().ok()?))
}
