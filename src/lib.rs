//! virtnet: virtual networks of named hosts with predictable addresses, for
//! testing distributed systems across real machines.
//!
//! A *network* has *hosts*, by name, and each host has *ports* of its own that
//! are allocated lowest free first, from 1. So what a test sees of a system, who
//! connected whom from where to where, is the same on every run and can be
//! compared with what was expected; and it is the same within one process,
//! between two, and between containers on different machines.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! let subnet = virtnet::testing::join().await?; // a network of this test's own
//! let (alpha, beta) = (subnet.new_host("α").await?, subnet.new_host("β").await?);
//! let listener = beta.listen("β:1")?;
//!
//! // As soon as one fails, the other is not waited for.
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
//! That program runs within one process. With `VIRTNET_REGISTRY` naming a Redis
//! server and `VIRTNET_SECRET` the secret that the members share, the same hosts
//! can live in different processes and on different machines, without a change
//! to the program.
//!
//! # The tour
//!
//! 1. **Join** a network: a test one of its own with [`testing::join`], what is to meet others
//!    the one that the environment names with [`join()`], or with a [`Config`]. What comes of it is a [`SubNetwork`], this process's part of
//!    the network. It is to be [closed](SubNetwork::close) at the end, which
//!    delivers what was written and frees the names.
//! 2. **Make hosts** with [`SubNetwork::new_host`]. A name exists once in the
//!    whole network.
//! 3. **Listen** and **dial** with [`Host::listen`] and [`Host::dial`]; an
//!    address is written `host:port`. A [`Listener`] accepts.
//! 4. **Read and write** a [`Conn`]: it is tokio's `AsyncRead` and `AsyncWrite`,
//!    with half-close, and can be split. What differs from a `TcpStream` is in
//!    `docs/tcp.md`.
//! 5. **Match errors** by [`Cause`]. Every [`OpError`] says which operation
//!    failed between which addresses.
//!
//! Tests that need no process but their own, and no I/O at all, use [`pipe`].
//!
//! # Ports
//!
//! A listener takes a port, and so does each end of a connection: the dialing
//! and the accepting end each the lowest that is free on their host. A port is
//! free again as soon as its object is closed. On a network with fresh hosts:
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
//! The other end of a connection frees its port when its program has dropped it, too, which
//! takes a moment: [`Host::idle`] waits for that, before a test expects the next exact address.
//!
//! # Between processes
//!
//! With [`Config::registry`] `local:`, or `VIRTNET_REGISTRY=local:`, one user's
//! processes on one machine find each other through a folder ([`local`]), in which
//! the secret is made by whoever comes first. Nothing has to run or be set up. It is not
//! the default, as tests that run side by side must not meet; of the command it is.
//!
//! # Between machines
//!
//! [`quic`] carries the connections, one UDP socket per host. Every QUIC
//! connection is mutually authenticated as the *name* of the host on that
//! network: by a [`quic::Secret`] that all members share, or by certificates of
//! your own ([`Config::pki_files`]). How a machine is reached is found out, or set
//! with [`Config::advertise`]; which ports a firewall must let through, with
//! [`Config::bind`].
//!
//! [`redis`] keeps the names: in a Redis server, `redis://host:port`, or in
//! several, `redis+sentinel://` and `redis+cluster://`; each with `rediss` for TLS
//! ([`Config::registry`], [`Config::registry_ca`]). Names are *leased*, and
//! renewed as long as their process lives: closing frees them at once, and those
//! of a process that was killed are free after the lease, 15 seconds unless
//! [`Config::lease`] says otherwise. A host that can't be sure of its name any
//! more accepts nothing until it can, and goes down if another has taken it.
//!
//! A test that needs hosts of other processes waits for them with
//! [`SubNetwork::wait_for_hosts`], or from outside of the network with
//! [`Config::wait_for_hosts`]. A process that is started again after it was killed
//! waits for its name with [`SubNetwork::new_host_within`]. Tests that run side by
//! side share one Redis as they are, by [`testing`]; CI jobs by different `VIRTNET_NETWORK`s.
//!
//! With `docker-compose.yml`, in the project's root, all of that runs in containers
//! of one machine; members there make the secret together
//! ([`Config::secret_init_file`]).
//!
//! # Closing
//!
//! What is dropped is closed, and what was written before is delivered. Closing an object
//! ends all that waits on it, at once: a [`Host`] its listeners, connections and dials, a
//! [`SubNetwork`] its hosts. Each operation then says what went down:
//!
//! | closed | accept | read | write | dial |
//! |---|---|---|---|---|
//! | subnetwork | network is down | network is down | network is down | network is down |
//! | own host | host is down | host is down | host is down | host is down |
//! | own listener, connection | socket is down | socket is down | socket is down | |
//! | the other side's | | end-of-file | broken pipe | connection refused |
//!
//! A connection whose other side was killed or cut off is an error, *connection cut* or
//! *timed out*, and never ends in end-of-file. To close one direction only, and to
//! go on reading, there is [`shutdown`](tokio::io::AsyncWriteExt::shutdown), as with TCP.
//!
//! Dropping a future cancels it: each `async fn` says what that leaves behind. The one to
//! know is [`Listener::accept`], which loops that wait for more replace by
//! [`Listener::into_incoming`].
//!
//! # Errors
//!
//! An [`OpError`] reads as what, where and why, and has a [`Cause`] to match on:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use virtnet::Cause;
//!
//! let subnet = virtnet::testing::join().await?;
//! let alpha = subnet.new_host("α").await?;
//! let err = alpha.dial("α:1").await.unwrap_err();
//! assert_eq!(err.cause(), Cause::ConnectionRefused);
//! let network = subnet.network();
//! assert_eq!(err.to_string(), format!("dial {network} α:1->α:1: connection refused"));
//! // As an io::Error it has the kind that TCP's would have, and can be had back.
//! let err = std::io::Error::from(err);
//! assert_eq!(err.kind(), std::io::ErrorKind::ConnectionRefused);
//! assert_eq!(virtnet::OpError::of(&err).unwrap().src().unwrap(), "α:1");
//! # subnet.close().await?;
//! # Ok(()) }
//! ```
//!
//! That a host was killed or cut off shows in different causes, by where it was and when it is
//! dialed. [`OpError::is_unreachable`] holds for all of them, in one process as between containers.
//! Sources can be downcast: beneath an [`OpError`] there is the [`RegistryError`] that
//! it is made of, and beneath that its [`Cause`], or what led to it.
//!
//! # Watching
//!
//! All is traced with [`tracing`](https://docs.rs/tracing): hosts that are made and closed
//! at *info*, a name that was lost and a registry that is down at *warn*, and at *debug*
//! the whole way of each dial on both sides, in the spans `dial` and `incoming`: the port
//! taken, what the registry said, the QUIC connection made or reused, accepted at which
//! port, or why not. Nothing that is secret is ever said, and what nobody listens to costs
//! no allocation. [`SubNetwork::stats`] counts what is open, the outcomes of dials, and the
//! dials that were refused; [`quic::Stats`] counts what the engine refused.
//! [`Host::sockets`] lists what is open; the feature
//! `metrics-0_24` hands all counts to a recorder. For Wireshark there is
//! [`Config::key_log`], and for what QUIC does [`Config::qlog`], by the feature `qlog`.
//!
//! # Bringing your own
//!
//! A transport is an [`Engine`]: it makes a host's resources and announces them, connects
//! two addresses, and asks its [`Notifier`] about what comes in. A place for names is a
//! [`Registry`]. [`SubNetwork::new`] joins any two, and the feature `conformance` of
//! `virtnet-core` has the checks that both must pass. [`pipe`] and [`memory`] are the
//! smallest of each.
//!
//! # Limits
//!
//! All that is bounded, with what happens past it, is on one page, `docs/limits.md` of the
//! project. [`Limits`] are a subnetwork's, [`quic::Limits`] an engine's; what was refused is in
//! [`Stats::refused`] and [`quic::Stats`].
//!
//! # Features
//!
//! - `metrics-0_24`: the module `figures`, for a recorder of the crate `metrics`.
//! - `qlog`: QUIC's own account of each connection, in files ([`Config::qlog`]).
//! - `cli` (default): the command `virtnet`. Without it there is only this
//!   library, and fewer dependencies.
//! - `axum-0_8`, `hyper-util-0_1`, `tonic-0_14`: services and clients of those
//!   crates, in those versions, on virtual hosts; see [`adapt`].

mod bind;
mod config;
mod env;
#[cfg(feature = "metrics-0_24")]
pub mod figures;
mod join;
mod look;
mod registries;
mod route;
mod setting;
pub mod testing;
mod vars;

pub use config::{Config, DEFAULT_NETWORK, DEFAULT_REGISTRY};
pub use env::join;
pub use join::JoinError;
pub use look::HostInfo;
pub use setting::SettingError;

pub use virtnet_core::{
    Abort, Accept, Addr, AddrError, BACKLOG, ByteStream, Cause, Conn, Dials, Engine, Failure, Host,
    Incoming, Limits, Listener, Lost, MAX_NAME, Notifier, Op, OpError, Open, OwnedReadHalf,
    OwnedWriteHalf, ReadHalf, Refused, Registry, RegistryError, ReuniteError, SocketInfo,
    SocketState, Stats, SubNetwork, ToAddr, WriteHalf, check_hostname, check_network, report,
};
#[doc(inline)]
pub use virtnet_core::{adapt, memory, pipe};

#[doc(inline)]
pub use virtnet_engine_quic as quic;
#[doc(inline)]
pub use virtnet_registry_local as local;
#[doc(inline)]
pub use virtnet_registry_redis as redis;

/// The programs of the pages: they run as tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/limits.md")]
    struct Limits;
    #[doc = include_str!("../docs/tcp.md")]
    struct Tcp;
}
