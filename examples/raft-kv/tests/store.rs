//! openraft's own checks of a store, run on ours.
//!
//! Owns how a fresh store is made. Never opens a connection.

use openraft::StorageError;
use openraft::testing::{StoreBuilder, Suite};
use raft_kv::peers::NodeId;
use raft_kv::store::{LogStore, Machine, Types};

struct Fresh;

impl StoreBuilder<Types, LogStore, Machine> for Fresh {
    async fn build(&self) -> Result<((), LogStore, Machine), StorageError<NodeId>> {
        Ok(((), LogStore::default(), Machine::default()))
    }
}

#[test]
fn the_store_keeps_what_openraft_gives_it() {
    Suite::test_all(Fresh).unwrap();
}
