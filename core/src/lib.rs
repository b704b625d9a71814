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
//! let (dialed, accepted) = tokio::join!(alpha.dial("β:1"), listener.accept());
//! let (conn, peer) = accepted?;
//! assert_eq!(dialed?.peer_addr(), &"β:2");
//! assert_eq!(conn.local_addr(), &"β:2");
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
//! # Closing
//!
//! Handles keep what they came from: a connection keeps its host, a host its
//! subnetwork. Closing goes the other way: a closed subnetwork takes its hosts
//! down, a closed host its listeners and connections. Only the first close of
//! an object counts, and names the cause.

pub mod adapt;
mod addr;
mod cause;
mod close;
#[cfg(feature = "conformance")]
pub mod conformance;
mod conn;
mod dialing;
mod dials;
mod down;
mod engine;
mod error;
mod half;
mod host;
mod hosts;
mod idle;
mod incoming;
mod limits;
mod listener;
mod meeting;
pub mod memory;
mod name;
mod notifier;
mod open;
mod ops;
pub mod pipe;
mod ports;
mod registry;
mod socket;
mod split;
mod stream;
mod subnet;
mod sync;
mod to_addr;

pub use addr::Addr;
pub use cause::{Cause, Failure};
pub use conn::Conn;
pub use dials::Dials;
pub use engine::{Abort, ByteStream, Engine};
pub use error::{Op, OpError, RegistryError};
pub use host::Host;
pub use incoming::Incoming;
pub use limits::{BACKLOG, Limits, Refused};
pub use listener::Listener;
pub use name::{AddrError, MAX_NAME, check_hostname, check_network};
pub use notifier::{Accept, Notifier};
pub use open::Open;
pub use registry::{Lost, Registry};
pub use socket::{SocketInfo, SocketState};
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use subnet::SubNetwork;
pub use to_addr::ToAddr;
