//! The causes of all errors of this crate.
//!
//! Owns [`Cause`] with its table of [`io::ErrorKind`]s, and [`Failure`], a cause
//! with an underlying error. Never knows which operation failed.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::report;

type BoxedError = Box<dyn StdError + Send + Sync>;

/// Why an operation failed: the value that tests match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The subnetwork was closed, or its transport failed.
    #[error("network is down")]
    NetworkDown,
    /// The host on this side was closed, or lost its name.
    #[error("host is down")]
    HostDown,
    /// The listener or connection on this side was closed.
    #[error("socket is down")]
    SocketDown,
    /// The port to listen on is taken.
    #[error("address already in use")]
    AddrInUse,
    /// The address to listen on belongs to another host.
    #[error("cannot listen on requested address")]
    AddrNotLocal,
    /// No listener is at that address, its backlog is full, or it was closed.
    #[error("connection refused")]
    ConnectionRefused,
    /// The registry cannot be reached.
    #[error("registry is down")]
    RegistryDown,
    /// No host with that name is announced.
    #[error("no such host")]
    NoSuchHost,
    /// Another host of the network holds the name.
    #[error("host already registered")]
    HostAlreadyRegistered,
    /// A write to a connection whose other end was closed, or that was shut down
    /// for writing on this side.
    #[error("broken pipe")]
    BrokenPipe,
    /// The connection was cut before end-of-file.
    #[error("connection cut")]
    ConnectionCut,
    /// No answer came within the time limit.
    #[error("timed out")]
    TimedOut,
    /// This machine cannot send to the host's machine: there is no route, a local firewall
    /// refuses, or no name server knows that machine's name.
    #[error("host is unreachable")]
    HostUnreachable,
    /// An invalid address or name.
    #[error("invalid address")]
    InvalidAddr,
    /// All 65,535 ports of the host are taken.
    #[error("no free port")]
    NoFreePort,
    /// A peer or server did not prove its identity, or did not accept this one.
    #[error("permission denied")]
    PermissionDenied,
    /// A peer violated the protocol.
    #[error("protocol violation")]
    Protocol,
    /// Any other cause: see the error's text.
    #[error("other error")]
    Other,
}

/// All causes, for those who read one.
const ALL: [Cause; 18] = [
    Cause::NetworkDown,
    Cause::HostDown,
    Cause::SocketDown,
    Cause::AddrInUse,
    Cause::AddrNotLocal,
    Cause::ConnectionRefused,
    Cause::RegistryDown,
    Cause::NoSuchHost,
    Cause::HostAlreadyRegistered,
    Cause::BrokenPipe,
    Cause::ConnectionCut,
    Cause::TimedOut,
    Cause::HostUnreachable,
    Cause::InvalidAddr,
    Cause::NoFreePort,
    Cause::PermissionDenied,
    Cause::Protocol,
    Cause::Other,
];

impl Cause {
    /// Its name in files, such as `connection_refused`.
    pub fn name(self) -> String {
        let mut name = String::new();
        for (at, c) in format!("{self:?}").char_indices() {
            if c.is_ascii_uppercase() && at > 0 {
                name.push('_');
            }
            name.push(c.to_ascii_lowercase());
        }
        name
    }

    /// The cause with this [`name`](Cause::name).
    ///
    /// ```
    /// use virtnet_core::Cause;
    ///
    /// assert_eq!(Cause::from_name("no_such_host"), Some(Cause::NoSuchHost));
    /// assert_eq!(Cause::from_name("no such host"), None);
    /// ```
    pub fn from_name(name: &str) -> Option<Cause> {
        ALL.into_iter().find(|cause| cause.name() == name)
    }

    /// The [`io::ErrorKind`] of an [`io::Error`] with this cause.
    ///
    /// If TCP has the same event, the kind is the same as for TCP.
    pub fn kind(self) -> io::ErrorKind {
        use io::ErrorKind as Kind;
        match self {
            Cause::NetworkDown => Kind::NetworkDown,
            Cause::HostDown | Cause::HostUnreachable => Kind::HostUnreachable,
            Cause::SocketDown => Kind::NotConnected,
            Cause::AddrInUse => Kind::AddrInUse,
            Cause::AddrNotLocal | Cause::NoFreePort => Kind::AddrNotAvailable,
            Cause::ConnectionRefused => Kind::ConnectionRefused,
            Cause::RegistryDown => Kind::NetworkUnreachable,
            Cause::NoSuchHost => Kind::NotFound,
            Cause::HostAlreadyRegistered => Kind::AlreadyExists,
            Cause::BrokenPipe => Kind::BrokenPipe,
            Cause::ConnectionCut => Kind::ConnectionReset,
            Cause::TimedOut => Kind::TimedOut,
            Cause::InvalidAddr => Kind::InvalidInput,
            Cause::PermissionDenied => Kind::PermissionDenied,
            Cause::Protocol => Kind::InvalidData,
            Cause::Other => Kind::Other,
        }
    }

    /// Whether the other host cannot be reached: it was killed, is cut off, or never
    /// existed. Tests that kill a node should match on this, since it is true wherever
    /// the node ran.
    ///
    /// The exact cause depends on where the hosts are and when they are dialed:
    ///
    /// - [`TimedOut`](Cause::TimedOut): nothing answers,
    /// - [`ConnectionCut`](Cause::ConnectionCut): the process at that location does not
    ///   know the connection,
    /// - [`HostUnreachable`](Cause::HostUnreachable): the machine or its name is gone,
    /// - [`NoSuchHost`](Cause::NoSuchHost): the host's name is free by now.
    ///
    /// It is false if the host refuses, if the registry is down, and if the cause is on
    /// this side.
    ///
    /// ```
    /// use virtnet_core::Cause;
    ///
    /// assert!(Cause::TimedOut.is_unreachable());
    /// assert!(!Cause::ConnectionRefused.is_unreachable());
    /// ```
    pub fn is_unreachable(self) -> bool {
        matches!(
            self,
            Cause::TimedOut | Cause::ConnectionCut | Cause::HostUnreachable | Cause::NoSuchHost
        )
    }
}

/// A cause with an optional underlying error: the error type of engines, registries
/// and notifiers.
///
/// The underlying error, called the detail, either replaces the text of the cause
/// ([`Failure::wrap`]), or is only in the source chain ([`Failure::because`]).
///
/// ```
/// use virtnet_core::{Cause, Failure};
///
/// let wrapped = Failure::wrap(Cause::TimedOut, "no answer from 10.0.0.2:4433 within 3 s");
/// assert_eq!(wrapped.to_string(), "no answer from 10.0.0.2:4433 within 3 s");
///
/// let down = Failure::because(Cause::NetworkDown, "the cable was cut");
/// assert_eq!(down.to_string(), "network is down");
/// assert_eq!(std::error::Error::source(&down).unwrap().to_string(), "the cable was cut");
/// ```
#[derive(Clone)]
pub struct Failure {
    cause: Cause,
    detail: Detail,
}

#[derive(Debug, Clone)]
enum Detail {
    None,
    Shown(Arc<dyn StdError + Send + Sync>),
    Beneath(Arc<dyn StdError + Send + Sync>),
}

impl Failure {
    /// A cause with a detail that is shown instead of the cause's text.
    pub fn wrap(cause: Cause, detail: impl Into<BoxedError>) -> Failure {
        let detail = Detail::Shown(detail.into().into());
        Failure { cause, detail }
    }

    /// A cause that keeps its text, with `detail` as the error's source.
    pub fn because(cause: Cause, detail: impl Into<BoxedError>) -> Failure {
        let detail = Detail::Beneath(detail.into().into());
        Failure { cause, detail }
    }

    /// Like [`Failure::because`], with a sentence as the detail. The source of that
    /// sentence is the [`Cause`] itself, for downcasting.
    ///
    /// ```
    /// use std::error::Error;
    /// use virtnet_core::{Cause, Failure};
    ///
    /// let taken = Failure::explain(Cause::HostAlreadyRegistered, "process 4711 holds the name");
    /// assert_eq!(taken.to_string(), "host already registered");
    /// let detail = taken.source().unwrap();
    /// assert_eq!(detail.to_string(), "process 4711 holds the name");
    /// let cause = detail.source().unwrap().downcast_ref();
    /// assert_eq!(cause, Some(&Cause::HostAlreadyRegistered));
    /// ```
    pub fn explain(cause: Cause, sentence: impl Into<String>) -> Failure {
        Failure::because(cause, Explained(sentence.into(), cause))
    }

    /// A failure with [`Cause::Other`], shown as `detail`.
    pub fn other(detail: impl Into<BoxedError>) -> Failure {
        Failure::wrap(Cause::Other, detail)
    }

    /// The cause, to match on.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// The underlying error, if there is one.
    pub fn detail(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        match &self.detail {
            Detail::None => None,
            Detail::Shown(detail) | Detail::Beneath(detail) => Some(&**detail),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Detail::Shown(detail) => detail.fmt(f),
            _ => self.cause.fmt(f),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return report(self, f);
        }
        f.debug_struct("Failure")
            .field("cause", &self.cause)
            .field("detail", &self.detail)
            .finish()
    }
}

/// A shown detail is also the source, for downcasting.
impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.detail {
            Detail::None => Some(&self.cause),
            Detail::Shown(detail) | Detail::Beneath(detail) => Some(&**detail),
        }
    }
}

/// The detail of [`Failure::explain`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Explained(String, #[source] Cause);

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Failure {
        let detail = Detail::None;
        Failure { cause, detail }
    }
}

impl From<crate::AddrError> for Failure {
    fn from(err: crate::AddrError) -> Failure {
        Failure::wrap(Cause::InvalidAddr, err)
    }
}

#[cfg(test)]
mod tests;
