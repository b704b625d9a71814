//! Hosts: listening, dialing, and the sockets that are open on a host.
//!
//! Owns [`Host`], the user's handle. Never calls engine or registry, except for a dial, which
//! the shared context runs and ends.

pub(crate) mod accept;
pub(crate) mod accept_queue;
pub(crate) mod conn;
pub(crate) mod conn_inner;
pub(crate) mod dialing;
pub(crate) mod gate;
pub(crate) mod half;
pub(crate) mod idle;
pub(crate) mod incoming;
pub(crate) mod incoming_dial;
pub(crate) mod inner;
pub(crate) mod listener;
pub(crate) mod port;
pub(crate) mod port_table;
pub(crate) mod socket;
pub(crate) mod split;
mod traced;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use crate::error::Op;
use crate::host::inner::HostInner;
use crate::host::socket::Socket;
use crate::trace::EventKind;
use crate::{Addr, Cause, Conn, Failure, Listener, OpError, SocketInfo, ToAddr};

/// A named host of a network, made by
/// [`SubNetwork::new_host`](crate::SubNetwork::new_host).
///
/// Clones are the same host. It closes by [`close`](Host::close), or when
/// the last clone and everything made from it (listeners, connections) are
/// dropped.
#[derive(Clone)]
pub struct Host {
    shared: Arc<HostInner>,
}

impl Host {
    pub(crate) fn new(shared: Arc<HostInner>) -> Host {
        let home = shared.home();
        tracing::info!(network = home.network(), host = home.host(), "host made");
        Host { shared }
    }

    /// The host's name.
    pub fn name(&self) -> &str {
        self.shared.home().host()
    }

    /// The full name of its network.
    pub fn network(&self) -> &str {
        self.shared.home().network()
    }

    /// Listens on an address of this host: `α:1` or `:1` asks for port 1; `:0` or
    /// the empty string asks for the lowest free port.
    ///
    /// Never waits for the network.
    ///
    /// # Errors
    ///
    /// An [`OpError`] whose cause is [`Cause::InvalidAddr`],
    /// [`Cause::AddrNotLocal`] for another host's address,
    /// [`Cause::AddrInUse`] for a taken port, [`Cause::NoFreePort`],
    /// [`Cause::HostDown`] or [`Cause::NetworkDown`].
    ///
    /// ```
    /// # use virtnet_core::pipe::PipeNetwork;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let host = PipeNetwork::new("pipet")?.subnetwork().new_host("α").await?;
    /// assert_eq!(host.listen("")?.local_addr(), "α:1");
    /// assert_eq!(host.listen("α:7")?.local_addr(), "α:7");
    /// # Ok(()) }
    /// ```
    pub fn listen(&self, addr: impl ToAddr) -> Result<Listener, OpError> {
        let home = self.shared.home();
        let fail = |addr: Option<&Addr>, failure: Failure| {
            OpError::new(Op::Listen, home.network(), None, addr, failure)
        };
        let addr = match addr.to_listen_addr(home) {
            Ok(addr) => addr,
            Err(err) => return Err(fail(None, err.into())),
        };
        self.listen_on(&addr).map_err(|why| fail(Some(&addr), why))
    }

    fn listen_on(&self, addr: &Addr) -> Result<Listener, Failure> {
        self.shared.check()?;
        if addr.host() != self.name() {
            return Err(Cause::AddrNotLocal.into());
        }
        let port = match addr.port() {
            0 => self.shared.reserve(Socket::Opening)?,
            port => self.shared.reserve_port(port, Socket::Opening)?,
        };
        let queue = self.shared.accept_queue(&port);
        // Before a close can end it.
        let number = self.shared.trace().reserve();
        port.become_socket(Socket::Listening(Arc::downgrade(&queue)))?;
        self.shared
            .trace()
            .record_as(number, || EventKind::Listening {
                addr: port.addr().clone(),
            });
        Ok(Listener::new(queue, port))
    }

    /// Connects to a listening address of any host of the network.
    ///
    /// This end takes the lowest free port for as long as the dial and then
    /// the connection last. Succeeds once the other side has accepted, which may take any
    /// time: limit it with [`timeout`](tokio::time::timeout) if you need to.
    ///
    /// If the other side gives no sign of life, the dial fails within the engine's time limit
    /// (3 s over QUIC by default). Within that limit it asks the registry once more, and tries
    /// again if the host is elsewhere now.
    ///
    /// Rules of [`faults`](crate::faults) may refuse the dial, hold it (its time limit begins when
    /// it is released), or cut it: it then reports [`Cause::TimedOut`] after its time limit, or, if the
    /// other side had responded before, after the engine's idle bound. The registry is asked
    /// all the same: it is under no fault.
    ///
    /// # Errors
    ///
    /// An [`OpError`] that names both ends and whose cause is
    /// [`Cause::InvalidAddr`], [`Cause::NoSuchHost`],
    /// [`Cause::ConnectionRefused`], [`Cause::RegistryDown`],
    /// [`Cause::HostDown`], [`Cause::NetworkDown`], [`Cause::NoFreePort`], or
    /// what the engine reports when it can't reach the other side.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the dial: the port is free, and no accept takes it
    /// afterwards. Where an accept has taken it already and the reply was on its way, the
    /// other side has a connection that is cut: its first read fails with
    /// [`Cause::ConnectionCut`], never with a clean end-of-file. Within one process, over
    /// pipes, it has none.
    pub async fn dial(&self, addr: impl ToAddr) -> Result<Conn, OpError> {
        self.dial_with(addr, &[]).await
    }

    /// Connects like [`dial`](Host::dial), and takes bytes along: the other side reads `first`
    /// with the connection. So a request and its reply take one round trip.
    ///
    /// At most [`MAX_FIRST_BYTES`](crate::MAX_FIRST_BYTES), 16 KiB; write more to the
    /// connection. They need not be flushed. Empty bytes make it a plain dial. If the other
    /// side has less space for them than that, the call waits until it reads.
    ///
    /// A dial that is refused loses them. One that fails otherwise, or is dropped, may have
    /// delivered them to a connection that is then cut. They are never delivered twice to one
    /// connection.
    ///
    /// HTTP's connectors ([`adapt`](crate::adapt)) do not use it: they return a connection
    /// before they know what is written to it first.
    ///
    /// # Errors
    ///
    /// Those of [`dial`](Host::dial), and [`Cause::Other`] for too many bytes.
    ///
    /// # Cancel safety
    ///
    /// As for [`dial`](Host::dial).
    ///
    /// ```
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// # use virtnet_core::pipe::PipeNetwork;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let subnet = PipeNetwork::new("pipet")?.subnetwork();
    /// let (alpha, beta) = (subnet.new_host("α").await?, subnet.new_host("β").await?);
    /// let listener = beta.listen("β:1")?;
    /// tokio::spawn(async move {
    ///     let (mut conn, _) = listener.accept().await?;
    ///     let mut request = [0; 4];
    ///     conn.read_exact(&mut request).await?;
    ///     assert_eq!(&request, b"ping");
    ///     conn.write_all(b"pong").await
    /// });
    ///
    /// let mut conn = alpha.dial_with("β:1", b"ping").await?;
    /// let mut reply = String::new();
    /// conn.read_to_string(&mut reply).await?;
    /// assert_eq!(reply, "pong");
    /// # Ok(()) }
    /// ```
    pub async fn dial_with(&self, addr: impl ToAddr, first: &[u8]) -> Result<Conn, OpError> {
        let dial = async {
            let home = self.shared.home();
            let port = self.shared.reserve(Socket::Dialing);
            let src = match &port {
                Ok(port) => port.addr().clone(),
                // Not taken, but the error can still say which one it would have been.
                Err(_) => home.with_port(self.shared.lowest_port()),
            };
            let dst = addr.to_addr(home);
            let fail = |failure: Failure| {
                let dst = dst.as_ref().ok();
                OpError::new(Op::Dial, home.network(), Some(&src), dst, failure)
            };
            let port = port.map_err(fail)?;
            let dst = match &dst {
                Ok(dst) => dst.clone(),
                Err(err) => return Err(fail(err.clone().into())),
            };
            let span = tracing::debug_span!("dial", network = home.network(), %src, %dst);
            let dial = self.shared.dial_from(port, dst, first);
            dial.instrument(span).await.map_err(fail)
        };
        self.shared.outcomes().count(dial).await
    }

    /// Waits until only listeners are open on this host, at most for `timeout`: no connection,
    /// and no dial or accept under way. From then on the lowest ports are free again, so a
    /// test can predict which addresses come next.
    ///
    /// Call it on the host of the *other* end. A port is free as soon as its own end is
    /// dropped; the peer drops its end later, once it knows that yours is closed.
    ///
    /// # Errors
    ///
    /// An [`OpError`] whose cause is [`Cause::TimedOut`] and whose text names the sockets that
    /// are still open; or whose cause is [`Cause::HostDown`] or [`Cause::NetworkDown`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use virtnet_core::pipe::PipeNetwork;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let subnet = PipeNetwork::new("pipet")?.subnetwork();
    /// let (alpha, beta) = (subnet.new_host("α").await?, subnet.new_host("β").await?);
    /// let echo = beta.listen("β:1")?;
    /// tokio::spawn(async move {
    ///     while let Ok((conn, _)) = echo.accept().await {
    ///         let (mut reader, mut writer) = conn.into_split();
    ///         drop(tokio::io::copy(&mut reader, &mut writer).await);
    ///     }
    /// });
    ///
    /// for _ in 0..2 {
    ///     let conn = alpha.dial("β:1").await?;
    ///     assert_eq!(conn.peer_addr(), "β:2");
    ///     drop(conn);
    ///     beta.idle(Duration::from_secs(10)).await?;
    /// }
    ///
    /// let _open = alpha.dial("β:1").await?;
    /// let busy = alpha.idle(Duration::ZERO).await.unwrap_err();
    /// assert_eq!(
    ///     busy.to_string(),
    ///     r#"virtnet "pipet": wait until idle "α": still open after 0ns: α:1 connected β:2"#,
    /// );
    /// # Ok(()) }
    /// ```
    pub async fn idle(&self, timeout: Duration) -> Result<(), OpError> {
        let home = self.shared.home();
        let idle = self.shared.idle(timeout).await;
        idle.map_err(|why| OpError::new(Op::Idle, home.network(), None, Some(home), why))
    }

    /// Closes the host: its listeners and connections go down, and every blocked or later
    /// operation on it reports [`Cause::HostDown`].
    ///
    /// Its name stays taken until the subnetwork closes; dials to it are refused.
    /// Does not wait: what its connections have written is delivered in the
    /// background.
    pub fn close(&self) {
        self.shared.go_down(Cause::HostDown.into());
    }

    /// Crashes the host: as if its process had been killed. Its peers are told nothing: their
    /// connections to it are silent, and end with [`Cause::TimedOut`] after the engine's idle time
    /// (10 s by default); dials to it time out. Listeners, connections, and every blocked or later
    /// operation on it report [`Cause::HostDown`]. What it had sent before may still arrive; what was written and
    /// not sent is lost.
    ///
    /// [`SubNetwork::new_host`](crate::SubNetwork::new_host) of the same subnetwork makes it again at once, with
    /// ports from 1. For others its name is that of a killed process: taken until the lease is over
    /// (Redis), free at once (`local:`), or taken until the subnetwork closes (in memory). It does not
    /// make a subnetwork close that closes [by itself](crate::SubNetwork::auto_close).
    ///
    /// A second crash has no effect.
    ///
    /// # Errors
    ///
    /// An [`OpError`] whose cause is [`Cause::HostDown`] or [`Cause::NetworkDown`] if it was closed before, or
    /// [`Cause::Other`] if the engine cannot crash a host.
    ///
    /// ```
    /// # use virtnet_core::{Cause, pipe::PipeNetwork};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bound = Duration::from_millis(10);
    /// # let network = PipeNetwork::new("pipet")?.with_bounds(bound, bound);
    /// # let (subnet, other) = (network.subnetwork(), network.subnetwork());
    /// # let (alpha, beta) = (subnet.new_host("α").await?, other.new_host("β").await?);
    /// let listener = beta.listen("β:1")?;
    /// beta.crash()?;
    /// assert_eq!(listener.accept().await.unwrap_err().cause(), Cause::HostDown);
    /// assert_eq!(alpha.dial("β:1").await.unwrap_err().cause(), Cause::TimedOut);
    ///
    /// let beta = other.new_host("β").await?;
    /// assert_eq!(beta.listen("")?.local_addr(), "β:1");
    /// # Ok(()) }
    /// ```
    pub fn crash(&self) -> Result<(), OpError> {
        let home = self.shared.home();
        let crashed = self.shared.crash();
        crashed.map_err(|why| OpError::new(Op::Crash, home.network(), None, Some(home), why))
    }

    /// Records a line in the [trace](crate::trace), in its place among what happens at this host: what
    /// the program decided, for example. At most [`MAX_NOTE`](crate::trace::MAX_NOTE) bytes, the rest is clipped. Without a
    /// recorder it has no effect.
    ///
    /// ```
    /// # use virtnet_core::pipe::PipeNetwork;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let subnet = PipeNetwork::new("pipet")?.subnetwork();
    /// subnet.record();
    /// let host = subnet.new_host("α").await?;
    /// host.note("elected");
    /// assert_eq!(subnet.trace().events[1].to_string(), "α note: elected");
    /// # Ok(()) }
    /// ```
    pub fn note(&self, text: &str) {
        self.shared.trace().note(text);
    }

    /// The sockets that are open on this host, by port: to print when a
    /// test fails, and to assert that nothing is left.
    ///
    /// ```
    /// # use virtnet_core::pipe::PipeNetwork;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let host = PipeNetwork::new("pipet")?.subnetwork().new_host("α").await?;
    /// let listener = host.listen("α:1")?;
    /// assert_eq!(host.sockets()[0].to_string(), "α:1 listening");
    /// drop(listener);
    /// assert!(host.sockets().is_empty());
    /// # Ok(()) }
    /// ```
    pub fn sockets(&self) -> Vec<SocketInfo> {
        self.shared.sockets()
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({} {})", self.network(), self.name())
    }
}
