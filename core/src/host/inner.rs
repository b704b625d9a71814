//! What is open on a host: its port table and the sockets in it.
//!
//! Owns [`HostInner`] (what the handles of one host share), and [`Port`], a taken
//! port whose drop frees it. Never waits, but for what the subnetwork runs.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::context::dials::Outcomes;
use crate::context::down::Down;
use crate::context::sync::lock;
use crate::host::accept_queue::AcceptQueue;
use crate::host::conn::ConnInner;
use crate::host::idle::Table;
use crate::subnet::directory::Context;
use crate::subnet::directory::KeepOpen;
use crate::{Addr, Cause, Conn, Failure};

/// What the handles of one host share.
pub(crate) struct HostInner {
    /// The subnetwork lives as long as any of its hosts is held.
    subnet: Arc<Context>,
    /// The host's address, with port 0.
    home: Addr,
    pub(crate) down: Down,
    /// A plain lock: held for table operations only.
    pub(crate) table: Mutex<Table>,
}

impl HostInner {
    pub(crate) fn new(subnet: Arc<Context>, home: Addr) -> Arc<HostInner> {
        Arc::new(HostInner {
            subnet,
            home,
            down: Down::default(),
            table: Mutex::default(),
        })
    }

    pub(crate) fn home(&self) -> &Addr {
        &self.home
    }

    /// `Err` with the reason, if the host is down.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.down.check()
    }

    /// Keeps the engine from closing as long as it is held.
    pub(crate) fn hold(&self) -> Result<KeepOpen, Failure> {
        self.subnet.hold()
    }

    /// Takes the lowest free port.
    pub(crate) fn reserve(self: &Arc<Self>, socket: Socket) -> Result<Port, Failure> {
        let mut table = lock(&self.table);
        self.check()?;
        let port = table.take_lowest(socket).ok_or(Cause::NoFreePort)?;
        Ok(Port::new(self, port))
    }

    /// Takes that port, if it is free.
    pub(crate) fn reserve_port(
        self: &Arc<Self>,
        port: u16,
        socket: Socket,
    ) -> Result<Port, Failure> {
        let mut table = lock(&self.table);
        self.check()?;
        match table.take(port, socket) {
            true => Ok(Port::new(self, port)),
            false => Err(Cause::AddrInUse.into()),
        }
    }

    /// The lowest free port, or 0 if there is none.
    pub(crate) fn lowest_port(&self) -> u16 {
        lock(&self.table).ports().lowest().unwrap_or(0)
    }

    /// What listens on `port`.
    pub(crate) fn listener(&self, port: u16) -> Option<Arc<AcceptQueue>> {
        match lock(&self.table).get(port)? {
            Socket::Listening(meeting) => meeting.upgrade(),
            _ => None,
        }
    }

    /// Where the dials to `port` will meet the accepts.
    pub(crate) fn meeting(&self, port: &Port) -> Arc<AcceptQueue> {
        let Context {
            limits, refusals, ..
        } = &*self.subnet;
        Arc::new(AcceptQueue::new(
            port.addr().clone(),
            limits.backlog,
            refusals,
        ))
    }

    /// What becomes of its dials, with those of its subnetwork's other hosts.
    pub(crate) fn outcomes(&self) -> &Outcomes {
        &self.subnet.outcomes
    }

    /// Looks `dst` up and has the engine connect `port` to it.
    pub(crate) async fn connect(&self, port: Port, dst: Addr) -> Result<Conn, Failure> {
        tracing::debug!("port taken");
        let connected = self.try_connect(port, dst).await;
        match &connected {
            Ok(conn) => tracing::debug!(peer = %conn.peer_addr(), "dialed"),
            Err(why) => tracing::debug!(%why, "not dialed"),
        }
        connected
    }

    async fn try_connect(&self, port: Port, dst: Addr) -> Result<Conn, Failure> {
        let dialed = self.subnet.dial(port.addr().clone(), dst);
        let (stream, peer) = tokio::select! {
            biased;
            why = self.down.wait() => return Err(why.clone()),
            dialed = dialed => dialed?,
        };
        // The dial is over, and who dialed has it.
        Conn::open(Arc::new(port), peer, stream).map(Conn::handed)
    }

    /// Takes the host down with all that is open on it.
    pub(crate) fn go_down(&self, why: Failure) {
        let conns = self.mark(why);
        let taken: Vec<_> = conns.iter().map(|conn| conn.let_go()).collect();
        drop(taken);
    }

    /// Says that the host is down, and why, with all that is open on it;
    /// returns the connections whose streams are still to be let go of.
    ///
    /// In two steps, as another end of these connections may be marked next: it
    /// must report the same cause, not what it sees of this end.
    pub(crate) fn mark(&self, why: Failure) -> Vec<Arc<ConnInner>> {
        if !self.down.set(why.clone()) {
            return Vec::new();
        }
        // Whoever came into the table before is found here; whoever comes after
        // has seen the host down. A listener's port is free from now on, a
        // connection frees its own.
        let (mut listeners, mut conns) = (Vec::new(), Vec::new());
        lock(&self.table).retain(|socket| match socket {
            Socket::Listening(meeting) => {
                listeners.extend(meeting.upgrade());
                false
            }
            Socket::Connected(_, conn) => {
                conns.extend(conn.upgrade());
                true
            }
            Socket::Opening | Socket::Dialing | Socket::Accepting(_) => true,
        });
        for meeting in listeners {
            meeting.go_down(why.clone());
        }
        conns.retain(|conn| conn.mark(why.clone()));
        self.subnet.host_closed(self);
        conns
    }

    /// All that is open, by port.
    pub(crate) fn list(&self) -> Vec<SocketInfo> {
        let table = lock(&self.table);
        let info = |(port, socket): (u16, &Socket)| SocketInfo {
            local: self.home.with_port(port),
            state: socket.state(),
        };
        let mut sockets: Vec<SocketInfo> = table.ports().iter().map(info).collect();
        sockets.sort_unstable_by_key(|socket| socket.local.port());
        sockets
    }
}

impl Drop for HostInner {
    fn drop(&mut self) {
        self.go_down(Cause::HostDown.into());
    }
}

/// A port that is taken until this is dropped.
pub(crate) struct Port {
    host: Arc<HostInner>,
    addr: Addr,
    freed: AtomicBool,
}

impl Port {
    fn new(host: &Arc<HostInner>, port: u16) -> Port {
        Port {
            host: Arc::clone(host),
            addr: host.home.with_port(port),
            freed: AtomicBool::new(false),
        }
    }

    pub(crate) fn addr(&self) -> &Addr {
        &self.addr
    }

    pub(crate) fn host(&self) -> &Arc<HostInner> {
        &self.host
    }

    /// Says what holds the port from now on, unless the host is down.
    pub(crate) fn become_socket(&self, socket: Socket) -> Result<(), Failure> {
        let mut table = lock(&self.host.table);
        self.host.check()?;
        table.replace(self.addr.port(), socket);
        Ok(())
    }

    /// Frees the port now; the drop then does nothing.
    pub(crate) fn free(&self) {
        if !self.freed.swap(true, Ordering::AcqRel) {
            let told = lock(&self.host.table).free(self.addr.port());
            // Wakes, without a lock held.
            drop(told);
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.free();
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addr.fmt(f)
    }
}

/// What holds a port. Weak, as each of them holds its
/// [`Port`] and so the host.
pub(crate) enum Socket {
    Opening,
    Listening(Weak<AcceptQueue>),
    Dialing,
    Accepting(Addr),
    Connected(Addr, Weak<ConnInner>),
}

impl Socket {
    /// It is more than a listener.
    pub(crate) fn is_busy(&self) -> bool {
        !matches!(self, Socket::Opening | Socket::Listening(_))
    }

    fn state(&self) -> SocketState {
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
    /// The port it holds.
    pub local: Addr,
    /// What it is.
    pub state: SocketState,
}

impl SocketInfo {
    /// It is more than a listener.
    pub(crate) fn is_busy(&self) -> bool {
        self.state != SocketState::Listening
    }
}

/// What holds a port.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketState {
    /// A listener.
    Listening,
    /// The local end of a dial that is under way.
    Dialing,
    /// The local end of a dial that is being accepted, and who dialed.
    Accepting(Addr),
    /// One end of a connection, and its other end.
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
