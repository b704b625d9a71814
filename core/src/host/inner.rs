//! The state that the handles of one host share, and how the host goes down.
//!
//! Owns [`HostInner`], with the table of the sockets that are open on the host. Never waits,
//! except for a dial.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::context::Context;
use crate::context::down::Down;
use crate::context::outcomes::Outcomes;
use crate::host::accept_queue::AcceptQueue;
use crate::host::conn_inner::ConnInner;
use crate::host::dialing::Dialing;
use crate::host::gate::Service;
use crate::host::idle::Table;
use crate::host::port::Port;
use crate::host::socket::{Socket, SocketInfo};
use crate::trace::EventKind;
use crate::trace::host_trace::HostTrace;
use crate::{Addr, Cause, Conn, Failure, MAX_FIRST_BYTES};

/// Owns the list of hosts that a host is on, and learns that the host is down.
pub(crate) trait HostOwner: Send + Sync {
    /// `host` is down, with all its sockets. Called once for each host, without a lock held.
    fn host_down(&self, host: &HostInner);

    /// `host` is about to go down by a crash: its name can be made again.
    fn host_crashed(&self, host: &HostInner);
}

/// The state that the handles of one host share.
pub(crate) struct HostInner {
    context: Arc<Context>,
    /// The subnetwork lives as long as any of its hosts.
    owner: Arc<dyn HostOwner>,
    /// The host's address, with port 0.
    home: Addr,
    pub(crate) down: Down,
    crashed: AtomicBool,
    trace: Arc<HostTrace>,
    /// Held for table operations only.
    pub(crate) table: Mutex<Table>,
}

impl HostInner {
    pub(crate) fn new(
        context: Arc<Context>,
        owner: Arc<dyn HostOwner>,
        home: Addr,
    ) -> Arc<HostInner> {
        Arc::new(HostInner {
            trace: HostTrace::new(&context.recorder, home.host_arc()),
            context,
            owner,
            home,
            down: Down::default(),
            crashed: AtomicBool::new(false),
            table: Mutex::default(),
        })
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    pub(crate) fn trace(&self) -> &Arc<HostTrace> {
        &self.trace
    }

    pub(crate) fn home(&self) -> &Addr {
        &self.home
    }

    /// `Err` with the reason, if the host is down.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.down.check()
    }

    /// Takes the lowest free port.
    pub(crate) fn reserve(self: &Arc<Self>, socket: Socket) -> Result<Port, Failure> {
        let mut table = self.table.lock();
        self.check()?;
        let port = table.take_lowest(socket).ok_or(Cause::NoFreePort)?;
        Ok(Port::new(self, port))
    }

    /// Takes `port`, if it is free.
    pub(crate) fn reserve_port(
        self: &Arc<Self>,
        port: u16,
        socket: Socket,
    ) -> Result<Port, Failure> {
        let mut table = self.table.lock();
        self.check()?;
        match table.take(port, socket) {
            true => Ok(Port::new(self, port)),
            false => Err(Cause::AddrInUse.into()),
        }
    }

    /// The lowest free port, or 0 if all are taken.
    pub(crate) fn lowest_port(&self) -> u16 {
        self.table.lock().ports().lowest().unwrap_or(0)
    }

    /// The accept queue of the listener on `port`.
    pub(crate) fn listener(&self, port: u16) -> Option<Arc<AcceptQueue>> {
        match self.table.lock().get(port)? {
            Socket::Listening(queue) => queue.upgrade(),
            _ => None,
        }
    }

    /// Makes the accept queue of a listener on `port`.
    pub(crate) fn accept_queue(&self, port: &Port) -> Arc<AcceptQueue> {
        let Context {
            limits, refusals, ..
        } = &*self.context;
        Arc::new(AcceptQueue::new(
            port.addr().clone(),
            limits.backlog,
            refusals,
            &self.trace,
        ))
    }

    /// Counts the outcomes of its dials, with those of the subnetwork's other hosts.
    pub(crate) fn outcomes(&self) -> &Outcomes {
        &self.context.outcomes
    }

    /// Dials `dst` from a taken port, until the host goes down, and makes the stream a
    /// connection, of which `first` are the first bytes.
    pub(crate) async fn dial_from(
        &self,
        port: Port,
        dst: Addr,
        first: &[u8],
    ) -> Result<Conn, Failure> {
        tracing::debug!("port taken");
        if first.len() > MAX_FIRST_BYTES {
            let problem = format!(
                "expected at most {MAX_FIRST_BYTES} first bytes, got {}",
                first.len()
            );
            return Err(Failure::other(problem));
        }
        // Dropped before the port, which another dial may have then.
        let dial = self.trace.dialing(port.addr(), &dst, first.len());
        let service = Service {
            port: dst.port(),
            dialed: true,
        };
        let dialing = Dialing::new(&self.context, port.addr().clone(), dst, first);
        let dialed = tokio::select! {
            biased;
            why = self.down.wait() => Err(why.clone()),
            dialed = self.context.run(dialing.look_up_and_connect()) => dialed,
        };
        // The caller of dial gets it in this very poll.
        let conn = match dialed {
            Ok((stream, peer)) => {
                let trace = dial.and_then(|dial| dial.connected(&peer));
                Conn::open(Arc::new(port), peer, stream, service, trace).map(Conn::handed)
            }
            Err(why) => {
                if let Some(dial) = dial {
                    dial.failed(why.cause());
                }
                Err(why)
            }
        };
        match &conn {
            Ok(conn) => tracing::debug!(peer = %conn.peer_addr(), "dialed"),
            Err(why) => tracing::debug!(%why, "not dialed"),
        }
        conn
    }

    /// Takes the host down, with all that is open on it.
    pub(crate) fn go_down(&self, why: Failure) {
        let conns = self.mark(why);
        let taken: Vec<_> = conns.iter().map(|conn| conn.let_go()).collect();
        drop(taken);
    }

    /// Crashes the host: silences it, and takes it down. A host that has crashed stays so.
    pub(crate) fn crash(&self) -> Result<(), Failure> {
        if self.crashed.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let crashed = self.check().and_then(|()| {
            let engine = self.context.engine();
            // First, so that its peers do not learn of anything that follows.
            let rest = engine.vnet_crash(self.home.host());
            rest.ok_or_else(|| Failure::other("this engine cannot crash a host"))
        });
        let rest = match crashed {
            Ok(rest) => rest,
            Err(why) => {
                self.crashed.store(false, Ordering::Relaxed);
                return Err(why);
            }
        };
        self.trace.ends_as(EventKind::HostCrashed);
        self.context.registry.crash(self.home.host());
        self.owner.host_crashed(self);
        self.go_down(Failure::explain(Cause::HostDown, "it was crashed"));
        rest();
        Ok(())
    }

    /// Marks the host down, with all that is open on it, and says why. Returns the connections
    /// whose streams the caller has to let go of.
    ///
    /// In two steps, because the other ends of these connections may be marked next: both
    /// ends must report the same cause, and not what they see of each other.
    pub(crate) fn mark(&self, why: Failure) -> Vec<Arc<ConnInner>> {
        // Before anybody can know.
        let number = self.trace.reserve();
        if !self.down.set(why.clone()) {
            return Vec::new();
        }
        self.record_end(number);
        // A socket that was in the table before is found here. One that comes later sees
        // that the host is down. A listener's port is free from now on; a connection frees
        // its own.
        let (mut listeners, mut conns) = (Vec::new(), Vec::new());
        self.table.lock().retain(|socket| match socket {
            Socket::Listening(queue) => {
                listeners.extend(queue.upgrade());
                false
            }
            Socket::Connected(_, conn) => {
                conns.extend(conn.upgrade());
                true
            }
            Socket::Opening | Socket::Dialing | Socket::Accepting(_) => true,
        });
        for queue in listeners {
            queue.go_down(why.clone());
        }
        conns.retain(|conn| conn.mark(why.clone()));
        self.owner.host_down(self);
        conns
    }

    /// Its open connections. Holding one closes it no later.
    pub(crate) fn conns(&self) -> Vec<Arc<ConnInner>> {
        let table = self.table.lock();
        let conns = table.ports().iter().filter_map(|(_, socket)| match socket {
            Socket::Connected(_, conn) => conn.upgrade(),
            _ => None,
        });
        conns.collect()
    }

    /// Has all its connections meet the fault rules that are in force now.
    pub(crate) fn meet_rules(&self) {
        self.conns().iter().for_each(|conn| conn.meet_rules());
    }

    /// All open sockets, by port.
    pub(crate) fn sockets(&self) -> Vec<SocketInfo> {
        let table = self.table.lock();
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
