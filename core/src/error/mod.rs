//! Errors that say which operation failed, and why.
//!
//! Owns [`OpError`], what users see, and [`RegistryError`], what a registry
//! reports. Never decides that something failed, and has no causes of its own:
//! those are in `cause.rs`.

pub(crate) mod cause;
pub(crate) mod report;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::{Addr, Cause, Failure, report};

/// An operation of a registry that failed: which registry, what it was asked,
/// and why.
///
/// It reads `registry "redis://10.0.0.9:6379": query "γ": no such host`.
///
/// Its source is what led to it, and where nothing did its [`Cause`].
#[derive(Clone)]
pub struct RegistryError {
    registry: String,
    op: &'static str,
    args: Vec<String>,
    failure: Failure,
}

impl RegistryError {
    /// An operation `op` on `registry` with the arguments `args` failed.
    ///
    /// `registry` is shown to people: a URL goes in without its password. The
    /// causes of a registry are [`Cause::RegistryDown`], [`Cause::NoSuchHost`]
    /// and [`Cause::HostAlreadyRegistered`]; anything else is a
    /// [`Failure::wrap`] of what happened, with the nearest cause.
    pub fn new(
        registry: impl Into<String>,
        op: &'static str,
        args: &[&str],
        failure: impl Into<Failure>,
    ) -> RegistryError {
        RegistryError {
            registry: registry.into(),
            op,
            args: args.iter().map(ToString::to_string).collect(),
            failure: failure.into(),
        }
    }

    /// A host of the own subnetwork has the name: the registry need not be asked.
    pub(crate) fn taken_here(hostname: &str) -> RegistryError {
        let why = "this subnetwork has made a host of that name, and closing that does not free \
                   it: names are free when their subnetwork is closed";
        let why = Failure::explain(Cause::HostAlreadyRegistered, why);
        RegistryError::new("this subnetwork", "announce", &[hostname], why)
    }

    /// The registry's name, as shown to people.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The operation: `announce`, `query`, `close`, or one of the registry's own.
    pub fn op(&self) -> &str {
        self.op
    }

    /// The operation's arguments, in order.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// The cause, to match on.
    pub fn cause(&self) -> Cause {
        self.failure.cause()
    }

    /// The cause with what led to it.
    pub fn failure(&self) -> &Failure {
        &self.failure
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "registry {:?}: {}", self.registry, self.op)?;
        for arg in &self.args {
            write!(f, " {arg:?}")?;
        }
        write!(f, ": {}", self.failure)
    }
}

impl fmt::Debug for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return report(self, f);
        }
        f.debug_struct("RegistryError")
            .field("registry", &self.registry)
            .field("op", &self.op)
            .field("args", &self.args)
            .field("failure", &self.failure)
            .finish()
    }
}

impl StdError for RegistryError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.failure.source()
    }
}

impl From<RegistryError> for Failure {
    fn from(err: RegistryError) -> Failure {
        Failure::wrap(err.cause(), err)
    }
}

/// The operations that an [`OpError`] reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// `SubNetwork::new_host`.
    NewHost,
    /// `SubNetwork::wait_for_hosts`.
    WaitForHosts,
    /// `Host::idle`.
    Idle,
    /// `SubNetwork::auto_close`.
    AutoClose,
    /// `SubNetwork::close`.
    Close,
    /// `Host::listen`.
    Listen,
    /// `Listener::accept`.
    Accept,
    /// `Host::dial`.
    Dial,
    /// Reading from a connection.
    Read,
    /// Writing to a connection, flushing it, or shutting it down.
    Write,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Op::NewHost => "new host",
            Op::WaitForHosts => "wait for hosts",
            Op::Idle => "wait until idle",
            Op::AutoClose => "auto close",
            Op::Close => "close",
            Op::Listen => "listen",
            Op::Accept => "accept",
            Op::Dial => "dial",
            Op::Read => "read",
            Op::Write => "write",
        })
    }
}

/// An operation on a virtual network that failed: what, where, and why.
///
/// It reads as one line, for instance
///
/// ```text
/// dial pipet α:3->β:1: connection refused
/// accept pipet α:1: socket is down
/// virtnet "pipet": new host "γ": network is down
/// ```
///
/// It becomes an [`io::Error`] by `?` or `into()`, and is found again with
/// [`OpError::of`].
#[derive(Clone)]
pub struct OpError(Box<OpErrorInner>);

#[derive(Clone)]
struct OpErrorInner {
    op: Op,
    network: Arc<str>,
    src: Option<Addr>,
    addr: Option<Addr>,
    failure: Failure,
}

impl OpError {
    pub(crate) fn new(
        op: Op,
        network: impl Into<Arc<str>>,
        src: Option<&Addr>,
        addr: Option<&Addr>,
        failure: impl Into<Failure>,
    ) -> OpError {
        OpError(Box::new(OpErrorInner {
            op,
            network: network.into(),
            src: src.cloned(),
            addr: addr.cloned(),
            failure: failure.into(),
        }))
    }

    /// The operation that failed.
    pub fn op(&self) -> Op {
        self.0.op
    }

    /// The full name of the network it failed on.
    pub fn network(&self) -> &str {
        &self.0.network
    }

    /// Where it came from: the dialing end of a dial, the own end of a write,
    /// the remote end of a read.
    pub fn src(&self) -> Option<&Addr> {
        self.0.src.as_ref()
    }

    /// Where it went to: the dialed address, the listening address, the remote
    /// end of a write, the own end of a read; for a host, new or idle, its name
    /// with port 0.
    pub fn addr(&self) -> Option<&Addr> {
        self.0.addr.as_ref()
    }

    /// The cause, to match on.
    pub fn cause(&self) -> Cause {
        self.0.failure.cause()
    }

    /// The cause with what led to it.
    pub fn failure(&self) -> &Failure {
        &self.0.failure
    }

    /// Whether the other host cannot be reached ([`Cause::is_unreachable`]): what holds
    /// of every dial to a host that was killed, and of every read and write on a
    /// connection to it, wherever it was.
    pub fn is_unreachable(&self) -> bool {
        self.cause().is_unreachable()
    }

    /// The operation's error that an [`io::Error`] was made from, if it was.
    ///
    /// ```
    /// # async fn example(conn: &mut virtnet_core::Conn) {
    /// use tokio::io::AsyncReadExt;
    /// use virtnet_core::{Cause, OpError};
    ///
    /// if let Err(err) = conn.read_u8().await
    ///     && let Some(err) = OpError::of(&err)
    /// {
    ///     assert_eq!(err.cause(), Cause::SocketDown);
    /// }
    /// # }
    /// ```
    pub fn of(err: &io::Error) -> Option<&OpError> {
        err.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OpErrorInner {
            op,
            network,
            src,
            addr,
            failure,
        } = &*self.0;
        match op {
            Op::NewHost | Op::Idle => {
                let host = addr.as_ref().map_or("", Addr::host);
                return write!(f, "virtnet {network:?}: {op} {host:?}: {failure}");
            }
            Op::WaitForHosts | Op::AutoClose | Op::Close => {
                return write!(f, "virtnet {network:?}: {op}: {failure}");
            }
            _ => write!(f, "{op} {network}")?,
        }
        match (src, addr) {
            (Some(src), Some(addr)) => write!(f, " {src}->{addr}")?,
            (Some(one), None) | (None, Some(one)) => write!(f, " {one}")?,
            (None, None) => {}
        }
        write!(f, ": {failure}")
    }
}

impl fmt::Debug for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return report(self, f);
        }
        f.debug_struct("OpError")
            .field("op", &self.0.op)
            .field("network", &self.0.network)
            .field("src", &self.0.src)
            .field("addr", &self.0.addr)
            .field("failure", &self.0.failure)
            .finish()
    }
}

impl StdError for OpError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.failure.source()
    }
}

impl From<OpError> for io::Error {
    fn from(err: OpError) -> io::Error {
        io::Error::new(err.cause().kind(), err)
    }
}
