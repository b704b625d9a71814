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
//! # Where Redis is
//!
//! ```text
//! redis://[user:password@]host[:port][/db]
//! redis+sentinel://[user:password@]host[:port][,host[:port]…]/name[/db]
//! redis+cluster://[user:password@]host[:port][,host[:port]…]
//! ```
//!
//! The first is a server. The second are sentinels, who know where the server
//! of that name is; the third are nodes of a cluster. Of those that are listed
//! one must be reachable whenever a connection is made, so list them all: no
//! others are asked. Ports left out are 6379, and 26379 for sentinels. In user
//! and password, the characters `/ ? # @ : ,` are written `%2F %3F %23 %40 %3A %2C`.
//! They are the servers'; a sentinel is told them only when it asks.
//!
//! All keys of a network are in one slot, so that also a cluster keeps them on
//! one server, and one connection leads to it. When that is lost, or answers
//! that it is not the place any more (`MOVED`, `READONLY`), the places are asked
//! again, one shortly after the other, and the first that leads to the right
//! server wins. While a slot is being moved (`ASK`), what is registered is found and
//! renewed, a process that joins is warned, and new names are *registry is down*: a
//! script needs all its keys at one node. For the same reason names are not renewed
//! any more when one of the process's has gone ahead, until the slot has arrived; Valkey 9 moves a slot in one
//! step (`CLUSTER MIGRATESLOTS`). And as a primary that was replaced does not know it at first, and would take
//! writes that will be lost, the sentinels are asked with the first call of each
//! second whether it still is the one.
//!
//! With `rediss` in place of `redis`, everything goes over TLS, and every
//! certificate is verified: by the system's authorities or those of
//! [`RedisOptions::with_ca_file`], and for the host's name as the URL has it, or
//! as the sentinel or the cluster gives it, which is an IP address unless they
//! were told otherwise. [`RedisOptions::with_client_certificate`] is what we show.
//!
//! Replicas lag behind, so a failover can lose an announcement that was
//! confirmed. Then the next renewal heals it; or somebody else was faster, and
//! the name is lost with that renewal: both hold the name in between, for no
//! longer than the lease. A primary that was cut off from its replicas, and
//! still takes writes from those who were cut off with it, could hold it up
//! longer: `min-replicas-to-write 1` prevents that, and a cluster's
//! `cluster-node-timeout` does by itself.
//!
//! # What is in Redis
//!
//! One string per host, under `virtnet:{<network>}:<hostname>`, which Redis
//! deletes when its lease ends. The value is the hostdata, then who owns the
//! name. And one sorted set per network, its *index*, with the hosts' names by
//! the time at which their leases end:
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
//! Characters of a name that mean something in a key (`{`, `}`, `:`, `%`),
//! in a pattern (`*`, `?`, `[`, `]`, `\`) or nothing to the eye (whitespace,
//! control characters) are percent-encoded; all others stay as they are. The
//! braces make all keys of one network fall into one slot of a Redis Cluster.
//!
//! The owner is 128 random bits, drawn once per [`RedisRegistry`], and after
//! the `#` the number of the announcement: so a late command of an announcement
//! that was given up cannot touch the one that came after it.
//!
//! The index makes listing a network cost what the network is worth, however
//! many others there are. It is written by the scripts that write the names,
//! and healed by each renewal. It also remembers for an hour whose names were not
//! freed, and which of them another took: so that a process which was stopped for
//! longer than its lease learns that its name was another's meanwhile, though it is
//! free again. Who holds a name does not rest on it: where it is missing, or
//! something else is in its place, only that is not noticed. A network whose members
//! all freed their names leaves nothing.
//!
//! # Leases
//!
//! A name is held for [`RedisOptions::lease`] (15 s), and renewed every
//! [`RedisOptions::renewal`] (5 s), all names of a registry in one round trip.
//! For each name, in one step on the server: a lease that is ours is extended;
//! a name that Redis lost is announced again; a name that another holds is left
//! alone, and reported by [`lost`](virtnet_core::Registry::lost), and so is one that
//! another held since it was last ours. So
//!
//! - closing frees names at once, and so does dropping the registry: at the end of a
//!   program or test that failed, by an error or a panic, its names are free;
//! - a process that was killed leaves them taken for a lease at the most: also by a
//!   signal that it has no handler for, such as the `SIGINT` of a `^C`, and by
//!   `std::process::exit` or `abort`, which drop nothing;
//! - a Redis that was restarted empty, flushed, or failed over to a replica that
//!   had not seen the announcement, is healed by the next renewal. That is
//!   brought forward when a lost connection is replaced, or Redis tells us of
//!   the flush, which it does where answers are remembered;
//! - a host that is elsewhere than it was is announced there, under the same owner
//!   and lease, where somebody was given to be asked
//!   ([`RedisOptions::with_whereabouts`]), one renewal later at most;
//! - while Redis is down renewals go on trying, at least once in a second and a
//!   deadline. Nothing is forgotten meanwhile.
//!
//! [`holds`](virtnet_core::Registry::holds) counts each lease on this side,
//! from before the request for it was sent, and calls it over after nine tenths
//! of it. The clock is one that nobody sets; on Linux it also counts the time
//! for which the machine was suspended. So who was cut off from Redis, stopped
//! or suspended for too long knows it at the first look, and before another can
//! have been given the name. When it is confirmed again, the name is held again.
//!
//! ## What a lease is not
//!
//! It is not a lock: nothing stops a host in the middle of what it does when its
//! time is over. And it is as good as the server's memory and clock:
//!
//! - *Replication is asynchronous.* A failover can lose an announcement that was
//!   confirmed, and another can then announce the name. Both hold it until the
//!   first has heard of it: mostly as soon as its connection is replaced; at the
//!   latest until its next renewal, which is answered within
//!   [`RedisOptions::renewal`] and [`RedisOptions::deadline`] (7 s), or, if it
//!   does not reach Redis, for nine tenths of its lease (13.5 s). The same goes
//!   for a server that lost its memory, for one whose time of day is set forward,
//!   and for one that evicts keys; of that, [`RedisRegistry::warnings`] tells.
//! - In all other cases there are never two, as long as the two machines' clocks
//!   run equally fast, to within a tenth.
//! - A command that was on its way when its connection was lost can reach the
//!   server late. A name announced by it after it had been freed stays taken for
//!   one lease.
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
//! when its name changes, is flushed, or is deleted after its lease has ended,
//! which Redis does in its own time; with all others when the
//! connection is lost, a call on it takes too long, or 4,096 names are
//! remembered; and [`RedisOptions::remember`] after the question at the
//! latest. Only names that were found are remembered. A server that has no client
//! tracking is asked each time.
//!
//! A lease that is renewed counts as a change: others ask once more then.
//!
//! So an answer can be out of date for as long as the news is on its way, or
//! waits for a thread to read it.
//! Whoever finds that it led nowhere calls
//! [`requery`](virtnet_core::Registry::requery), which asks Redis; a dial does.
//!
//! # What it needs
//!
//! Redis 6 or later, or what speaks its protocol, and a user with the rights to
//! the network's keys, and to these commands. Joining tries those of the first
//! two lines.
//!
//! Its tests run on Redis 7.0.15, and those of leases, look-ups and scripts also on
//! Redis 6.2.14 and Valkey 9.1.2; Redis 6.0.9 and 8.2.3 were tried by hand. A server or
//! proxy that has no client tracking, or no RESP3, is asked each time, and
//! [`RedisRegistry::warnings`] tells; fakeredis 2.40.0 is such a one, and passes the checks
//! that every registry must pass.
//!
//! | to | rights |
//! |---|---|
//! | announce, renew, free | `EVAL`, `GET`, `SET`, `DEL`, `PEXPIRE`, `PTTL`, `TIME`, `ZADD`, `ZREM`, `ZREMRANGEBYSCORE` |
//! | query | `GET`, and `CLIENT` unless [`RedisOptions::remember`] is zero |
//! | list | `ZSCAN`, `MGET`, `PTTL` |
//! | be warned of eviction | `INFO` |
//! | look up, in a cluster, while the slot is moved | `ASKING` |
//!
//! So this makes a user who may do all of it, for the network `pipet`:
//!
//! ```text
//! ACL SETUSER pipet on >password resetkeys ~virtnet:{pipet}:* -@all
//!     +eval +get +set +del +pexpire +pttl +time +zadd +zrem +zremrangebyscore
//!     +client|tracking +client|caching +zscan +mget +info
//! ```

mod cache;
mod connection;
mod hostdata;
mod lease;
mod options;
mod registry;
mod schema;
#[cfg(test)]
mod tests;
mod text;

pub use hostdata::HostdataSource;
pub use options::{ClientCertificate, RedisOptions};
pub use registry::RedisRegistry;
pub use registry::listing::{HostLease, Listing};
