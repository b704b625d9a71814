//! The engine's contract: what carries connections between hosts.
//!
//! Owns the trait, and [`ByteStream`], what an engine hands in and out, with the
//! means to cut it. Never knows of ports being free or taken: the subnetwork above
//! decides that.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::{Addr, Failure, Registry};

/// The transport under a subnetwork.
///
/// An engine is made with a [`Notifier`](crate::Notifier), by which it hands
/// in what arrives. It must not keep the subnetwork alive, and does not: the
/// notifier is weak.
///
/// All methods may be called from many tasks at once. Dropping a returned
/// future cancels the call and leaves nothing behind: no half-made host, and
/// no connection that the other side would be handed. A connection that has come about on
/// one side only is cut: reset with an error at whoever has an end of it, never ended.
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

    /// How long a whole dial may take until the other side gives a sign of life: the
    /// look-up in the registry, [`vnet_dial`](Engine::vnet_dial), a second look-up and a
    /// second try where the first answer was out of date.
    ///
    /// Provided: none, so a dial takes as long as its parts do.
    fn dial_bound(&self) -> Option<Duration> {
        None
    }

    /// Does what [`vnet_dial`](Engine::vnet_dial) does, and waits for a sign of life of the
    /// other side until `by`: what is left of the
    /// [bound](Engine::dial_bound). Another side that has given one, and waits for an
    /// accept, may take longer.
    ///
    /// It is called in place of `vnet_dial` by dials that have a bound. Provided: calls
    /// `vnet_dial`, which is right for an engine without a bound.
    ///
    /// # Errors
    ///
    /// As of [`vnet_dial`](Engine::vnet_dial).
    async fn vnet_dial_by(
        &self,
        src: &Addr,
        dst: &Addr,
        dst_hostdata: &str,
        by: Instant,
    ) -> Result<(ByteStream, Addr), Failure> {
        let _ = by;
        self.vnet_dial(src, dst, dst_hostdata).await
    }

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

/// Cuts a connection that would end cleanly if its halves were just dropped.
pub trait Abort: Send + Sync + 'static {
    /// From here on dropping the halves of the connection *cuts* it: what was not
    /// sent is thrown away, and the peer's reads and writes report
    /// [`ConnectionReset`](std::io::ErrorKind::ConnectionReset), never end-of-file.
    ///
    /// A writer that was dropped before, and has not delivered all yet, is cut, too.
    /// One that was shut down or dropped, and has delivered its end, has ended cleanly.
    ///
    /// It is called at any time, on any thread, also more than once, and never blocks.
    /// The halves that are left are dropped right after it.
    fn abort(&self);
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
/// - *abort*: an [`Abort`], after which dropping them cuts the connection.
/// - Halves are dropped on any thread, also outside of the runtime, and wake by
///   scheduling: a waker must not be run to its end within a poll.
/// - Error kinds: `BrokenPipe` where the peer does not read any more,
///   `TimedOut` or `ConnectionReset` for a cut.
///
/// Nobody has it as long as it is no connection: dropping it cuts it, where it has an
/// abort. So a connection that was taken and never handed to anybody ends in an error
/// at the peer, whose data was not read.
pub struct ByteStream(Option<Parts>);

/// What a stream is made of.
pub(crate) struct Parts {
    pub(crate) reader: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) writer: Box<dyn AsyncWrite + Send + Unpin>,
    pub(crate) abort: Option<Arc<dyn Abort>>,
}

impl ByteStream {
    /// Joins the two directions of a connection that `abort` cuts.
    pub fn with_abort(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
        abort: Arc<dyn Abort>,
    ) -> ByteStream {
        ByteStream(Some(Parts {
            reader: Box::new(reader),
            writer: Box::new(writer),
            abort: Some(abort),
        }))
    }

    /// Joins two directions that can end, and can't be cut from this side.
    ///
    /// It is for tests, and for a stand-in of an engine. Over an engine that makes its
    /// connections of it, who aborts one, or has never handed it out, looks to its peer
    /// like who closed it: that is against the contract, and the conformance suite says so.
    pub fn new(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> ByteStream {
        ByteStream(Some(Parts {
            reader: Box::new(reader),
            writer: Box::new(writer),
            abort: None,
        }))
    }

    /// What it is made of, for the connection that somebody has.
    pub(crate) fn into_parts(mut self) -> Parts {
        self.0.take().expect("only this and the drop take it")
    }
}

impl Drop for ByteStream {
    fn drop(&mut self) {
        if let Some(abort) = self
            .0
            .take()
            .as_ref()
            .and_then(|parts| parts.abort.as_ref())
        {
            abort.abort();
        }
    }
}

impl std::fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByteStream").finish_non_exhaustive()
    }
}
