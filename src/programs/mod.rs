//! Programs that know nothing of virtual networks, on virtual hosts: databases, browsers,
//! command-line tools.
//!
//! Owns [`Forwarder`], which starts all kinds of forwards. Never starts a program.
//!
//! - [`expose`](Forwarder::expose): connections to a virtual address lead to a program that
//!   listens on this machine;
//! - [`reach`](Forwarder::reach): programs that connect to a socket of this machine get to
//!   a virtual address;
//! - [`proxy`](Forwarder::proxy): programs that know SOCKS5 or HTTP proxies get to all virtual
//!   addresses by name, through one socket.
//!
//! The command `virtnet` has the same: see docs/programs.md.
//!
//! # What is kept
//!
//! A forwarded connection behaves as one TCP connection between the two programs:
//!
//! - an end-of-file is passed on as a half-close; the other direction goes on;
//! - a connection that is cut, on the network or by a fault rule, is *reset*
//!   ([`ConnectionReset`](std::io::ErrorKind::ConnectionReset)), never ended cleanly; and a
//!   program's reset cuts the virtual connection. A process that is killed resets
//!   its programs' connections, too;
//! - a program that does not read stops the one that writes: at most 64 KiB wait for each
//!   direction, besides the kernel's and the network's windows;
//! - nothing is delayed (`TCP_NODELAY`).
//!
//! Unix sockets have no reset: there, a program sees an end-of-file (or a reset, if it wrote
//! something that was not read).
//!
//! What a forward cannot keep: a program's `connect` to a [`reach`](Forwarder::reach) succeeds before the dial, so
//! a refusal is seen as a reset right after it. A proxy answers after the dial, and a dial to what
//! is exposed succeeds once its program is connected.
//! There is no UDP, as virtual networks have none.
//!
//! ```
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::net::{TcpListener, TcpStream};
//! use virtnet::programs::Forwarder;
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let net = virtnet::testing::open().await?;
//! let (alpha, beta) = (net.new_host("α").await?, net.new_host("β").await?);
//!
//! // A program: all that it knows is TCP on loopback.
//! let program = TcpListener::bind("127.0.0.1:0").await?;
//! let real = program.local_addr()?;
//!
//! let forwarder = Forwarder::new();
//! let _exposed = forwarder.expose(&beta, ":5432", &real.into())?;
//! let reached = forwarder.reach(&alpha, "β:5432", &"127.0.0.1:0".parse()?).await?;
//!
//! let mut client = TcpStream::connect(reached.endpoint().to_string()).await?;
//! client.write_all(b"SELECT 1").await?;
//! let (mut served, _) = program.accept().await?;
//! let mut query = [0; 8];
//! served.read_exact(&mut query).await?;
//! assert_eq!(&query, b"SELECT 1");
//! # drop((client, served, reached, _exposed));
//! # net.close().await?;
//! # Ok(()) }
//! ```

mod accept;
mod endpoint;
mod expose;
mod forward;
mod links;
mod local;
mod proxy;
mod proxy_protocol;
mod pump;
mod reach;

pub use endpoint::{Endpoint, EndpointError};
pub use forward::{Forward, ForwardError, MAX_CONNECTIONS};

use std::time::Duration;

use tokio::time::timeout;
use virtnet_core::{Addr, Host, OpError, ToAddr};

use expose::Expose;
use forward::Limit;
use links::Links;
use local::LocalListener;
use proxy::Proxy;
use reach::Reach;

/// Starts forwards, which share its limit on connections.
///
/// Failed dials and connections that cannot be made are reported as `tracing` events at level
/// *warn*, connections that were cut at *info*, all others at *debug*.
#[derive(Debug, Clone)]
pub struct Forwarder {
    limit: Limit,
    any_address: bool,
    proxy_protocol: bool,
}

impl Default for Forwarder {
    fn default() -> Forwarder {
        Forwarder::new()
    }
}

impl Forwarder {
    /// A forwarder with the default settings.
    pub fn new() -> Forwarder {
        Forwarder {
            limit: Limit::new(MAX_CONNECTIONS),
            any_address: false,
            proxy_protocol: false,
        }
    }

    /// How many connections all its forwards may have at the same time, [`MAX_CONNECTIONS`] by
    /// default. One more is refused by an exposed address, and accepted and reset by a socket of this machine,
    /// with a warning. Each needs a file descriptor.
    #[must_use]
    pub fn max_connections(mut self, max: usize) -> Forwarder {
        self.limit = Limit::new(max);
        self
    }

    /// Lets [`reach`](Forwarder::reach) and [`proxy`](Forwarder::proxy) listen on addresses that
    /// are not loopback, with a warning: whoever reaches such an address is on the network.
    #[must_use]
    pub fn any_address(mut self, any: bool) -> Forwarder {
        self.any_address = any;
        self
    }

    /// Has [`expose`](Forwarder::expose) send a header of the PROXY protocol, version 2, to the program,
    /// which must expect it. It has the peer's address, and the host name that the peer has proved.
    #[must_use]
    pub fn proxy_protocol(mut self, send: bool) -> Forwarder {
        self.proxy_protocol = send;
        self
    }

    /// Listens at a virtual address, and connects what is accepted to a program. Must be called within a
    /// runtime.
    ///
    /// A dial is accepted once the program is connected. The program need not run yet; a dial that
    /// comes before is refused.
    ///
    /// # Errors
    ///
    /// Those of [`Host::listen`].
    pub fn expose(&self, host: &Host, at: impl ToAddr, to: &Endpoint) -> Result<Forward, OpError> {
        let listener = host.listen(at)?;
        let addr = listener.local_addr().clone();
        let shown = Expose::shown(&addr, to);
        let expose = Expose {
            listener,
            to: to.clone(),
            limit: self.limit.clone(),
            proxy_protocol: self.proxy_protocol,
            shown: shown.clone(),
        };
        let shown = (shown, Some(addr), to.clone());
        let links = Links::default();
        let serve = Box::pin(expose.serve(links.clone()));
        Ok(Forward::start(shown, links, serve))
    }

    /// Listens on this machine, and connects what is accepted to a virtual address, dialed from
    /// `host`. Port 0 finds a free port ([`Forward::endpoint`]).
    ///
    /// # Errors
    ///
    /// [`ForwardError`], if the virtual address is not valid, or this machine's cannot be listened at.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, nothing listens.
    pub async fn reach(
        &self,
        host: &Host,
        to: impl ToAddr,
        at: &Endpoint,
    ) -> Result<Forward, ForwardError> {
        let to = self.checked(host, to)?;
        let (listener, at) = LocalListener::bind(at, self.any_address).await?;
        let shown = Reach::shown(host, &at, &to);
        let reach = Reach {
            host: host.clone(),
            to: to.clone(),
            limit: self.limit.clone(),
            shown: shown.clone(),
        };
        let shown = (shown, Some(to), at);
        let links = Links::default();
        let serve = Box::pin(reach.serve(listener, links.clone()));
        Ok(Forward::start(shown, links, serve))
    }

    /// Listens on this machine for programs that speak SOCKS5 or HTTP's CONNECT, and dials
    /// what they ask for. Of several hosts, a program's user name chooses the one to dial from; the first
    /// is the default. With one host, user names are ignored, as passwords always are.
    ///
    /// # Errors
    ///
    /// [`ForwardError`], if this machine's address cannot be listened at, or `hosts` is empty.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, nothing listens.
    pub async fn proxy(&self, hosts: &[Host], at: &Endpoint) -> Result<Forward, ForwardError> {
        if hosts.is_empty() {
            return Err(ForwardError::NoHost);
        }
        let (listener, at) = LocalListener::bind(at, self.any_address).await?;
        let shown = Proxy::shown(hosts, &at);
        let proxy = Proxy {
            hosts: hosts.to_vec(),
            limit: self.limit.clone(),
            shown: shown.clone(),
        };
        let shown = (shown, None, at);
        let links = Links::default();
        let serve = Box::pin(proxy.serve(listener, links.clone()));
        Ok(Forward::start(shown, links, serve))
    }

    /// Waits until no connection is open and none is being made, but at most `within`; `false` if there
    /// still is one. Accepts connections meanwhile.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn idle(&self, within: Duration) -> bool {
        // Twice: a connection that a program has made just now may not be accepted yet.
        const TWICE: usize = 2;
        const LOOK: Duration = Duration::from_millis(10);
        let idle = async {
            let mut seen = 0;
            while seen < TWICE {
                tokio::time::sleep(LOOK).await;
                seen = if self.limit.is_unused() { seen + 1 } else { 0 };
            }
        };
        timeout(within, idle).await.is_ok()
    }

    /// The address to dial, as a dial from `host` reads it.
    fn checked(&self, host: &Host, to: impl ToAddr) -> Result<Addr, ForwardError> {
        let home = Addr::new(host.network(), host.name(), 0)?;
        Ok(to.to_addr(&home)?)
    }
}
