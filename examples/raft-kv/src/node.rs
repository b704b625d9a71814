//! A node: a host of the network, openraft, and the server, as one.
//!
//! Owns the order in which they start and stop, openraft's settings, and the
//! words for what a node is. Never joins or closes the subnetwork: the node's
//! user does, who may have other hosts on it.

use std::sync::Arc;
use std::time::Duration;

use openraft::error::{InitializeError, RaftError};
use openraft::{Config, SnapshotPolicy};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use virtnet::{OpError, SubNetwork};

use crate::links::Links;
use crate::network::Network;
use crate::peers::{PORT, Peers};
use crate::protocol::{MAX_CHUNK, MAX_ENTRIES, Role, Status};
use crate::server::{Service, serve, status};
use crate::store::{LogStore, Machine, Raft};

/// How often a leader says that it lives; openraft gives up an answer after it.
const HEARTBEAT_MS: u64 = 250;
/// A follower that has heard no leader for twice the upper one, at most, stands
/// for election.
const ELECTION_MS: (u64, u64) = (1000, 2000);
/// How long the other side may take to take in a part of a snapshot.
const SNAPSHOT_MS: u64 = 2000;
/// After so many entries a snapshot takes the log's place, and so many of them
/// are kept all the same. Low, so that a test of some seconds gets there.
const SNAPSHOT_AFTER: u64 = 500;
const KEPT_ENTRIES: u64 = 100;

/// A node that is up.
pub struct Node {
    name: String,
    peers: Peers,
    raft: Raft,
    server: AbortOnDropHandle<OpError>,
    /// Notes in the network's trace what the node is, if one is recorded.
    _notes: AbortOnDropHandle<()>,
}

/// Why a node did not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("{0:?} is none of the peers {1:?}")]
    NoPeer(String, Vec<String>),
    #[error(transparent)]
    Network(#[from] OpError),
    /// openraft has refused its settings, or stopped.
    #[error("openraft: {0}")]
    Raft(String),
}

impl Node {
    /// Starts the node `name`: makes its host, listens, and answers.
    ///
    /// It belongs to no cluster until one of them is [initialised](Node::initialize).
    pub async fn start(subnet: &SubNetwork, name: &str, peers: &Peers) -> Result<Node, NodeError> {
        let no_peer = || NodeError::NoPeer(name.to_owned(), peers.names().to_vec());
        let id = peers.id(name).ok_or_else(no_peer)?;
        let host = subnet.new_host(name).await?;
        let listener = host.listen(format!(":{PORT}").as_str())?;

        let machine = Machine::default();
        let network = Network::new(id, Links::new(host.clone()));
        let config = Arc::new(config()?);
        let raft = Raft::new(id, config, network, LogStore::default(), machine.clone());
        let raft = raft.await.map_err(|err| NodeError::Raft(err.to_string()))?;

        let notes = {
            let (name, peers, metrics) = (name.to_owned(), peers.clone(), raft.metrics());
            let raft = raft.clone();
            let describe = move || describe(&status(&name, &peers, &raft));
            let telling = tell(metrics, describe, move |line| host.note(line));
            AbortOnDropHandle::new(tokio::spawn(telling))
        };
        let service = Service {
            name: name.to_owned(),
            peers: peers.clone(),
            raft: raft.clone(),
            machine,
        };
        let server = AbortOnDropHandle::new(tokio::spawn(serve(listener, service)));
        Ok(Node {
            name: name.to_owned(),
            peers: peers.clone(),
            raft,
            server,
            _notes: notes,
        })
    }

    /// openraft, to wait for what its metrics say.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// How this node sees itself.
    pub fn status(&self) -> Status {
        status(&self.name, &self.peers, &self.raft)
    }

    /// Makes all peers one cluster, if this node is the one to do so: the first by
    /// name. A cluster that is there already is left as it is.
    pub async fn initialize(&self) -> Result<(), NodeError> {
        if self.peers.names().first() != Some(&self.name) {
            return Ok(());
        }
        match self.raft.initialize(self.peers.members()).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(err) => Err(NodeError::Raft(err.to_string())),
        }
    }

    /// Tells every change of what this node is, until it can go on no more, as when
    /// its host has lost its name to another; and says why that is.
    pub async fn run(&mut self, say: impl FnMut(&str)) -> NodeError {
        let (name, peers, raft) = (&self.name, &self.peers, &self.raft);
        let describe = || describe(&status(name, peers, raft));
        let telling = tell(raft.metrics(), describe, say);
        tokio::select! {
            () = telling => NodeError::Raft("it has stopped".to_owned()),
            ended = &mut self.server => match ended {
                Ok(why) => why.into(),
                Err(err) => NodeError::Raft(format!("the server's task: {err}")),
            }
        }
    }

    /// Stops openraft and the server; the host goes with them. To be followed by
    /// closing the subnetwork, which frees the name.
    pub async fn stop(self) {
        // All that it reports is a task of openraft's that panicked, and went.
        let _ = self.raft.shutdown().await;
    }
}

fn config() -> Result<Config, NodeError> {
    let config = Config {
        cluster_name: "raft-kv".to_owned(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: ELECTION_MS.0,
        election_timeout_max: ELECTION_MS.1,
        install_snapshot_timeout: SNAPSHOT_MS,
        max_payload_entries: MAX_ENTRIES as u64,
        snapshot_max_chunk_size: MAX_CHUNK as u64,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_AFTER),
        max_in_snapshot_log_to_keep: KEPT_ENTRIES,
        replication_lag_threshold: SNAPSHOT_AFTER,
        ..Config::default()
    };
    let config = config.validate();
    config.map_err(|err| NodeError::Raft(err.to_string()))
}

async fn tell<T>(
    mut metrics: watch::Receiver<T>,
    describe: impl Fn() -> String,
    mut say: impl FnMut(&str),
) {
    let mut told = String::new();
    while metrics.changed().await.is_ok() {
        let now = describe();
        if now != told {
            say(&now);
            told = now;
        }
    }
}

/// What a node is, in one line.
fn describe(status: &Status) -> String {
    let (name, term) = (&status.name, status.term);
    let unheard = status.unheard_ms.map(Duration::from_millis);
    let alone = unheard > Some(Duration::from_millis(ELECTION_MS.1));
    match (status.role, &status.leader) {
        (Role::Leader, _) if alone => format!("{name} leads term {term}, but no majority answers"),
        (Role::Leader, _) => format!("{name} is leader of term {term}"),
        (Role::Candidate, _) => format!("{name} is candidate in term {term}"),
        (Role::Follower, Some(leader)) => format!("{name} follows {leader} in term {term}"),
        (Role::Follower, None) => format!("{name} knows no leader in term {term}"),
        (Role::Learner, _) => format!("{name} waits to be a member"),
        (Role::Stopped, _) => format!("{name} has stopped"),
    }
}
