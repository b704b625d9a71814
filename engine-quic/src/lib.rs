//! virtnet's transport over real networks: QUIC.
//!
//! Every host of a subnetwork has a UDP socket, which is announced as
//! `host:port`. All connections from one host to another are streams of one
//! QUIC connection, so that a dial costs one round trip. Both sides prove their
//! names: a dial never reaches a host that is not the dialed one, and an
//! accepted connection comes from whom it says.
//!
//! ```
//! use virtnet_core::SubNetwork;
//! use virtnet_core::memory::MemoryHub;
//! use virtnet_engine_quic::{Identity, QuicConfig, Secret};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = Secret::random();
//! let hub = MemoryHub::new();
//! let join = || -> Result<SubNetwork, Box<dyn std::error::Error>> {
//!     let prepared = QuicConfig::new(Identity::secret(secret.clone()))
//!         .bind("127.0.0.1:0".parse()?)
//!         .prepare("net")?;
//!     let registry = std::sync::Arc::new(hub.registry());
//!     Ok(SubNetwork::new("net", registry, |notifier| prepared.start(notifier))?)
//! };
//! // Two subnetworks of one network, as two processes would have them.
//! let (here, there) = (join()?, join()?);
//! let (alpha, beta) = (here.new_host("α").await?, there.new_host("β").await?);
//!
//! let listener = alpha.listen("α:1")?;
//! let (mut dialed, (mut accepted, peer)) =
//!     tokio::try_join!(beta.dial("α:1"), listener.accept())?;
//! assert_eq!(peer, "β:1");
//! assert_eq!(dialed.peer_addr(), "α:2");
//!
//! dialed.write_all(b"hello").await?;
//! drop(dialed);
//! let mut heard = String::new();
//! accepted.read_to_string(&mut heard).await?;
//! assert_eq!(heard, "hello");
//!
//! here.close().await?;
//! there.close().await?;
//! # Ok(()) }
//! ```
//!
//! # Who may join
//!
//! An [`Identity`] says how hosts prove their names. With a [`Secret`] that all
//! members share, each derives the same certificate authority from it and from
//! the network's name, and mints certificates for its own hosts. So a member
//! can be any host of its network, and of no other. Where that is too much,
//! bring certificates that were made elsewhere.
//!
//! # What is bounded
//!
//! A dial ends within [`dial_timeout`](QuicConfig::dial_timeout) unless the
//! other side has said that it is still deciding; a peer that falls silent is
//! given up after [`idle_timeout`](QuicConfig::idle_timeout); closing delivers
//! what was written for [`drain_timeout`](QuicConfig::drain_timeout) at most.
//! A reader may lag 2 MiB behind, and one that stopped holds up no other stream;
//! what is on its way to a peer, 2 MiB at the most, all streams to it share
//! ([`Tuning`] changes either). A connection that is cut is an error for the
//! reader, never end-of-file.

mod config;
#[cfg(test)]
mod decoder_tests;
mod dial_error;
mod endpoint;
mod engine;
#[cfg(test)]
mod golden_tests;
mod hostdata;
mod identity;
mod observe;
mod udp;
mod wire;

pub use config::limits::Limits;
pub use config::tuning::Tuning;
pub use config::{Prepared, QuicConfig};
pub use engine::QuicEngine;
pub use identity::secret::{Secret, SecretError};
pub use identity::{Identity, dns_name};
pub use observe::stats::{SocketBuffers, Stats, StatsSnapshot};
