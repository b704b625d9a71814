//! Clusters: from any node to the one that has the network's keys.
//!
//! Owns how redirections are followed, and what is done while a slot is migrating. Never keeps a
//! map of the slots: a network needs one slot only.

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

/// How many redirections in a row are followed. More than one is rare; a circle means that
/// the nodes do not agree yet.
const MAX_REDIRECTS: usize = 5;

impl Locator {
    /// Asks a node, and follows its redirections to the node that has the slot.
    pub(crate) async fn by_cluster(
        &self,
        node: &Node,
        new_connection: &NewConnection<'_>,
    ) -> Result<OpenConnection, Failure> {
        let mut node = node.clone();
        for _ in 0..MAX_REDIRECTS {
            let mut found = self.open(&node, new_connection).await?;
            let mut get = redis::cmd("GET");
            get.arg(&self.key);
            let answer: RedisResult<Value> = get.query_async(&mut found.connection).await;
            match answer {
                Ok(_) => return Ok(found),
                // The slot is migrating from this node, and this key does not exist, here or
                // elsewhere. The slot stays this node's until the migration is complete.
                Err(err) if is_migrating(&err) => return Ok(found),
                Err(err) => {
                    node = redirect_target(&err, &node).ok_or_else(|| self.errors.failure(&err))?;
                }
            }
        }
        let text = format!("the cluster redirected {MAX_REDIRECTS} times in a row");
        Err(Failure::because(Cause::RegistryDown, text))
    }

    /// The node that has a key already, if this error says that the key has moved before
    /// the rest of its slot (`ASK`). It holds for this key only.
    pub(crate) fn ahead(&self, err: &RedisError, from: &Node) -> Option<Node> {
        let is_ask = err.kind() == ErrorKind::Server(ServerErrorKind::Ask);
        let is_ours = self.target.kind == Kind::Cluster && is_ask;
        is_ours.then(|| redirect_target(err, from))?
    }

    /// Runs one command at a node that does not have the slot yet (`ASKING`).
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
    /// If the last reply is an `ASK` redirection, runs `cmd` at the node that it names and
    /// puts that node's reply in its place. Returns whether it did.
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

/// Whether a node of a cluster says that this slot is migrating. Commands whose keys are all
/// at one of the two nodes still work, so the connection is good.
pub(crate) fn is_migrating(err: &RedisError) -> bool {
    matches!(
        err.kind(),
        ErrorKind::Server(ServerErrorKind::TryAgain | ServerErrorKind::Ask)
    )
}

/// A cluster node's error for a slot that is migrating from or to it.
#[derive(Debug)]
pub(crate) struct SlotMigrating(pub(crate) String);

impl fmt::Display for SlotMigrating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SlotMigrating(said) = self;
        write!(
            f,
            "{said}; the hash slot of this network is being moved to another node of the \
             cluster: names cannot be registered until that is done"
        )
    }
}

impl Error for SlotMigrating {}

impl SlotMigrating {
    /// This error, if it is the reason for a failure.
    pub(crate) fn of(failure: &Failure) -> Option<&SlotMigrating> {
        failure.detail()?.downcast_ref()
    }
}

/// The node that a redirection names.
fn redirect_target(err: &RedisError, from: &Node) -> Option<Node> {
    let (target, _slot) = err.redirect_node()?;
    let (host, port) = target.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    // A node that does not know its own host name sends an empty one.
    let host = if host.is_empty() { &from.0 } else { host };
    Some((host.to_owned(), port.parse().ok()?))
}
