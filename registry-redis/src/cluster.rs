//! Clusters: from any node to the one that has the network's keys.
//!
//! Owns how the nodes' pointers are followed. Never keeps a map of the slots:
//! one network has one, and whoever has it says so.

use redis::{RedisError, RedisResult, Value};
use virtnet_core::{Cause, Failure};

use crate::locate::{Fresh, Locator};
use crate::slot::Numbered;
use crate::target::Node;

/// How often a cluster may point elsewhere in a row. More than one move at a
/// time is rare; a circle is a cluster that has not made up its mind.
const MOST_MOVES: usize = 5;

impl Locator {
    /// Asks a node, and follows where it and those after it point to.
    pub(crate) async fn by_cluster(
        &self,
        node: &Node,
        fresh: &Fresh<'_>,
    ) -> Result<Numbered, Failure> {
        let mut node = node.clone();
        for _ in 0..MOST_MOVES {
            let mut found = self.open(&node, fresh).await?;
            let mut get = redis::cmd("GET");
            get.arg(&self.key);
            let answer: RedisResult<Value> = get.query_async(&mut found.connection).await;
            match answer {
                Ok(_) => return Ok(found),
                Err(err) => node = moved(&err, &node).ok_or_else(|| self.faults.failure(&err))?,
            }
        }
        let text = format!("the nodes of the cluster have sent us on {MOST_MOVES} times");
        Err(Failure::because(Cause::RegistryDown, text))
    }
}

/// Where a node of a cluster points to.
fn moved(err: &RedisError, from: &Node) -> Option<Node> {
    let (place, _slot) = err.redirect_node()?;
    let (host, port) = place.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    // A node that does not know its own name leaves it out.
    let host = if host.is_empty() { &from.0 } else { host };
    Some((host.to_owned(), port.parse().ok()?))
}
