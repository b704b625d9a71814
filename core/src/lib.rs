//! The core of virtnet: virtual networks, independent of the transport below.
//!
//! A virtual network has named hosts. Each host has its own ports, allocated
//! *lowest free first, from 1*. The addresses in a test of a distributed system
//! are therefore predictable, and a test can compare them with an expected
//! sequence of events.
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
//! A [`SubNetwork`] is one process's part of a network. It owns [`Host`]s, which
//! create [`Listener`]s and [`Conn`]s. Below it, an [`Engine`] carries connections
//! and a [`Registry`] maps host names to locations. The engine reports incoming
//! dials to a [`Notifier`], and hands a connection over with an [`Accept`].
//! [`pipe`] and [`memory`] are an in-memory engine and registry. To check your
//! own engine or registry, use the `conformance` module, behind the feature of
//! the same name.
//!
//! To run axum and tonic services and HTTP clients on a virtual network, see
//! [`adapt`].
//!
//! # Errors
//!
//! Every operation reports an [`OpError`]: the operation, the network, the
//! addresses, and a [`Cause`] to match on. Reads and writes wrap it in an
//! [`io::Error`](std::io::Error).
//!
//! The `Display` text of an error is one complete line. Its source is an error
//! that this text already contains: the source of an [`OpError`] is the
//! [`RegistryError`] if a registry reported it, and the source of that is the
//! [`Cause`] or an underlying error. Use sources for downcasting; a printer that
//! appends them to the text repeats itself. `Debug`, which Rust prints when `main`
//! or a test returns an error, shows the text and each source that adds something
//! ([`report`]).
//!
//! # Closing
//!
//! A handle keeps its parent open: a connection keeps its host, a host its
//! subnetwork. Closing a parent closes its children: a subnetwork closes its
//! hosts, a host its listeners and connections. Only the first close of an object
//! counts, and determines the cause of later errors.

pub mod adapt;
mod addr;
#[cfg(feature = "conformance")]
pub mod conformance;
mod context;
mod contract;
mod control;
mod error;
mod host;
mod in_memory;
mod rules;
mod subnet;
pub mod supervision;
pub mod trace;
mod wildcard;

/// Faults between named hosts: what may be done to their traffic, the plan that says where, and
/// [`Faults`](faults::Faults), which sets it on a network.
pub mod faults {
    pub use crate::control::{
        FaultError, FaultGuard, Faults, Healed, MemberStatus, Refusal, RuleStatus, Status,
    };
    pub use crate::rules::*;
}

pub use addr::Addr;
pub use addr::name::{AddrError, MAX_NAME, check_hostname, check_network};
pub use addr::to_addr::ToAddr;
pub use context::fault_counts::FaultStats;
pub use context::limits::{BACKLOG, Limits, Refused};
pub use context::outcomes::Dials;
pub use contract::documents::{
    Documents, MAX_DOCUMENT, MAX_DOCUMENT_KEY, MAX_DOCUMENTS, MAX_DOCUMENTS_SIZE,
    MIN_DOCUMENT_LIFETIME, check_document, check_document_key, check_document_list,
    check_document_topic, document_topic,
};
pub use contract::engine::{Abort, ByteStream, Enforced, Engine, MAX_FIRST_BYTES};
pub use contract::registry::{Lost, Registry};
pub use contract::traces::{
    MAX_TRACE_BATCH, MAX_TRACE_BATCHES, MAX_TRACE_READ, MAX_TRACE_SIZE, TracePosition, Traces,
    check_trace_batch,
};
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
