//! Errors of operations.
//!
//! Owns [`OpError`], the error that users get, and [`RegistryError`], the error
//! that a registry reports. Never decides that an operation fails. The causes are
//! in `cause.rs`.

pub(crate) mod cause;
pub(crate) mod report;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::{Addr, Cause, Failure, report};

/// A failed operation of a registry: the registry, the operation, its arguments,
/// and the reason.
///
/// Its text is such as `registry "redis://10.0.0.9:6379": query "γ": no such host`.
///
/// Its source is the underlying error, or its [`Cause`] if there is none.
#[derive(Clone)]
pub struct RegistryError {
    registry: String,
    op: &'static str,
    args: Vec<String>,
    failure: Failure,
}

impl RegistryError {
    /// The failed operation `op` on `registry` with the arguments `args`.
    ///
    /// `registry` is shown to users: give a URL without its password. The causes
    /// of a registry are [`Cause::RegistryDown`], [`Cause::NoSuchHost`] and
    /// [`Cause::HostAlreadyRegistered`]. For any other error, use
    /// [`Failure::wrap`] with the closest cause.
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

    /// A host of the same subnetwork has the name, so the registry is not asked.
    pub(crate) fn taken_here(hostname: &str) -> RegistryError {
        let why = "this subnetwork has already made a host with this name; a closed host keeps \
                   its name until its subnetwork is closed";
        let why = Failure::explain(Cause::HostAlreadyRegistered, why);
        RegistryError::new("this subnetwork", "announce", &[hostname], why)
    }

    /// The registry's name, as shown to users.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The operation: `announce`, `query`, `close`, or another of this registry.
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

    /// The cause with the underlying error.
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
    /// `Host::crash`.
    Crash,
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
            Op::Crash => "crash",
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

/// A failed operation on a virtual network: the operation, the addresses, and the
/// reason.
///
/// Its text is one line, such as
///
/// ```text
/// dial pipet α:3->β:1: connection refused
/// accept pipet α:1: socket is down
/// virtnet "pipet": new host "γ": network is down
/// ```
///
/// `?` and `into()` convert it to an [`io::Error`], and [`OpError::of`] finds it
/// there.
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

    /// The full name of the network.
    pub fn network(&self) -> &str {
        &self.0.network
    }

    /// The source address: the local address of a dial or a write, the peer's address
    /// of a read.
    pub fn src(&self) -> Option<&Addr> {
        self.0.src.as_ref()
    }

    /// The destination address: the dialed or listening address, the peer's address of
    /// a write, the local address of a read. For `new_host`, `idle` and `crash`, it is the host's
    /// name with port 0.
    pub fn addr(&self) -> Option<&Addr> {
        self.0.addr.as_ref()
    }

    /// The cause, to match on.
    pub fn cause(&self) -> Cause {
        self.0.failure.cause()
    }

    /// The cause with the underlying error.
    pub fn failure(&self) -> &Failure {
        &self.0.failure
    }

    /// Whether the other host cannot be reached ([`Cause::is_unreachable`]). It is true for
    /// every dial to a killed host, and for every read and write on a connection to it,
    /// wherever it ran.
    pub fn is_unreachable(&self) -> bool {
        self.cause().is_unreachable()
    }

    /// The `OpError` that an [`io::Error`] was made from, if any.
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
            Op::NewHost | Op::Idle | Op::Crash => {
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
