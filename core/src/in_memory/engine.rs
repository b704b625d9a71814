//! An engine within one process, whose connections are in-memory pipes.
//!
//! Owns [`PipeEngine`], and [`PipeNetwork`], which combines it with the in-memory
//! registry. Never starts a task, and never does I/O.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

use crate::addr::name::{Noun, check_name};
use crate::in_memory::registry::MemoryHub;
use crate::{
    Abort, Addr, AddrError, ByteStream, Cause, Engine, Failure, Notifier, Registry, SubNetwork,
};

/// The buffer size of one direction of a pipe, in bytes. A writer waits when it is full.
pub const PIPE_CAPACITY: usize = 64 * 1024;

/// The prefix of this engine's hostdata, before the engine's number.
const SCHEME: &str = "pipe:";

/// A complete network within one process: pipes and an in-memory registry.
///
/// ```
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use virtnet_core::pipe::PipeNetwork;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = PipeNetwork::new("pipet")?;
/// let alpha = network.subnetwork().new_host("α").await?;
/// let beta = network.subnetwork().new_host("β").await?;
///
/// let listener = alpha.listen("α:1")?;
/// let (mut dialed, (mut accepted, peer)) =
///     tokio::try_join!(beta.dial("α:1"), listener.accept())?;
/// assert_eq!(peer, "β:1");
/// assert_eq!(dialed.peer_addr(), "α:2");
///
/// dialed.write_all(b"hello").await?;
/// drop(dialed);
/// let mut heard = String::new();
/// accepted.read_to_string(&mut heard).await?;
/// assert_eq!(heard, "hello");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct PipeNetwork {
    network: String,
    hub: MemoryHub,
    switchboard: Switchboard,
}

impl PipeNetwork {
    /// A network with the full name `network` and no subnetworks yet.
    ///
    /// # Errors
    ///
    /// [`AddrError`] if `network` is not a valid name ([`Addr::new`]).
    pub fn new(network: &str) -> Result<PipeNetwork, AddrError> {
        check_name(Noun::Network, network)?;
        Ok(PipeNetwork {
            network: network.to_owned(),
            hub: MemoryHub::new(),
            switchboard: Switchboard::new(),
        })
    }

    /// Creates another subnetwork, independent of the others as in another process.
    ///
    /// # Panics
    ///
    /// If called outside a tokio runtime.
    pub fn subnetwork(&self) -> SubNetwork {
        let registry = Arc::new(self.hub.registry());
        let engine = |notifier| PipeEngine::new(&self.switchboard, notifier);
        SubNetwork::new(&self.network, registry, engine).expect("the name was checked in new")
    }

    /// The names announced on this network.
    pub fn hub(&self) -> &MemoryHub {
        &self.hub
    }
}

/// Connects the pipe engines of one process.
#[derive(Debug, Clone, Default)]
pub struct Switchboard(Arc<Mutex<Engines>>);

#[derive(Debug, Default)]
struct Engines {
    last: u64,
    notifiers: HashMap<u64, Notifier>,
}

impl Switchboard {
    /// A switchboard without engines.
    pub fn new() -> Switchboard {
        Switchboard::default()
    }

    fn notifier(&self, id: u64) -> Option<Notifier> {
        self.0.lock().notifiers.get(&id).cloned()
    }
}

/// An engine whose connections are in-memory pipes.
#[derive(Debug)]
pub struct PipeEngine {
    switchboard: Switchboard,
    id: u64,
}

impl PipeEngine {
    /// Creates an engine that reaches all others on the same switchboard.
    pub fn new(switchboard: &Switchboard, notifier: Notifier) -> PipeEngine {
        let mut engines = switchboard.0.lock();
        engines.last += 1;
        let id = engines.last;
        engines.notifiers.insert(id, notifier);
        PipeEngine {
            switchboard: switchboard.clone(),
            id,
        }
    }

    fn unregister(&self) {
        self.switchboard.0.lock().notifiers.remove(&self.id);
    }
}

#[async_trait]
impl Engine for PipeEngine {
    async fn vnet_new_host(&self, hostname: &str, registry: &dyn Registry) -> Result<(), Failure> {
        let hostdata = format!("{SCHEME}{}", self.id);
        Ok(registry.announce(hostname, &hostdata).await?)
    }

    async fn vnet_dial(
        &self,
        src: &Addr,
        dst: &Addr,
        dst_hostdata: &str,
    ) -> Result<(ByteStream, Addr), Failure> {
        let id = dst_hostdata.strip_prefix(SCHEME);
        let Some(id) = id.and_then(|id| id.parse().ok()) else {
            let what = format!(
                "host {:?}: expected hostdata such as \"{SCHEME}1\", got {dst_hostdata:?}",
                dst.host()
            );
            return Err(Failure::wrap(Cause::Protocol, what));
        };
        let peer = self
            .switchboard
            .notifier(id)
            .ok_or(Cause::ConnectionRefused)?;
        let accept = peer.vnet_accept(src, dst).await?;
        let addr = accept.addr().clone();
        let (ours, theirs) = pipes();
        accept.ack(theirs);
        Ok((ours, addr))
    }

    async fn close(&self) -> Result<(), Failure> {
        self.unregister();
        Ok(())
    }
}

impl Drop for PipeEngine {
    fn drop(&mut self) {
        self.unregister();
    }
}

/// Two streams, each of which reads what the other writes.
///
/// Each direction has its own duplex pipe, used one way only, so that dropping one
/// end of a direction is visible at its other end.
fn pipes() -> (ByteStream, ByteStream) {
    let (writer_a, reader_b) = duplex(PIPE_CAPACITY);
    let (writer_b, reader_a) = duplex(PIPE_CAPACITY);
    let cut = Arc::new(Cut::default());
    let end = |reader, writer| {
        let [reader, writer] = [reader, writer].map(|pipe| Direction {
            pipe,
            cut: Arc::clone(&cut),
        });
        ByteStream::with_abort(reader, writer, Arc::clone(&cut) as Arc<dyn Abort>)
    };
    (end(reader_a, writer_a), end(reader_b, writer_b))
}

/// Whether a connection was cut, by either end. The end that cut it then drops its
/// halves, which wakes the other end.
#[derive(Default)]
struct Cut(AtomicBool);

impl Abort for Cut {
    fn abort(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// One end of one direction.
struct Direction {
    pipe: DuplexStream,
    cut: Arc<Cut>,
}

impl Direction {
    /// The pipe, unless it was cut.
    fn pipe(&mut self) -> io::Result<Pin<&mut DuplexStream>> {
        self.check()?;
        Ok(Pin::new(&mut self.pipe))
    }

    fn check(&self) -> io::Result<()> {
        match self.cut.0.load(Ordering::Acquire) {
            true => Err(io::ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        }
    }

    /// The result of a write. An error is a cut if the other end was cut and dropped
    /// after the check.
    fn wrote<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(Err(err)) => Poll::Ready(Err(self.check().err().unwrap_or(err))),
            written => written,
        }
    }
}

impl AsyncRead for Direction {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.pipe()?.poll_read(cx, buf))?;
        if buf.filled().len() == before {
            // The other end may have been cut and dropped after the first check.
            self.check()?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Direction {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.pipe()?.poll_write(cx, buf);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.pipe()?.poll_write_vectored(cx, bufs);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.pipe.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe()?.poll_shutdown(cx)
    }
}
