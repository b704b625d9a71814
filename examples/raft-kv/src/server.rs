//! The server: what a node answers, to other nodes and to clients.
//!
//! Owns the listener's loop, one task for each connection, and the bounds: on
//! connections, and on the time that an answer may take. Never dials.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use openraft::ServerState;
use openraft::error::{CheckIsLeaderError, ClientWriteError, ForwardToLeader, RaftError};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::codec::Framed;
use virtnet::{Conn, Listener, OpError};

use crate::peers::{NodeId, Peers};
use crate::protocol::{self, MAX_KEY, MAX_VALUE, Request, Response, Role, Status};
use crate::store::{Machine, Raft, Write};

/// How many connections are served at a time. More wait to be accepted, and are
/// refused by virtnet when too many wait.
const MAX_CONNECTIONS: usize = 256;

/// How long a client's request may take. A leader that was cut off cannot commit,
/// and does not know for how long: whoever asked is told that it is not known.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What a connection's task needs of its node.
pub struct Service {
    pub name: String,
    pub peers: Peers,
    pub raft: Raft,
    pub machine: Machine,
}

/// Serves until the listener can accept no more, and says why that is. Dropping
/// the future ends all connections.
pub async fn serve(listener: Listener, service: Service) -> OpError {
    let service = Arc::new(service);
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // Never closed, so there always comes a permit.
        let permit = Arc::clone(&room).acquire_owned().await;
        let (conn, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(why) => return why,
        };
        let service = Arc::clone(&service);
        connections.spawn(async move {
            service.converse(conn).await;
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Service {
    /// Answers on one connection, until it ends or what comes is no request.
    async fn converse(&self, conn: Conn) {
        let mut link = Framed::new(conn, protocol::codec());
        while let Some(Ok(frame)) = link.next().await {
            let Ok(request) = protocol::decode(&frame) else {
                return;
            };
            let response = self.answer(request).await;
            let Ok(frame) = protocol::encode(&response) else {
                return;
            };
            if link.send(frame).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, request: Request) -> Response {
        match request {
            // openraft's own, which are as quick as the store.
            Request::Append(rpc) => Response::Append(self.raft.append_entries(rpc).await),
            Request::Vote(rpc) => Response::Vote(self.raft.vote(rpc).await),
            Request::Snapshot(rpc) => Response::Snapshot(self.raft.install_snapshot(rpc).await),
            Request::Put { key, value } => in_time(self.put(key, value)).await,
            Request::Get { key } => in_time(self.get(&key)).await,
            Request::LocalGet { key } => Response::Value(self.machine.get(&key)),
            Request::Status => Response::Status(self.status()),
        }
    }

    /// Done only once openraft says that the write is committed and applied.
    async fn put(&self, key: String, value: String) -> Response {
        if key.len() > MAX_KEY || value.len() > MAX_VALUE {
            let what = format!("a key has at most {MAX_KEY} bytes, a value {MAX_VALUE}");
            return Response::Refused(what);
        }
        match self.raft.client_write(Write { key, value }).await {
            Ok(_) => Response::Done,
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(to))) => self.not_leader(&to),
            Err(err) => Response::Failed(err.to_string()),
        }
    }

    /// Reads only after a majority has confirmed that this node still leads.
    async fn get(&self, key: &str) -> Response {
        match self.raft.ensure_linearizable().await {
            Ok(_) => Response::Value(self.machine.get(key)),
            Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(to))) => {
                self.not_leader(&to)
            }
            Err(err) => Response::Failed(err.to_string()),
        }
    }

    fn not_leader<N: openraft::Node>(&self, to: &ForwardToLeader<NodeId, N>) -> Response {
        let leader = to.leader_id.and_then(|id| self.peers.name(id));
        Response::NotLeader(leader.map(str::to_owned))
    }

    fn status(&self) -> Status {
        status(&self.name, &self.peers, &self.raft)
    }
}

/// What comes of a client's request, within its bound.
async fn in_time(work: impl Future<Output = Response>) -> Response {
    let late = |_| Response::Failed(format!("no majority agreed within {ANSWER_WITHIN:?}"));
    timeout(ANSWER_WITHIN, work).await.unwrap_or_else(late)
}

/// How the node `name` sees itself.
pub fn status(name: &str, peers: &Peers, raft: &Raft) -> Status {
    let metrics = raft.metrics();
    let metrics = metrics.borrow();
    let leader = metrics.current_leader.and_then(|id| peers.name(id));
    Status {
        name: name.to_owned(),
        role: match metrics.state {
            ServerState::Leader => Role::Leader,
            ServerState::Candidate => Role::Candidate,
            ServerState::Follower => Role::Follower,
            ServerState::Learner => Role::Learner,
            ServerState::Shutdown => Role::Stopped,
        },
        term: metrics.current_term,
        leader: leader.map(str::to_owned),
        applied: metrics.last_applied.map(|id| id.index),
        unheard_ms: metrics.millis_since_quorum_ack,
    }
}
