//! virtnet: virtual networks of named hosts with predictable addresses, for testing
//! distributed systems across real machines.
//!
//! A *network* has *hosts*, which have names. Each host has its own *ports*, which are
//! allocated from 1, lowest free port first. So a test sees the same addresses on every run,
//! and can compare who connected to whom, and from which address, with what it expects. The
//! addresses are the same within one process, between processes, and between containers on
//! different machines.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! let subnet = virtnet::testing::open().await?; // a network for this test only
//! let (alpha, beta) = (subnet.new_host("α").await?, subnet.new_host("β").await?);
//! let listener = beta.listen("β:1")?;
//!
//! // If one fails, this does not wait for the other.
//! let (mut dialed, (mut accepted, peer)) =
//!     tokio::try_join!(alpha.dial("β:1"), listener.accept())?;
//! assert_eq!(peer, "α:1");
//! assert_eq!(accepted.local_addr(), "β:2");
//!
//! dialed.write_all(b"hello").await?;
//! dialed.shutdown().await?;
//! let mut heard = String::new();
//! accepted.read_to_string(&mut heard).await?;
//! assert_eq!(heard, "hello");
//! subnet.close().await?;
//! # Ok(()) }
//! ```
//!
//! This program runs within one process. Set `VIRTNET_REGISTRY` to the URL of a Redis server
//! and `VIRTNET_SECRET` to a secret that all members share, and the same hosts can live in
//! different processes and on different machines. The program does not change.
//!
//! # Predictable addresses
//!
//! A listener takes a port, and so does each end of a connection. Both the dialing and the
//! accepting end get the lowest free port of their host. A port is free again as soon as its
//! object is closed. On a network with new hosts:
//!
//! | step | result |
//! |---|---|
//! | α dials `:0` | refused, and the error's source is `α:1`; the port is free again |
//! | α listens on the empty string | `α:1` |
//! | α dials `:0` | refused, source `α:2` |
//! | β dials `α:1`, α accepts | `β:1` – `α:2` |
//! | β dials `α:1` again, α accepts | `β:2` – `α:3` |
//! | α listens on `:0` | `α:4` |
//!
//! The other end of a connection keeps its port until its program has dropped it, too, which
//! takes a moment. Before a test expects the next exact address, it waits with [`Host::idle`].
//!
//! # Tour
//!
//! 1. **Open** a network. A test opens its own with [`testing::open`]. A program that is to
//!    meet others uses [`open()`], which reads the environment, or [`Config::open`]. The
//!    result is a [`SubNetwork`]: this process's part of the network. Call
//!    [`SubNetwork::close`] at the end: it delivers what was written and frees the names.
//! 2. **Create hosts** with [`SubNetwork::new_host`]. A name is unique in the whole network.
//! 3. **Listen** and **dial** with [`Host::listen`] and [`Host::dial`]. An address is written
//!    `host:port`. A [`Listener`] accepts connections.
//! 4. **Read and write** a [`Conn`]. It implements tokio's `AsyncRead` and `AsyncWrite`, with
//!    half-close, and can be split. `docs/tcp.md` lists the differences from a `TcpStream`.
//! 5. **Match errors** by [`Cause`]. Every [`OpError`] says which operation failed between
//!    which addresses.
//!
//! Tests that need only one process, and no I/O at all, use [`pipe`].
//!
//! # Between processes
//!
//! With the registry `local:` ([`Config::registry`], `VIRTNET_REGISTRY=local:`), one user's
//! processes on one machine find each other through a folder (the module `local`). The first
//! process creates the shared secret in that folder. There is nothing to start or set up. It
//! is not the default, because tests that run at the same time must not meet. It is the
//! default of the command.
//!
//! # Between machines
//!
//! [`quic`] carries the connections, with one UDP socket per host. Both sides of a QUIC
//! connection prove the *name* of their host on that network: with a [`quic::Secret`] that
//! all members share, or with your own certificates ([`Config::pki_files`]). By default, a
//! machine finds its own address; [`Config::advertise`] sets it. [`Config::bind`] sets the
//! ports, so that you can open them in a firewall.
//!
//! The module `redis` keeps the names, in one Redis server, `redis://host:port`, or in several,
//! `redis+sentinel://` and `redis+cluster://`; each with `rediss` for TLS
//! ([`Config::registry`], [`Config::registry_ca`]). Names are *leased*, and renewed as long
//! as their process lives. Closing frees them at once. The names of a killed process are
//! free after the lease: 15 seconds, unless [`Config::lease`] changes it. A host that cannot
//! be sure that it still has its name accepts nothing until it can. It goes down if another
//! process has taken the name.
//!
//! A test that needs hosts of other processes waits for them with
//! [`SubNetwork::wait_for_hosts`], or, without being a member, with
//! [`Observer::wait_for_hosts`]. After a crash, a restarted process finds its old name still
//! leased, and waits for it with [`SubNetwork::new_host_within`]. Tests that run at the same
//! time can share one Redis server: those that use [`testing`] without further settings, CI
//! jobs with different values of `VIRTNET_NETWORK`.
//!
//! `docker-compose.yml`, in the project's root, runs all of that in containers on one machine.
//! Its members create their secret together ([`Config::secret_init_file`]).
//!
//! # Closing
//!
//! Dropping an object closes it, and what was written before is delivered. Closing an object
//! ends every operation that waits on it, at once: closing a [`Host`] those on its listeners,
//! connections and dials, closing a [`SubNetwork`] those on its hosts. Each operation then
//! says what went down:
//!
//! | closed | accept | read | write | dial |
//! |---|---|---|---|---|
//! | subnetwork | network is down | network is down | network is down | network is down |
//! | own host | host is down | host is down | host is down | host is down |
//! | own listener, connection | socket is down | socket is down | socket is down | |
//! | the other side's | | end-of-file | broken pipe | connection refused |
//!
//! If the other side was killed or cut off, the error is *connection cut* or *timed out*,
//! never an end-of-file. To close one direction only and go on reading, call
//! [`shutdown`](tokio::io::AsyncWriteExt::shutdown), as with TCP.
//!
//! Dropping a future cancels it; each `async fn` says what that leaves behind. Mind
//! [`Listener::accept`]: a loop that also waits for something else uses
//! [`Listener::into_incoming`] instead.
//!
//! # Errors
//!
//! An [`OpError`] says what failed, where and why, and has a [`Cause`] to match on:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use virtnet::Cause;
//!
//! let subnet = virtnet::testing::open().await?;
//! let alpha = subnet.new_host("α").await?;
//! let err = alpha.dial("α:1").await.unwrap_err();
//! assert_eq!(err.cause(), Cause::ConnectionRefused);
//! let network = subnet.network();
//! assert_eq!(err.to_string(), format!("dial {network} α:1->α:1: connection refused"));
//! // As an io::Error it has the kind that TCP would give, and can be converted back.
//! let err = std::io::Error::from(err);
//! assert_eq!(err.kind(), std::io::ErrorKind::ConnectionRefused);
//! assert_eq!(virtnet::OpError::of(&err).unwrap().src().unwrap(), "α:1");
//! # subnet.close().await?;
//! # Ok(()) }
//! ```
//!
//! A host that was killed or cut off gives different causes, depending on where it was and
//! when it is dialed. [`OpError::is_unreachable`] is true for all of them, within one process
//! and between containers. Sources can be downcast: beneath an [`OpError`] made from a
//! [`RegistryError`] is that error, and beneath it its [`Cause`] or the underlying error.
//!
//! # Observing
//!
//! [`tracing`](https://docs.rs/tracing) events report hosts that are created and closed at
//! *info*; a lost name and a registry that is down at *warn*; and at *debug*, in the spans
//! `dial` and `incoming`, each step of a dial on both sides: the port taken, the registry's
//! answer, the QUIC connection made or reused, the port that accepted, or the reason why not.
//! Secrets are never logged. Events that no subscriber records cost no allocation.
//!
//! [`SubNetwork::stats`] counts what is open, the outcomes of dials, and the dials that were
//! refused. [`quic::Counters`] counts what the engine refused. The feature `metrics-0_24` gives
//! all counts to a recorder. [`Host::sockets`] lists what is open. [`Config::key_log`] writes
//! keys for Wireshark, and [`Config::qlog`] what QUIC does, with the feature `qlog`.
//!
//! # The trace
//!
//! A subnetwork can record what happens at its hosts, and the records of a network's subnetworks are
//! merged in causal order, on one machine or several: see [`trace`]. Networks of
//! [`testing`] record in memory. `VIRTNET_TRACE` names a folder to write to
//! ([`Config::trace`]). With `VIRTNET_TRACE=live`, a test in one process waits for what happens in others, and
//! compares it, with the feature `trace-files` ([`Config::trace_live`]).
//!
//! # Your own transport or registry
//!
//! A transport is an [`Engine`]: it creates and announces a host's resources, connects two
//! addresses, and asks its [`Notifier`] about incoming connections. A [`Registry`] keeps the
//! names. [`SubNetwork::new`] combines any two. The feature `conformance` of `virtnet-core`
//! has the checks that both must pass. [`pipe`] and [`memory`] are the smallest of each.
//!
//! # Limits
//!
//! `docs/limits.md` in the project lists every limit, and what happens beyond it. [`Limits`]
//! apply to a subnetwork, [`quic::Limits`] to an engine. [`Stats::refused`] and
//! [`quic::Counters`] count what was refused.
//!
//! # Features
//!
//! - `local` (default): the registry `local:`, and the module `local`.
//! - `redis` (default): the registries `redis://`, `redis+sentinel://` and
//!   `redis+cluster://`, and the module `redis`. Without it, `memory:` is left, and `local:`
//!   with its feature; any other URL is an error that names the missing feature.
//! - `cli`: the command `virtnet`, with both registries. A library does not need it.
//! - `metrics-0_24`: the module `metrics`, which gives counts to a recorder of that crate.
//! - `programs`: the module `programs`, which puts programs as they are on virtual hosts.
//! - `trace-files`: traces are read, files and live ones ([`trace`]); to write or send them it is not needed.
//! - `qlog`: QUIC's own log of each connection, in files ([`Config::qlog`]).
//! - `axum-0_8`, `hyper-util-0_1`, `tonic-0_14`: services and clients of those
//!   crates, in those versions, on virtual hosts; see [`adapt`].

mod bind;
mod config;
mod env;
#[cfg(feature = "metrics-0_24")]
pub mod metrics;
mod observer;
mod open;
#[cfg(feature = "programs")]
pub mod programs;
mod registries;
// Only a registry that is a server needs a route.
#[cfg_attr(not(feature = "redis"), allow(dead_code))]
mod route;
mod setting;
pub mod testing;
pub mod trace;
mod vars;

pub use config::{Config, DEFAULT_NETWORK, DEFAULT_REGISTRY};
pub use env::open;
pub use observer::Observer;
pub use open::OpenError;
pub use registries::HostEntry;
pub use setting::SettingError;

pub use virtnet_core::{
    Abort, Accept, Addr, AddrError, BACKLOG, ByteStream, Cause, Conn, Dials, Documents, Enforced,
    Engine, Failure, FaultStats, Host, Incoming, Limits, Listener, Lost, MAX_DOCUMENT,
    MAX_DOCUMENT_KEY, MAX_DOCUMENTS, MAX_DOCUMENTS_SIZE, MAX_FIRST_BYTES, MAX_NAME,
    MAX_TRACE_BATCH, MAX_TRACE_BATCHES, MAX_TRACE_READ, MAX_TRACE_SIZE, MIN_DOCUMENT_LIFETIME,
    Notifier, Op, OpError, Open, OwnedReadHalf, OwnedWriteHalf, ReadHalf, Refused, Registry,
    RegistryError, ReuniteError, SocketInfo, SocketState, Stats, SubNetwork, ToAddr, TracePosition,
    Traces, WriteHalf, check_document, check_document_key, check_document_list,
    check_document_topic, check_hostname, check_network, check_trace_batch, document_topic, report,
};
#[doc(inline)]
pub use virtnet_core::{adapt, faults, memory, pipe, supervision};

#[doc(inline)]
pub use virtnet_engine_quic as quic;
#[cfg(feature = "local")]
#[doc(inline)]
pub use virtnet_registry_local as local;
#[cfg(feature = "redis")]
#[doc(inline)]
pub use virtnet_registry_redis as redis;

/// Programs in the pages, which run as tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/faults.md")]
    struct Faults;
    #[doc = include_str!("../docs/limits.md")]
    struct Limits;
    #[doc = include_str!("../docs/tcp.md")]
    struct Tcp;
    #[doc = include_str!("../docs/trace.md")]
    struct Trace;
}
