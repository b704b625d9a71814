//! A virtnet registry on Redis: the processes of one virtual network find each
//! other's hosts through a Redis server that all of them can reach.
//!
//! One [`RedisRegistry`] serves one subnetwork, that is, one process's part of
//! a network. [`close`](virtnet_core::Registry::close) frees exactly the names that this
//! value announced; no other value can free them.
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
//! # URLs
//!
//! ```text
//! redis://[user:password@]host[:port][/db]
//! redis+sentinel://[user:password@]host[:port][,host[:port]…]/name[/db]
//! redis+cluster://[user:password@]host[:port][,host[:port]…]
//! ```
//!
//! The first form names a server. The second lists sentinels, which know the server of that
//! name. The third lists nodes of a cluster. List all sentinels or nodes: no others are
//! asked, and one of them must be reachable whenever a connection is made. The default port
//! is 6379, or 26379 for sentinels. In user and password, write the characters
//! `/ ? # @ : ,` as `%2F %3F %23 %40 %3A %2C`. User and password are for the servers; a
//! sentinel gets them only if it asks for them.
//!
//! All keys of a network are in one hash slot, so a cluster too keeps them on one server, and
//! one connection is enough. When the connection is lost, or the server replies that it is
//! no longer the right one (`MOVED`, `READONLY`), the listed hosts are asked again, one
//! shortly after the other, and the first that leads to the right server wins.
//!
//! While a cluster is moving the slot (`ASK`), registered names are found and renewed, a
//! process that joins gets a warning, and new names fail with *registry is down*, because a
//! script needs all its keys on one node. For the same reason, renewals fail as soon as one
//! of the process's names has been moved, until the whole slot has. Valkey 9 moves a
//! slot in one step (`CLUSTER MIGRATESLOTS`).
//!
//! A primary that was replaced does not know it at first, and takes writes that will be lost.
//! So the first call of each second asks the sentinels whether it still is the primary.
//!
//! With `rediss` instead of `redis`, all connections use TLS, and every certificate is
//! verified: against the authorities of the operating system or those of
//! [`RedisOptions::ca_file`], and for the host name in the URL, or for the name that the
//! sentinel or the cluster gives, which is an IP address unless they are configured
//! otherwise. [`RedisOptions::client_certificate`] identifies this process.
//!
//! Replicas lag behind, so a failover can lose a confirmed announcement. The next renewal
//! restores it, unless another process has registered the name by then. In that case the name
//! is lost with that renewal; until then both processes hold it, for at most the
//! lease. A primary that was cut off from its replicas, but not from all clients, could make
//! that longer: `min-replicas-to-write 1` prevents it, and so does a cluster's
//! `cluster-node-timeout`.
//!
//! # Keys and values
//!
//! Each host has one string, under `virtnet:{<network>}:<hostname>`, which Redis deletes
//! when its lease ends. The value is the hostdata, then the owner. Each network has one sorted
//! set, its *index*: the hosts' names, by the time at which their leases end.
//!
//! ```text
//! $ redis-cli --raw keys 'virtnet:{pipet}:*'
//! virtnet:{pipet}:α
//! virtnet:{pipet}::hosts
//! $ redis-cli get 'virtnet:{pipet}:α'
//! "10.0.0.2:4433 owner=9f86d081884c7d659a2feaa0c55ad015#1"
//! $ redis-cli pttl 'virtnet:{pipet}:α'
//! (integer) 13204
//! ```
//!
//! Characters of a name are percent-encoded if they have a meaning in a key (`{`, `}`, `:`,
//! `%`) or in a pattern (`*`, `?`, `[`, `]`, `\`), or if they are invisible (whitespace,
//! control characters). The braces put all keys of a network into one slot of a Redis
//! Cluster.
//!
//! The owner is 128 random bits, drawn once per [`RedisRegistry`]. The number after the `#`
//! counts its announcements, so a late command of an announcement that was given up cannot
//! change a later one.
//!
//! With the index, the cost of listing a network does not depend on other networks. The
//! scripts that write names also write the index, and each renewal repairs it. For one
//! hour it also keeps the names that were not freed, and which of them another process took.
//! So a process that was stopped for longer than its lease learns that its name
//! belonged to another process meanwhile, even if the name is free again. Ownership does not
//! depend on the index: if it is missing, or its key holds something else, only that case
//! is not noticed. A network whose members all freed their names leaves nothing.
//!
//! # Documents
//!
//! The [`Documents`](virtnet_core::Documents) of a network are strings, under
//! `virtnet:{<network>}::document:<key>`, which Redis deletes when they expire. Each topic with
//! documents has an index, a sorted set of their keys, under `virtnet:{<network>}::documents:<topic>`,
//! and a change number under `virtnet:{<network>}::changes:<topic>`. Both expire with the topic's last
//! document, and are deleted with it.
//!
//! ```text
//! $ redis-cli --raw keys 'virtnet:{pipet}::*'
//! virtnet:{pipet}::document:faults/plan
//! virtnet:{pipet}::documents:faults
//! virtnet:{pipet}::changes:faults
//! virtnet:{pipet}::hosts
//! ```
//!
//! One script writes and removes documents. Each change of a topic sets its number to the
//! server's time in microseconds, or to a higher number; so a flush, a failover or a restart
//! changes the number, too. Redis reports a change of the number to those who wait for one,
//! as it reports changes of names. A waiting call also reads the number after five seconds without a
//! report; without client tracking, every 100 ms.
//!
//! Replicas lag behind, so a failover can lose a confirmed document: its writer writes it
//! again before its lifetime is over. If the connection is lost while a document is being replaced,
//! and the repeated command finds another text, *registry is down* is reported: it is unknown
//! whether the first command had replaced it.
//!
//! # The live trace
//!
//! The [`Traces`](virtnet_core::Traces) of a network are a stream, under `virtnet:{<network>}::trace`,
//! which Redis deletes an hour after the last batch. The id of an entry is the server's time in
//! microseconds when the stream began, and the number of the batch. One script appends a batch; it drops the oldest ones,
//! once there are more than 65,536 or more than 64 MiB. A server whose memory is full refuses batches.
//! Redis reports a new batch to those who wait for one, as it reports changes of documents. A
//! flush, or a failover to a replica without the last batches, leaves a hole that readers see.
//!
//! # Leases
//!
//! A name is held for [`RedisOptions::lease`] (15 s), and renewed every
//! [`RedisOptions::renewal`] (5 s), all names of a registry in one round trip. A renewal does
//! one of these for each name, in one step on the server: it extends a lease that is ours; it
//! announces a name again that Redis lost; it reports a name as
//! [`lost`](virtnet_core::Registry::lost) that another process holds, or held since it was
//! last ours. So
//!
//! - a close frees names at once, and so does dropping the registry, such as at the end of a
//!   program or test that failed by an error or a panic;
//! - a killed process leaves its names taken for at most a lease. This includes a signal
//!   without a handler, such as the `SIGINT` of a `^C`, and `std::process::exit` and
//!   `abort`, which drop nothing;
//! - a Redis that was restarted empty, flushed, or failed over to a replica without the
//!   announcement, is repaired by the next renewal. That comes early if a lost
//!   connection is replaced, or if Redis reports the flush (it does so while the cache is on);
//! - a host whose hostdata has changed is announced with the new one, under the same owner and
//!   lease, at most one renewal later, if there is a [`RedisOptions::hostdata_source`];
//! - while Redis is down, renewals are tried again at least once per second plus the deadline.
//!   Nothing is forgotten meanwhile.
//!
//! [`holds`](virtnet_core::Registry::holds) counts each lease on this side, from before its
//! request was sent, and treats it as ended after nine tenths. The clock cannot be set;
//! on Linux it also counts the time for which the machine was suspended. So a process that
//! was cut off from Redis, stopped or suspended for too long knows it on the first check,
//! before another process can have been given the name. When the lease is confirmed again, the
//! name is held again.
//!
//! ## What a lease does not guarantee
//!
//! A lease is not a lock: it does not stop a host in the middle of an action when its time is
//! over. It depends on the server's memory and clock:
//!
//! - *Replication is asynchronous.* A failover can lose a confirmed announcement, and another
//!   process can then announce the name. Both hold it until the first has learned of it:
//!   usually as soon as its connection is replaced; at the latest at its next renewal,
//!   which is answered within [`RedisOptions::renewal`] and [`RedisOptions::deadline`] (7 s),
//!   or, if it does not reach Redis, after nine tenths of its lease (13.5 s). The same
//!   applies to a server that lost its memory, whose time of day is set forward, or
//!   that evicts keys; [`RedisRegistry::warnings`] reports the last one.
//! - In all other cases no two processes hold a name at the same time, as long as the speeds
//!   of the two machines' clocks differ by less than a tenth.
//! - A command that was in flight when its connection was lost can reach the server late. If it
//!   announces a name that was freed meanwhile, the name stays taken for one lease.
//!
//! # Guarantees
//!
//! - Of any number of processes that announce a name, exactly one gets it.
//! - Every call, except a wait for a change of documents or a batch of the trace, ends within
//!   [`RedisOptions::deadline`], whatever the server and the network do; after that, it fails with
//!   *registry is down*.
//! - After an outage, the next call works again: the first call that needs a connection
//!   replaces a lost one.
//! - Passwords appear in no error and in no `Debug` output.
//!
//! # Cache
//!
//! A repeated query is answered from a cache, without a round trip. Redis is asked to
//! report when a name changes (client tracking), and reports it on the same connection over
//! which the name was read. A cached reply is forgotten when its name changes, is flushed, or
//! is deleted after its lease has ended, which Redis does in its own time. All are forgotten
//! when the connection is lost, a call on it takes too long, or 4,096 names are cached. None
//! is older than [`RedisOptions::remember`]. Only names that were found are cached. A
//! server without client tracking is asked each time.
//!
//! A renewed lease counts as a change: other processes ask once more after it.
//!
//! So a reply can be out of date while the report of a change is in flight, or waits for a
//! thread to read it. If a reply led nowhere, call
//! [`requery`](virtnet_core::Registry::requery), which asks Redis; a dial does that.
//!
//! # Requirements
//!
//! Redis 6 or later, or a server with the same protocol, and a user with the rights to the
//! network's keys and to the commands below. Joining tries those of the first two lines.
//!
//! The tests run on Redis 7.0.15. Those of leases, look-ups and scripts also run on Redis
//! 6.2.14 and Valkey 9.1.2; Redis 6.0.9 and 8.2.3 were tried by hand. A server or proxy
//! without client tracking or RESP3 is asked each time, with a warning in
//! [`RedisRegistry::warnings`]; fakeredis 2.40.0 is one, and passes the checks that
//! every registry must pass.
//!
//! | to | rights |
//! |---|---|
//! | announce, renew, free; write documents | `EVAL`, `GET`, `SET`, `DEL`, `PEXPIRE`, `PTTL`, `TIME`, `ZADD`, `ZREM`, `ZREMRANGEBYSCORE` |
//! | query; read a document, wait for a change | `GET`, and `CLIENT` unless [`RedisOptions::remember`] is zero |
//! | list; list documents | `ZSCAN`, `MGET`, `PTTL` |
//! | append to the live trace, read it | `EVAL`, `TIME`, `XADD`, `XRANGE`, `XREVRANGE`, `XDEL`, `PEXPIRE`, and `CLIENT` as above |
//! | remove the live trace | `DEL` |
//! | be warned of eviction | `INFO` |
//! | look up, in a cluster, while the slot is moved | `ASKING` |
//!
//! This creates a user with all of these rights, for the network `pipet`:
//!
//! ```text
//! ACL SETUSER pipet on >password resetkeys ~virtnet:{pipet}:* -@all
//!     +eval +get +set +del +pexpire +pttl +time +zadd +zrem +zremrangebyscore
//!     +client|tracking +client|caching +zscan +mget +xadd +xrange +xrevrange +xdel +info
//! ```

mod cache;
mod connection;
mod documents;
mod hostdata;
mod lease;
mod options;
mod registry;
mod schema;
#[cfg(test)]
mod tests;
mod text;
mod traces;

pub use hostdata::HostdataSource;
pub use options::{ClientCertificate, RedisOptions};
pub use registry::RedisRegistry;
pub use registry::listing::{HostLease, Listing};
