//! An engine within one process, whose connections are in-memory pipes.
//!
//! Owns [`PipeEngine`], and [`PipeNetwork`], which combines it with the in-memory
//! registry. Never starts a task, and never does I/O.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use crate::addr::name::{Noun, check_name};
use crate::faults::FaultTable;
use crate::in_memory::late::SentLater;
use crate::in_memory::life::Life;
use crate::in_memory::registry::MemoryHub;
use crate::in_memory::stream::{self, End, pipes};
use crate::{
    Addr, AddrError, ByteStream, Cause, Enforced, Engine, Failure, Notifier, Registry, SubNetwork,
};

/// The buffer size of one direction of a pipe, in bytes. A writer waits when it is full.
pub const PIPE_CAPACITY: usize = stream::CAPACITY;

/// The time limit of a dial by default ([`PipeEngine::with_bounds`]).
const DIAL_BOUND: Duration = Duration::from_secs(3);

/// How long a connection may be silent by default.
const IDLE_BOUND: Duration = Duration::from_secs(10);

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
    bounds: Option<(Duration, Duration)>,
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
            bounds: None,
        })
    }

    /// Sets the bounds of its later subnetworks' engines ([`PipeEngine::with_bounds`]), so that a
    /// test of a cut takes less time.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use virtnet_core::pipe::PipeNetwork;
    /// let (dial, idle) = (Duration::from_millis(300), Duration::from_secs(1));
    /// let network = PipeNetwork::new("pipet")?.with_bounds(dial, idle);
    /// # Ok::<(), virtnet_core::AddrError>(())
    /// ```
    pub fn with_bounds(mut self, dial: Duration, idle: Duration) -> PipeNetwork {
        self.bounds = Some((dial, idle));
        self
    }

    /// Creates another subnetwork, independent of the others as in another process.
    ///
    /// # Panics
    ///
    /// If called outside a tokio runtime.
    pub fn subnetwork(&self) -> SubNetwork {
        let registry = Arc::new(self.hub.registry());
        let engine = |notifier| {
            let engine = PipeEngine::new(&self.switchboard, notifier);
            match self.bounds {
                Some((dial, idle)) => engine.with_bounds(dial, idle),
                None => engine,
            }
        };
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
    by_id: HashMap<u64, Peer>,
}

/// An engine, as the others see it.
#[derive(Debug, Clone)]
struct Peer {
    notifier: Notifier,
    later: Arc<SentLater>,
    hosts: Arc<Hosts>,
}

/// The lives of an engine's hosts, by name. Those of hosts that crashed stay until they are made
/// again.
#[derive(Debug, Default)]
struct Hosts(Mutex<HashMap<String, Arc<Life>>>);

impl Hosts {
    /// The life of a host. One that was never made lives.
    fn life(&self, hostname: &str) -> Arc<Life> {
        self.0.lock().get(hostname).cloned().unwrap_or_default()
    }
}

/// A host that is being made; dropping it forgets the host, unless it is kept.
struct NewHost<'a> {
    hosts: &'a Hosts,
    hostname: &'a str,
    kept: bool,
}

impl<'a> NewHost<'a> {
    fn new(hosts: &'a Hosts, hostname: &'a str) -> NewHost<'a> {
        let life = Arc::default();
        hosts.0.lock().insert(hostname.to_owned(), life);
        NewHost {
            hosts,
            hostname,
            kept: false,
        }
    }
}

impl Drop for NewHost<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.hosts.0.lock().remove(self.hostname);
        }
    }
}

impl Switchboard {
    /// A switchboard without engines.
    pub fn new() -> Switchboard {
        Switchboard::default()
    }

    fn peer(&self, id: u64) -> Option<Peer> {
        self.0.lock().by_id.get(&id).cloned()
    }
}

/// An engine whose connections are in-memory pipes.
///
/// Of the rules of faults it enforces delays: bytes, the end of a direction, and both ways of a
/// dial arrive later, but what is on its way still fits in [`PIPE_CAPACITY`]. A cut connection
/// ([`Conn::abort`](crate::Conn::abort)) is known at once. It has no datagrams, so plans that lose,
/// duplicate or reorder them are refused.
#[derive(Debug)]
pub struct PipeEngine {
    switchboard: Switchboard,
    id: u64,
    later: Arc<SentLater>,
    hosts: Arc<Hosts>,
    dial_bound: Duration,
    idle_bound: Duration,
}

impl PipeEngine {
    /// Creates an engine that reaches all others on the same switchboard.
    pub fn new(switchboard: &Switchboard, notifier: Notifier) -> PipeEngine {
        let mut engines = switchboard.0.lock();
        engines.last += 1;
        let id = engines.last;
        let later = Arc::new(SentLater::default());
        let hosts = Arc::new(Hosts::default());
        let peer = Peer {
            notifier,
            later: Arc::clone(&later),
            hosts: Arc::clone(&hosts),
        };
        engines.by_id.insert(id, peer);
        PipeEngine {
            switchboard: switchboard.clone(),
            id,
            later,
            hosts,
            dial_bound: DIAL_BOUND,
            idle_bound: IDLE_BOUND,
        }
    }

    /// Sets how long a dial takes at most until the other side responds (default 3 s), and how long
    /// a connection may be silent (default 10 s). Only a rule of faults or a host that crashed can make
    /// either happen.
    pub fn with_bounds(mut self, dial: Duration, idle: Duration) -> PipeEngine {
        (self.dial_bound, self.idle_bound) = (dial, idle);
        self
    }

    fn unregister(&self) {
        self.switchboard.0.lock().by_id.remove(&self.id);
    }
}

#[async_trait]
impl Engine for PipeEngine {
    async fn vnet_new_host(&self, hostname: &str, registry: &dyn Registry) -> Result<(), Failure> {
        let hostdata = format!("{SCHEME}{}", self.id);
        // A dial may come before this returns.
        let mut new = NewHost::new(&self.hosts, hostname);
        registry.announce(hostname, &hostdata).await?;
        new.kept = true;
        Ok(())
    }

    async fn vnet_dial(
        &self,
        src: &Addr,
        dst: &Addr,
        dst_hostdata: &str,
    ) -> Result<(ByteStream, Addr), Failure> {
        self.dial(src, dst, dst_hostdata, None).await
    }

    /// None without rules: then nothing can be late, and a dial needs no timer.
    fn dial_bound(&self) -> Option<Duration> {
        self.later.has_rules().then_some(self.dial_bound)
    }

    async fn vnet_dial_by(
        &self,
        src: &Addr,
        dst: &Addr,
        dst_hostdata: &str,
        by: Instant,
    ) -> Result<(ByteStream, Addr), Failure> {
        self.dial(src, dst, dst_hostdata, Some(by)).await
    }

    fn vnet_enforce(&self, table: &Arc<FaultTable>) -> Enforced {
        self.later.enforce(table);
        Enforced::Delays
    }

    fn idle_bound(&self) -> Duration {
        self.idle_bound
    }

    fn vnet_crash(&self, hostname: &str) -> Option<Box<dyn FnOnce() + Send + '_>> {
        let life = self.hosts.0.lock().get(hostname).cloned()?;
        life.crash();
        Some(Box::new(|| ()))
    }

    async fn close(&self) -> Result<(), Failure> {
        self.unregister();
        Ok(())
    }
}

impl PipeEngine {
    /// Dials. The response, of which `by` is the limit, takes the delays of both ways.
    async fn dial(
        &self,
        src: &Addr,
        dst: &Addr,
        hostdata: &str,
        by: Option<Instant>,
    ) -> Result<(ByteStream, Addr), Failure> {
        let id = hostdata.strip_prefix(SCHEME);
        let Some(id) = id.and_then(|id| id.parse().ok()) else {
            let what = format!(
                "host {:?}: expected hostdata such as \"{SCHEME}1\", got {hostdata:?}",
                dst.host()
            );
            return Err(Failure::wrap(Cause::Protocol, what));
        };
        let peer = self.switchboard.peer(id).ok_or(Cause::ConnectionRefused)?;
        let (ours, theirs) = (self.hosts.life(src.host()), peer.hosts.life(dst.host()));
        if theirs.crashed().is_some() {
            sleep_until(by.unwrap_or_else(|| Instant::now() + self.dial_bound)).await;
            return Err(no_answer(dst));
        }
        let (there, back) = (self.later.first(src, dst), peer.later.first(dst, src));
        if let Some(by) = by
            && Instant::now() + there + back > by
        {
            sleep_until(by).await;
            return Err(no_answer(dst));
        }
        wait(there).await;
        let accept = peer.notifier.vnet_accept(src, dst).await;
        if let Some(crashed) = theirs.crashed().filter(|_| accept.is_err()) {
            // It had given a sign of life before.
            sleep_until(crashed + self.idle_bound).await;
            return Err(no_answer(dst));
        }
        let dialed = accept.map(|accept| {
            let addr = accept.addr().clone();
            let one = End {
                addr: src,
                later: &self.later,
                life: &ours,
            };
            let other = End {
                addr: &addr,
                later: &peer.later,
                life: &theirs,
            };
            let (near, far) = pipes(&one, &other, self.idle_bound);
            accept.ack(far);
            (near, addr)
        });
        // The answer leaves now: delays may have changed since.
        wait(peer.later.first(dst, src)).await;
        dialed
    }
}

fn no_answer(dst: &Addr) -> Failure {
    let what = format!("no answer from host {:?} in time", dst.host());
    Failure::wrap(Cause::TimedOut, what)
}

/// Waits for what is delayed.
async fn wait(delay: Duration) {
    if !delay.is_zero() {
        sleep(delay).await;
    }
}

impl Drop for PipeEngine {
    fn drop(&mut self) {
        self.unregister();
    }
}
