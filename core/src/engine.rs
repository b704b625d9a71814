//! The engine's contract: what carries connections between hosts.
//!
//! Owns the trait, and [`ByteStream`], what an engine hands in and out. Never
//! knows of ports being free or taken: the subnetwork above decides that.

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Addr, Failure, Registry};

/// The transport under a subnetwork.
///
/// An engine is made with a [`Notifier`](crate::Notifier), by which it hands
/// in what arrives. It must not keep the subnetwork alive, and does not: the
/// notifier is weak.
///
/// All methods may be called from many tasks at once. Dropping a returned
/// future cancels the call and leaves nothing behind: no half-made host, and
/// no connection that the other side would be handed.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Creates the resources of a host and announces it to `registry`, with
    /// hostdata that lets any other subnetwork's engine reach it.
    ///
    /// From the moment of the announcement dials may arrive and be handed to
    /// the notifier.
    ///
    /// # Errors
    ///
    /// The registry's error as it is; otherwise what kept the resources from
    /// being made. The host then does not exist, and its name is free.
    async fn vnet_new_host(&self, hostname: &str, registry: &dyn Registry) -> Result<(), Failure>;

    /// Connects `src`, a host made here, to `dst`, which is reached as
    /// `dst_hostdata` says, and lets the other side know that the peer is
    /// `src`.
    ///
    /// Both are always addresses of the engine's own network, whose subnetwork is all
    /// that calls it: [`Addr::network`] of both is the name that the subnetwork was
    /// made with, and an address of another network is refused before.
    ///
    /// Returns the stream and the address that accepted. It must not succeed
    /// before the other side's [`Accept`](crate::Accept) gave that address,
    /// and the other side must not be acknowledged when the returned future
    /// was dropped before it succeeded.
    ///
    /// # Errors
    ///
    /// What the other side's notifier decided; otherwise what kept the engine
    /// from reaching it, naming the place it tried.
    async fn vnet_dial(
        &self,
        src: &Addr,
        dst: &Addr,
        dst_hostdata: &str,
    ) -> Result<(ByteStream, Addr), Failure>;

    /// Releases everything: hosts, transport connections, tasks.
    ///
    /// What the subnetwork was running on the engine has been cancelled
    /// before. Streams that were dropped are delivered first, within a bound
    /// that the engine documents. Closing again succeeds and does nothing.
    ///
    /// The subnetwork never drops the returned future, unless its runtime ends.
    ///
    /// # Errors
    ///
    /// When something could not be delivered or released.
    async fn close(&self) -> Result<(), Failure>;
}

/// The two directions of a connection, as an engine carries them.
///
/// What the core relies on:
///
/// - *reader*: gives what the peer wrote, in order, then end-of-file once the
///   peer shut down or dropped its writer. A cut is an error, never
///   end-of-file. Dropping it makes the peer's later writes fail with
///   [`BrokenPipe`](std::io::ErrorKind::BrokenPipe).
/// - *writer*: takes bytes with backpressure. `poll_shutdown` ends the stream;
///   dropping the writer does the same, and what was written before is
///   delivered in the background. Neither blocks.
/// - Both are dropped on any thread, also outside of the runtime, and wake by
///   scheduling: a waker must not be run to its end within a poll.
/// - Error kinds: `BrokenPipe` where the peer does not read any more,
///   `TimedOut` or `ConnectionReset` for a cut.
pub struct ByteStream {
    pub(crate) reader: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) writer: Box<dyn AsyncWrite + Send + Unpin>,
}

impl ByteStream {
    /// Joins the two directions of a connection.
    pub fn new(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> ByteStream {
        ByteStream {
            reader: Box::new(reader),
            writer: Box::new(writer),
        }
    }
}

impl std::fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByteStream").finish_non_exhaustive()
    }
}
