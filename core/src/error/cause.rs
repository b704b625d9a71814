//! Causes: the one vocabulary that every error of this crate speaks.
//!
//! Owns [`Cause`] with its [`io::ErrorKind`] table, and [`Failure`], a cause
//! and what led to it. Never knows which operation failed.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::report;

type BoxedError = Box<dyn StdError + Send + Sync>;

/// Why an operation failed: the vocabulary that a test matches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The subnetwork was closed, or its transport is gone.
    #[error("network is down")]
    NetworkDown,
    /// The own host was closed, or lost its name.
    #[error("host is down")]
    HostDown,
    /// The own listener or connection was closed.
    #[error("socket is down")]
    SocketDown,
    /// The port to listen on is taken.
    #[error("address already in use")]
    AddrInUse,
    /// The address to listen on is another host's.
    #[error("cannot listen on requested address")]
    AddrNotLocal,
    /// Nothing listens there, or what listens has no room or went down.
    #[error("connection refused")]
    ConnectionRefused,
    /// The registry cannot be reached.
    #[error("registry is down")]
    RegistryDown,
    /// No host of that name was announced.
    #[error("no such host")]
    NoSuchHost,
    /// The name is held by another host of the network.
    #[error("host already registered")]
    HostAlreadyRegistered,
    /// Written to a connection whose other end was closed, or that was itself
    /// shut down for writing.
    #[error("broken pipe")]
    BrokenPipe,
    /// The connection was cut before its end was reached.
    #[error("connection cut")]
    ConnectionCut,
    /// No answer came within the bound.
    #[error("timed out")]
    TimedOut,
    /// This machine would not send to where the host is: it has no route there, or its
    /// own firewall refuses; or the name of the machine there is known to no name server.
    #[error("host is unreachable")]
    HostUnreachable,
    /// An address or a name that cannot be one.
    #[error("invalid address")]
    InvalidAddr,
    /// All 65,535 ports of the host are taken.
    #[error("no free port")]
    NoFreePort,
    /// A peer or a server did not prove, or did not accept, an identity.
    #[error("permission denied")]
    PermissionDenied,
    /// A peer sent what the protocol does not allow.
    #[error("protocol violation")]
    Protocol,
    /// None of the others: the detail says it all.
    #[error("other error")]
    Other,
}

impl Cause {
    /// The kind of [`io::Error`] that this cause becomes.
    ///
    /// Where TCP has the same event, the kind is TCP's.
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

    /// Whether it says that the other host cannot be reached: it was killed, cut off, or was
    /// never there. What a test of a killed node matches on, as it holds wherever
    /// the node was.
    ///
    /// Which of these causes it is depends on where the hosts are and on when they are
    /// dialed: [`TimedOut`](Cause::TimedOut) where nobody answers,
    /// [`ConnectionCut`](Cause::ConnectionCut) where what is there knows nothing of
    /// the connection, [`HostUnreachable`](Cause::HostUnreachable) where its machine or the
    /// name of that is gone, and [`NoSuchHost`](Cause::NoSuchHost) once its name is
    /// free. A host that is there and refuses, a registry that is down, and what went
    /// down on this side are none of them.
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

/// A cause, and what led to it: what engines, registries and notifiers report.
///
/// The detail either *says more* than the cause and is shown in its place
/// ([`Failure::wrap`]), or *lies beneath* it and is found in the source chain
/// ([`Failure::because`]).
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
    /// A cause whose detail says more than its text, and is shown in its place.
    pub fn wrap(cause: Cause, detail: impl Into<BoxedError>) -> Failure {
        let detail = Detail::Shown(detail.into().into());
        Failure { cause, detail }
    }

    /// A cause that keeps its text, with what led to it as the error's source.
    pub fn because(cause: Cause, detail: impl Into<BoxedError>) -> Failure {
        let detail = Detail::Beneath(detail.into().into());
        Failure { cause, detail }
    }

    /// The same for a sentence that says more, beneath which the [`Cause`] itself
    /// is found.
    ///
    /// ```
    /// use std::error::Error;
    /// use virtnet_core::{Cause, Failure};
    ///
    /// let taken = Failure::explain(Cause::HostAlreadyRegistered, "process 4711 holds it");
    /// assert_eq!(taken.to_string(), "host already registered");
    /// let beneath = taken.source().unwrap();
    /// assert_eq!(beneath.to_string(), "process 4711 holds it");
    /// let cause = beneath.source().unwrap().downcast_ref();
    /// assert_eq!(cause, Some(&Cause::HostAlreadyRegistered));
    /// ```
    pub fn explain(cause: Cause, sentence: impl Into<String>) -> Failure {
        Failure::because(cause, Explained(sentence.into(), cause))
    }

    /// A failure that no cause of the vocabulary names.
    pub fn other(detail: impl Into<BoxedError>) -> Failure {
        Failure::wrap(Cause::Other, detail)
    }

    /// The cause, to match on.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// The error that was wrapped, or that lies beneath, when there is one.
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

/// What is shown is also the source: it is there to be downcast.
impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.detail {
            Detail::None => Some(&self.cause),
            Detail::Shown(detail) | Detail::Beneath(detail) => Some(&**detail),
        }
    }
}

/// A sentence beneath a cause.
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
