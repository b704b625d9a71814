//! A taken port as a value: dropping it frees the port.
//!
//! Owns [`Port`]. Never chooses a port number: the host does.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::host::inner::HostInner;
use crate::host::socket::Socket;
use crate::{Addr, Failure};

/// A port that is taken until this is dropped.
pub(crate) struct Port {
    host: Arc<HostInner>,
    addr: Addr,
    freed: AtomicBool,
}

impl Port {
    pub(crate) fn new(host: &Arc<HostInner>, port: u16) -> Port {
        Port {
            host: Arc::clone(host),
            addr: host.home().with_port(port),
            freed: AtomicBool::new(false),
        }
    }

    pub(crate) fn addr(&self) -> &Addr {
        &self.addr
    }

    pub(crate) fn host(&self) -> &Arc<HostInner> {
        &self.host
    }

    /// Sets which socket holds the port from now on, unless the host is down.
    pub(crate) fn become_socket(&self, socket: Socket) -> Result<(), Failure> {
        let mut table = self.host.table.lock();
        self.host.check()?;
        table.replace(self.addr.port(), socket);
        Ok(())
    }

    /// Frees the port now; dropping this later does nothing.
    pub(crate) fn free(&self) {
        if !self.freed.swap(true, Ordering::AcqRel) {
            let told = self.host.table.lock().free(self.addr.port());
            // Wakes those who wait until the host is idle, without a lock held.
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
