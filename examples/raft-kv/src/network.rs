//! The network as openraft sees it: calls to the other nodes.
//!
//! Owns the translation between openraft's calls and [`Links`]. Never waits
//! longer than openraft allows, and never repeats a call: openraft does.

use std::sync::Arc;
use std::time::Duration;

use openraft::error::{InstallSnapshotError, RPCError, RaftError, RemoteError};
use openraft::error::{Timeout, Unreachable};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{AnyError, BasicNode, RPCTypes, RaftNetwork, RaftNetworkFactory};

use crate::links::{CallError, Links};
use crate::peers::NodeId;
use crate::protocol::{Request, Response};
use crate::store::Types;

/// How long openraft waits before it calls a node again that it got no answer from: it
/// doubles from the first to the longest. Short at first, as a connection that was kept
/// for the next call breaks once when the node that it led to is another one now.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Makes a [`Peer`] for each node that openraft calls.
pub struct Network {
    id: NodeId,
    links: Arc<Links>,
}

impl Network {
    /// The network of the node `id`, by these links.
    pub fn new(id: NodeId, links: Links) -> Network {
        let links = Arc::new(links);
        Network { id, links }
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: NodeId, node: &BasicNode) -> Peer {
        Peer {
            id: self.id,
            target,
            addr: node.addr.clone(),
            links: Arc::clone(&self.links),
        }
    }
}

/// One other node, for one of openraft's tasks. All that call the same node share
/// the pool.
pub struct Peer {
    id: NodeId,
    target: NodeId,
    addr: String,
    links: Arc<Links>,
}

type Called<T, E = RaftError<NodeId>> = Result<T, RPCError<NodeId, BasicNode, E>>;

impl Peer {
    /// One call, and what openraft is to make of its failure.
    ///
    /// Nearly all is *unreachable*, after which openraft waits: after every other
    /// failure it calls again at once, and would do so as fast as it can for as long as
    /// a node is there and answers nothing of use. A call that was too late has waited
    /// already.
    async fn call<T, E: std::error::Error>(
        &self,
        action: RPCTypes,
        request: Request,
        option: RPCOption,
        expected: impl FnOnce(Response) -> Result<Result<T, RaftError<NodeId, E>>, String>,
    ) -> Called<T, RaftError<NodeId, E>> {
        let within = option.hard_ttl();
        let response = match self.links.call(&self.addr, &request, within).await {
            Ok(response) => response,
            Err(CallError::Late { within, .. }) => {
                let (id, target) = (self.id, self.target);
                return Err(RPCError::Timeout(Timeout {
                    action,
                    id,
                    target,
                    timeout: within,
                }));
            }
            Err(
                err @ (CallError::Dial(_) | CallError::Broken { .. } | CallError::Garbled { .. }),
            ) => {
                return Err(Unreachable::new(&err).into());
            }
        };
        match expected(response) {
            Ok(Ok(answer)) => Ok(answer),
            // It has stopped for good, and says so each time that it is asked.
            Ok(Err(RaftError::Fatal(err))) => Err(Unreachable::new(&err).into()),
            // What openraft itself answers, and knows what to do about.
            Ok(Err(err)) => Err(RemoteError::new(self.target, err).into()),
            Err(why) => Err(Unreachable::from(AnyError::error(why)).into()),
        }
    }
}

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Called<AppendEntriesResponse<NodeId>> {
        let request = Request::Append(rpc);
        self.call(RPCTypes::AppendEntries, request, option, |got| match got {
            Response::Append(answer) => Ok(answer),
            other => Err(other.unexpected()),
        })
        .await
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Called<InstallSnapshotResponse<NodeId>, RaftError<NodeId, InstallSnapshotError>> {
        let request = Request::Snapshot(rpc);
        let action = RPCTypes::InstallSnapshot;
        self.call(action, request, option, |got| match got {
            Response::Snapshot(answer) => Ok(answer),
            other => Err(other.unexpected()),
        })
        .await
    }

    fn backoff(&self) -> Backoff {
        let doubled = |pause: &Duration| Some(LONGEST_PAUSE.min(*pause * 2));
        Backoff::new(std::iter::successors(Some(FIRST_PAUSE), doubled))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<NodeId>,
        option: RPCOption,
    ) -> Called<VoteResponse<NodeId>> {
        let request = Request::Vote(rpc);
        self.call(RPCTypes::Vote, request, option, |got| match got {
            Response::Vote(answer) => Ok(answer),
            other => Err(other.unexpected()),
        })
        .await
    }
}
