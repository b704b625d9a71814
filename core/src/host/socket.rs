//! Sockets: the holders of a host's ports.
//!
//! Owns [`Socket`], an entry of a host's table, and [`SocketInfo`], which users see.
//! Never takes or frees a port.

use std::fmt;
use std::sync::Weak;

use crate::Addr;
use crate::host::accept_queue::AcceptQueue;
use crate::host::conn_inner::ConnInner;

/// The holder of a port. Its references are weak, because each socket holds its
/// [`Port`](crate::host::port::Port) and so the host.
pub(crate) enum Socket {
    Opening,
    Listening(Weak<AcceptQueue>),
    Dialing,
    Accepting(Addr),
    Connected(Addr, Weak<ConnInner>),
}

impl Socket {
    /// It is not a listener.
    pub(crate) fn is_busy(&self) -> bool {
        !matches!(self, Socket::Opening | Socket::Listening(_))
    }

    pub(crate) fn state(&self) -> SocketState {
        match self {
            Socket::Opening | Socket::Listening(_) => SocketState::Listening,
            Socket::Dialing => SocketState::Dialing,
            Socket::Accepting(peer) => SocketState::Accepting(peer.clone()),
            Socket::Connected(peer, _) => SocketState::Connected(peer.clone()),
        }
    }
}

/// An open socket of a host, as [`Host::sockets`](crate::Host::sockets) lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketInfo {
    /// Its address; the port is the one that it holds.
    pub local: Addr,
    /// Its state.
    pub state: SocketState,
}

impl SocketInfo {
    /// It is not a listener.
    pub(crate) fn is_busy(&self) -> bool {
        self.state != SocketState::Listening
    }
}

/// The state of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketState {
    /// A listener.
    Listening,
    /// The local end of a dial that is under way.
    Dialing,
    /// The local end of a dial that is being accepted, with the dialer's address.
    Accepting(Addr),
    /// One end of a connection, with the address of the other end.
    Connected(Addr),
}

impl fmt::Display for SocketInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            SocketState::Listening => write!(f, "{} listening", self.local),
            SocketState::Dialing => write!(f, "{} dialing", self.local),
            SocketState::Accepting(peer) => write!(f, "{} accepting {peer}", self.local),
            SocketState::Connected(peer) => write!(f, "{} connected {peer}", self.local),
        }
    }
}
