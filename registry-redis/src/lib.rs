//! A virtnet registry on Redis: the processes of one virtual network find each
//! other's hosts through a Redis server that all of them reach.
//!
//! One [`RedisRegistry`] serves one subnetwork, that is, one process's part of
//! a network. What it announces is its own: [`close`](virtnet_core::Registry::close)
//! frees exactly that, and nothing frees what another value announced.
//!
//! ```no_run
//! use virtnet_core::Registry;
//! use virtnet_registry_redis::{RedisOptions, RedisRegistry};
//!
//! # async fn example() -> Result<(), virtnet_core::RegistryError> {
//! let url = "redis://10.0.0.9:6379";
//! let registry = RedisRegistry::connect(url, "pipet", RedisOptions::default()).await?;
//! registry.announce("α", "10.0.0.2:4433").await?;
//! assert_eq!(registry.query("α").await?, "10.0.0.2:4433");
//! registry.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is in Redis
//!
//! One string per host, under `virtnet:{<network>}:<hostname>`. The value is
//! the hostdata, then who owns the name:
//!
//! ```text
//! $ redis-cli --raw keys 'virtnet:{pipet}:*'
//! virtnet:{pipet}:α
//! $ redis-cli get 'virtnet:{pipet}:α'
//! "10.0.0.2:4433 owner=9f86d081884c7d659a2feaa0c55ad015#1"
//! ```
//!
//! Characters of a name that mean something in a key (`{`, `}`, `:`, `%`),
//! in a pattern (`*`, `?`, `[`, `]`, `\`) or nothing to the eye (whitespace,
//! control characters) are percent-encoded; all others stay as they are. The
//! braces make all keys of one network fall into one slot of a Redis Cluster.
//!
//! The owner is 128 random bits, drawn once per [`RedisRegistry`], and after
//! the `#` the number of the announcement: so a late command of an announcement
//! that was given up cannot touch the one that came after it.
//!
//! # What it promises
//!
//! - Exactly one of any number of contenders for a name gets it.
//! - Every call ends within [`RedisOptions::deadline`], whatever the server and
//!   the network do; past it, the registry is down.
//! - After an outage, the next call works again: a lost connection is replaced
//!   by the first call that needs one.
//! - Passwords appear in no error and in no `Debug` output.
//!
//! # Fast lookups
//!
//! A query that was answered before is answered from memory, without a round
//! trip: Redis is asked to say when a name changes (client tracking), and says
//! so on the very connection over which it was read. A memory is forgotten
//! when its name changes, expires or is flushed; with all others when the
//! connection is lost, a call on it takes too long, or 4,096 names are
//! remembered; and [`RedisOptions::remember`] after the question at the
//! latest. Only names that were found are remembered.
//!
//! So an answer can be out of date for as long as the news is on its way.
//! Whoever finds that it led nowhere calls
//! [`requery`](virtnet_core::Registry::requery), which asks Redis; a dial does.
//!
//! # What it needs
//!
//! Redis 6 or later, or what speaks its protocol, and a user with the rights to
//! `GET`, `SET`, `DEL` and `EVAL` on the network's keys, and for
//! [`RedisRegistry::hosts`] to `SCAN` and `MGET`. Joining tries those that
//! announcing needs.
//!
//! # What it does not do
//!
//! Names have no lifetime: those of a process that ended without closing its
//! registry stay until somebody deletes their keys. And a command that was on
//! its way when its connection was lost can reach the server arbitrarily late;
//! a name that was announced by it after it had been freed stays as well.

mod entry;
mod fault;
mod inner;
mod keeper;
mod keys;
mod link;
mod lookup;
mod memory;
mod names;
mod options;
mod registry;
mod target;

#[cfg(test)]
mod ownership_tests;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

pub use options::RedisOptions;
pub use registry::RedisRegistry;
