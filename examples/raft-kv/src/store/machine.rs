//! The state machine: the keys and values that come of the log.
//!
//! Owns them, and snapshots of them. Never decides what is committed.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::{Arc, Mutex};

use openraft::storage::RaftStateMachine;
use openraft::{
    AnyError, BasicNode, Entry, EntryPayload, LogId, OptionalSend, RaftSnapshotBuilder, Snapshot,
    SnapshotMeta, StorageError, StorageIOError, StoredMembership,
};

use super::{Types, lock};
use crate::peers::NodeId;
use crate::protocol;

/// A node's keys and values. Clones are the same, for reading.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    applied: Option<LogId<NodeId>>,
    membership: StoredMembership<NodeId, BasicNode>,
    values: BTreeMap<String, String>,
    snapshot: Option<Taken>,
    /// How many snapshots were taken, so that each has a name of its own.
    taken: u64,
}

#[derive(Debug, Clone)]
struct Taken {
    meta: SnapshotMeta<NodeId, BasicNode>,
    bytes: Vec<u8>,
}

impl From<Taken> for Snapshot<Types> {
    fn from(taken: Taken) -> Snapshot<Types> {
        Snapshot {
            meta: taken.meta,
            snapshot: Box::new(Cursor::new(taken.bytes)),
        }
    }
}

type Stored<T> = Result<T, StorageError<NodeId>>;

impl Machine {
    /// The value under `key`, as far as this node has applied the log.
    pub fn get(&self, key: &str) -> Option<String> {
        lock(&self.state).values.get(key).cloned()
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Machine;

    async fn applied_state(
        &mut self,
    ) -> Stored<(Option<LogId<NodeId>>, StoredMembership<NodeId, BasicNode>)> {
        let state = lock(&self.state);
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Stored<Vec<()>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut state = lock(&self.state);
        let mut replies = Vec::new();
        for entry in entries {
            state.applied = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(write) => {
                    state.values.insert(write.key, write.value);
                }
                EntryPayload::Membership(membership) => {
                    state.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
            }
            replies.push(());
        }
        Ok(replies)
    }

    async fn get_snapshot_builder(&mut self) -> Machine {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Stored<Box<Cursor<Vec<u8>>>> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<NodeId, BasicNode>,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Stored<()> {
        let bytes = snapshot.into_inner();
        let values = protocol::decode(&bytes).map_err(|why| {
            StorageIOError::read_snapshot(Some(meta.signature()), AnyError::new(&why))
        })?;
        let mut state = lock(&self.state);
        state.applied = meta.last_log_id;
        state.membership = meta.last_membership.clone();
        state.values = values;
        let meta = meta.clone();
        state.snapshot = Some(Taken { meta, bytes });
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Stored<Option<Snapshot<Types>>> {
        Ok(lock(&self.state).snapshot.clone().map(Snapshot::from))
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    async fn build_snapshot(&mut self) -> Stored<Snapshot<Types>> {
        let mut state = lock(&self.state);
        let bytes = protocol::encode(&state.values)
            .map_err(|why| StorageIOError::write_snapshot(None, AnyError::new(&why)))?;
        state.taken += 1;
        let upto = state.applied.map_or(0, |id| id.index);
        let meta = SnapshotMeta {
            last_log_id: state.applied,
            last_membership: state.membership.clone(),
            snapshot_id: format!("{upto}-{}", state.taken),
        };
        let bytes = bytes.to_vec();
        let taken = Taken { meta, bytes };
        state.snapshot = Some(taken.clone());
        Ok(taken.into())
    }
}
