//! virtnet's transport over real networks: QUIC.
//!
//! Every host of a subnetwork has its own UDP socket, which it announces in the
//! registry as `host:port`. All connections from one host to another are streams
//! of one QUIC connection, so a further dial costs one round trip. Both sides
//! prove their names: a dial reaches only the dialed host, and the peer address
//! of an accepted connection is verified.
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
//! // Two subnetworks of one network; usually each is in its own process.
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
//! let mut received = String::new();
//! accepted.read_to_string(&mut received).await?;
//! assert_eq!(received, "hello");
//!
//! here.close().await?;
//! there.close().await?;
//! # Ok(()) }
//! ```
//!
//! # Authentication
//!
//! An [`Identity`] defines how hosts prove their names. With a [`Secret`] that all
//! members share, each member derives the same certificate authority from the
//! secret and the network's name, and issues certificates for its own hosts. So a
//! member can act as any host of its network, but not of another network. To
//! restrict members further, supply your own certificates ([`Identity::pki`]).
//!
//! # Limits
//!
//! - A dial ends within [`dial_timeout`](QuicConfig::dial_timeout), unless the peer
//!   has replied that it is still deciding.
//! - Connections to a peer that stops responding are cut within
//!   [`idle_timeout`](QuicConfig::idle_timeout).
//! - A close waits at most [`drain_timeout`](QuicConfig::drain_timeout) until
//!   written data is delivered.
//! - Each stream buffers up to 2 MiB of unread data; a reader that stops blocks no
//!   other stream. All streams to one peer share 2 MiB of data in flight.
//!   [`Tuning`] changes both sizes.
//!
//! The reader of a connection that is cut gets an error, never end-of-file.
//!
//! # Faults
//!
//! The engine enforces the rules of a [`FaultTable`](virtnet_core::faults::FaultTable) that are on datagrams
//! ([`Engine::vnet_enforce`](virtnet_core::Engine::vnet_enforce)): cut, delay, rate, lose, duplicate and reorder,
//! for ordered pairs of hosts. Each host's UDP socket asks the table about each datagram that it sends, so a loss
//! is a real loss, and QUIC sends the data again. A cut is enforced by the receiver, too.
//!
//! - After a cut, what it dropped last is sent again, so that data flows at once, and not only when QUIC's
//!   back-off has ended. That costs the first samples of the round-trip time: for some round trips, QUIC
//!   waits longer than needed before it regards a datagram as lost.
//! - At most 64 MiB of a host's datagrams wait for their delay; more are lost, and counted
//!   ([`Stats::fault_queue_full`](Stats)). Times are kept to about a millisecond, and no datagram is early, except
//!   for those that still wait when their host is closed: they are sent then.
//! - The rules know a peer by the address of its QUIC connections. An accepting host learns the dialer's name from
//!   the first frame: the datagrams that it sends before that, the reply of the QUIC handshake, are only
//!   subject to cuts, which the dialing host enforces.

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

pub use config::QuicConfig;
pub use config::limits::Limits;
pub use config::tuning::Tuning;
pub use engine::{Prepared, QuicEngine};
pub use identity::marks::Marks;
pub use identity::secret::{Secret, SecretError};
pub use identity::{Identity, dns_name};
pub use observe::stats::{Counters, SocketBuffers, Stats};
