//! The engine's contract: carrying connections between hosts.
//!
//! Owns the trait [`Engine`], and [`ByteStream`], a connection that an engine
//! takes and returns, with [`Abort`] to cut it. Never knows which ports are free:
//! the subnetwork above decides that.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use crate::faults::FaultTable;
use crate::{Addr, Failure, Registry};

/// How many first bytes a dial can take along ([`Host::dial_with`](crate::Host::dial_with)):
/// 16 KiB, about what a new QUIC connection may send in its first round trip (RFC 9002,
/// section 7.2). The rest can be written to the connection.
pub const MAX_FIRST_BYTES: usize = 16 << 10;

/// The transport below a subnetwork.
///
/// An engine is created with a [`Notifier`](crate::Notifier), to which it reports
/// incoming dials. The notifier holds a weak reference, so an engine does not keep
/// its subnetwork alive.
///
/// All methods may be called from many tasks at once. Dropping a returned future
/// cancels the call and leaves nothing behind on this side, and no incomplete host. A
/// connection established on one side only is cut: that side sees a reset, never
/// end-of-file.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Creates the resources of a host and announces it to `registry`, with
    /// hostdata by which the engine of any other subnetwork can reach it.
    ///
    /// Once announced, the host may be dialed, and the engine may call the notifier.
    ///
    /// # Errors
    ///
    /// The registry's error, unchanged; otherwise the reason why the resources
    /// could not be created. The host then does not exist, and its name is free.
    async fn vnet_new_host(&self, hostname: &str, registry: &dyn Registry) -> Result<(), Failure>;

    /// Connects `src`, a host of this engine, to `dst`, which is reached by
    /// `dst_hostdata`, and tells the other side that its peer is `src`.
    ///
    /// Both addresses are on the engine's own network: [`Addr::network`] of both is
    /// the name that the subnetwork was created with. The subnetwork refuses other
    /// addresses before it calls the engine.
    ///
    /// Returns the stream and the address that accepted. The call must not succeed
    /// before the other side's [`Accept`](crate::Accept) has provided that address.
    ///
    /// If the returned future is dropped before an accept has taken the dial, no accept may
    /// take it. Afterwards, the reply may be on its way, and the other side may have its end:
    /// that end must be *cut*, so that its first read fails with
    /// [`ConnectionReset`](std::io::ErrorKind::ConnectionReset) or, where the dialing process
    /// is gone, [`TimedOut`](std::io::ErrorKind::TimedOut), never with a clean end-of-file.
    /// An engine within one process leaves no such end.
    ///
    /// # Errors
    ///
    /// The decision of the other side's notifier; otherwise the reason why the engine
    /// could not reach it, naming the location it tried.
    async fn vnet_dial(
        &self,
        src: &Addr,
        dst: &Addr,
        dst_hostdata: &str,
    ) -> Result<(ByteStream, Addr), Failure>;

    /// The time limit of a whole dial until the other side's first response. It covers
    /// the query of the registry, [`vnet_dial`](Engine::vnet_dial), and a second query and
    /// attempt if the first answer was out of date.
    ///
    /// The default is no limit: a dial takes as long as its steps.
    fn dial_bound(&self) -> Option<Duration> {
        None
    }

    /// Dials as [`vnet_dial`](Engine::vnet_dial) does, but waits for the other side's first
    /// response only until `by`, the end of the [time limit](Engine::dial_bound). After
    /// that response, waiting for an accept may take longer.
    ///
    /// The subnetwork calls it instead of `vnet_dial` if there is a limit. The default
    /// calls `vnet_dial`, which is correct for an engine without a limit.
    ///
    /// # Errors
    ///
    /// See [`vnet_dial`](Engine::vnet_dial).
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

    /// Dials as [`vnet_dial_by`](Engine::vnet_dial_by) does, or as
    /// [`vnet_dial`](Engine::vnet_dial) where `by` is `None`. The bytes `first`, at most
    /// [`MAX_FIRST_BYTES`], are the first that the other side reads. If its accept does not
    /// take the dial, they are lost.
    ///
    /// The default dials, and then writes them. An engine that can send them along with the
    /// dial saves a round trip.
    ///
    /// # Errors
    ///
    /// See [`vnet_dial`](Engine::vnet_dial). If the other side has closed its end already, the
    /// call succeeds: the next write reports that.
    async fn vnet_dial_with(
        &self,
        src: &Addr,
        dst: &Addr,
        dst_hostdata: &str,
        by: Option<Instant>,
        first: &[u8],
    ) -> Result<(ByteStream, Addr), Failure> {
        let (mut stream, addr) = match by {
            Some(by) => self.vnet_dial_by(src, dst, dst_hostdata, by).await?,
            None => self.vnet_dial(src, dst, dst_hostdata).await?,
        };
        stream.write_first(first).await;
        Ok((stream, addr))
    }

    /// Enforces the rules of `table` from now on, in place of those of the table before, and says
    /// which kinds it enforces. The core enforces all others on the connections itself, or refuses
    /// the plan.
    ///
    /// When it returns, each datagram that is sent, and each that arrives, meets the new rules.
    /// It must not block. The first call may have an empty table, only to learn what the engine
    /// enforces: the answer never changes.
    ///
    /// The default enforces nothing.
    fn vnet_enforce(&self, table: &Arc<FaultTable>) -> Enforced {
        let _ = table;
        Enforced::Nothing
    }

    /// After this time without a sign of the peer, an open connection ends: with
    /// [`TimedOut`](std::io::ErrorKind::TimedOut). The core uses it where it cuts a connection on
    /// its own. The default is 10 s.
    fn idle_bound(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// Crashes a host: as if its process had been killed. When it returns, nothing that the host
    /// sends leaves it any more, nothing that is sent to it is answered, and the engine does not
    /// know its name: it can be made again. What it had sent before may still arrive. Its peers
    /// find out by their own time limits only.
    ///
    /// Returns what is left to do after the core has taken the host's handles down, such as to
    /// release its resources in the background; [`close`](Engine::close) waits for that. Returns `None`
    /// if there is no such host, or if the engine cannot crash a host: then nothing has changed. It
    /// must not block.
    ///
    /// The default returns `None`.
    fn vnet_crash(&self, hostname: &str) -> Option<Box<dyn FnOnce() + Send + '_>> {
        let _ = hostname;
        None
    }

    /// Releases everything: hosts, transport connections, tasks.
    ///
    /// The subnetwork has cancelled its calls to the engine before. Streams that were
    /// dropped are delivered first, within a time that the engine documents. Closing
    /// again succeeds and does nothing.
    ///
    /// The subnetwork never drops the returned future, unless its runtime ends.
    ///
    /// # Errors
    ///
    /// If data could not be delivered or a resource could not be released.
    async fn close(&self) -> Result<(), Failure>;
}

/// Which rules an engine enforces ([`Engine::vnet_enforce`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Enforced {
    /// None: its connections are cut and limited in rate by the core, but cannot be delayed, and they
    /// have no datagrams to lose.
    Nothing,
    /// Delays: it has no datagrams, but the bytes of its connections can arrive later
    /// ([`FaultTable::delays`]).
    Delays,
    /// All rules on datagrams: it asks [`FaultTable::link`] for each.
    Datagrams,
}

/// Cuts a connection, which would end cleanly if its halves were only dropped.
pub trait Abort: Send + Sync + 'static {
    /// After this call, dropping the halves of the connection *cuts* it: unsent data is
    /// discarded, and the peer's reads and writes report
    /// [`ConnectionReset`](std::io::ErrorKind::ConnectionReset), never end-of-file.
    ///
    /// A writer that was dropped before, but has not delivered all its data, is cut too.
    /// A writer that was shut down or dropped and has delivered its end has ended cleanly.
    ///
    /// It must not block, and may be called at any time, on any thread, more than once.
    /// The caller drops the remaining halves immediately afterwards.
    fn abort(&self);
}

/// The two directions of a connection, as an engine carries them.
///
/// The core relies on the following:
///
/// - *reader*: returns the bytes that the peer wrote, in order, then end-of-file
///   after the peer shut down or dropped its writer. A cut is an error, never
///   end-of-file. Dropping the reader makes the peer's later writes fail with
///   [`BrokenPipe`](std::io::ErrorKind::BrokenPipe).
/// - *writer*: takes bytes with backpressure. `poll_shutdown` ends the stream.
///   Dropping the writer does the same; bytes written before are delivered in
///   the background. Neither blocks.
/// - *abort*: an [`Abort`]; dropping the halves after it cuts the connection.
/// - Halves may be dropped on any thread, also outside the runtime. They wake by
///   scheduling: a waker must not run its task within a poll.
/// - Error kinds: `BrokenPipe` if the peer no longer reads, `TimedOut` or
///   `ConnectionReset` for a cut.
///
/// Dropping a `ByteStream` that has not become a [`Conn`](crate::Conn) cuts it, if it
/// has an abort. So if a connection was accepted but never returned to a caller, the
/// peer, whose data nobody has read, sees an error.
pub struct ByteStream(Option<Parts>);

/// The parts of a stream.
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

    /// Joins two directions that can end, but cannot be cut from this side.
    ///
    /// Use it for tests and for engines that stand in for a real one. A connection
    /// without an abort violates the contract: if it is aborted, or never returned to
    /// a caller, its peer sees a clean end. The conformance suite fails for such an
    /// engine.
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

    /// Writes the first bytes. An error is found again by the next write.
    async fn write_first(&mut self, first: &[u8]) {
        if let Some(parts) = &mut self.0 {
            drop(parts.writer.write_all(first).await);
        }
    }

    /// Its parts, to make a connection from; it is not cut then.
    pub(crate) fn into_parts(mut self) -> Parts {
        self.0
            .take()
            .expect("only `into_parts` and `drop` take the parts, and each runs once")
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
