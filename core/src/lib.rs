//! The core of virtnet: what a virtual network does, whatever carries it.
//!
//! A virtual network has named hosts, each with ports of its own that are
//! allocated *lowest free first, from 1*. So the addresses that a test of a
//! distributed system sees are predictable, and can be compared with an
//! expected sequence of events.
//!
//! ```
//! use virtnet_core::pipe::PipeNetwork;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let network = PipeNetwork::new("pipet")?;
//! let alpha = network.subnetwork().new_host("α").await?;
//! let beta = network.subnetwork().new_host("β").await?;
//!
//! let err = alpha.dial("β:1").await.unwrap_err();
//! assert_eq!(err.to_string(), "dial pipet α:1->β:1: connection refused");
//!
//! let listener = beta.listen("β:1")?;
//! let (dialed, (conn, peer)) = tokio::try_join!(alpha.dial("β:1"), listener.accept())?;
//! assert_eq!(dialed.peer_addr(), "β:2");
//! assert_eq!(conn.local_addr(), "β:2");
//! assert_eq!(peer, "α:1");
//! # Ok(()) }
//! ```
//!
//! # Parts
//!
//! A [`SubNetwork`] is one process's part of a network, home of its [`Host`]s;
//! these make [`Listener`]s and [`Conn`]s. Under it are an [`Engine`], which
//! carries connections, and a [`Registry`], which knows where hosts are. The
//! engine reports by a [`Notifier`], and hands a connection over with an
//! [`Accept`]. The embedded pair is in [`pipe`] and [`memory`]; whoever writes
//! another checks it with the `conformance` module, behind the feature of the
//! same name.
//!
//! Services of axum and tonic, and clients of HTTP, come onto a network as they are:
//! [`adapt`].
//!
//! # Errors
//!
//! Every operation reports an [`OpError`]: what failed, on which network,
//! between which addresses, and a [`Cause`] to match on. Reading and writing
//! wrap it in an [`io::Error`](std::io::Error).
//!
//! The text of an error, its `Display`, is one line and says all by itself. Its source
//! is what that text was made from: of an [`OpError`] the [`RegistryError`] where
//! a registry reported it, of that the [`Cause`] or what led to it. So sources are there to be
//! downcast, and a printer that adds them to the text says some things twice.
//! `Debug`, which Rust shows where `main` or a test returns an error, is the text and
//! each source that says more ([`report`]).
//!
//! # Closing
//!
//! Handles keep what they came from: a connection keeps its host, a host its
//! subnetwork. Closing goes the other way: a closed subnetwork takes its hosts
//! down, a closed host its listeners and connections. Only the first close of
//! an object counts, and names the cause.

pub mod adapt;
mod addr;
#[cfg(feature = "conformance")]
pub mod conformance;
mod context;
mod contract;
mod error;
mod host;
mod in_memory;
mod subnet;

pub use addr::Addr;
pub use addr::name::{AddrError, MAX_NAME, check_hostname, check_network};
pub use addr::to_addr::ToAddr;
pub use context::limits::{BACKLOG, Limits, Refused};
pub use context::outcomes::Dials;
pub use contract::engine::{Abort, ByteStream, Engine};
pub use contract::registry::{Lost, Registry};
pub use error::cause::{Cause, Failure};
pub use error::report::report;
pub use error::{Op, OpError, RegistryError};
pub use host::Host;
pub use host::accept::Accept;
pub use host::conn::Conn;
pub use host::incoming::Incoming;
pub use host::listener::Listener;
pub use host::socket::{SocketInfo, SocketState};
pub use host::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use subnet::SubNetwork;
pub use subnet::notifier::Notifier;
pub use subnet::stats::{Open, Stats};

#[doc(inline)]
pub use in_memory::{engine as pipe, registry as memory};
