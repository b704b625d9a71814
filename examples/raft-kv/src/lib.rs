//! raft-kv: a small replicated key-value store, as an example of a system that
//! is tested on a virtual network.
//!
//! Every node is a host of a virtnet network; nodes and clients talk over
//! nothing else. Leader election and replication are openraft's. All is in
//! memory, so a node that ended must not come back under its name: it would
//! have forgotten what it promised.
//!
//! | module | owns |
//! |---|---|
//! | [`protocol`] | what is said on a connection, and how it is framed |
//! | [`links`] | connections to nodes: dialed on demand, pooled, with deadlines |
//! | [`store`] | the log, and the state that is replicated |
//! | [`network`] | how openraft reaches the other nodes |
//! | [`server`] | what a node answers |
//! | [`node`] | a node as a whole, from its host to its end |
//! | [`client`] | putting and getting, whoever leads |
//! | [`load`], [`check`] | writing all the time, and whether what was acknowledged is there |

pub mod check;
pub mod client;
pub mod links;
pub mod load;
pub mod network;
pub mod node;
pub mod peers;
pub mod protocol;
pub mod server;
pub mod store;
