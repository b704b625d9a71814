//! A host's table of sockets, and the wait until nothing is left in it but listeners.
//!
//! Owns the count of what is more than that, and who waits for it. Never closes a socket.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::context::sync::lock;
use crate::host::inner::{HostInner, Socket};
use crate::host::port_table::Ports;
use crate::{Cause, Failure, SocketInfo};

/// How many sockets an error names.
const NAMED: usize = 8;

/// The ports of a host, and what holds them.
#[derive(Default)]
pub(crate) struct Table {
    ports: Ports<Socket>,
    /// How many of them are no listeners'.
    busy: usize,
    /// Told, by being dropped, when none is.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Table {
    /// What is there, to be looked at.
    pub(crate) fn ports(&self) -> &Ports<Socket> {
        &self.ports
    }

    /// Takes the lowest free port.
    pub(crate) fn take_lowest(&mut self, socket: Socket) -> Option<u16> {
        let busy = socket.is_busy();
        let taken = self.ports.take_lowest(socket);
        self.busy += usize::from(busy && taken.is_some());
        taken
    }

    /// Takes that port, if it is free.
    pub(crate) fn take(&mut self, port: u16, socket: Socket) -> bool {
        let busy = socket.is_busy();
        let taken = self.ports.take(port, socket);
        self.busy += usize::from(busy && taken);
        taken
    }

    /// What holds `port`.
    pub(crate) fn get(&mut self, port: u16) -> Option<&Socket> {
        self.ports.get_mut(port).map(|socket| &*socket)
    }

    /// Has `socket` hold the port on, which may be free by now. A dial becomes a
    /// connection, and an opening socket a listener: it counts as before.
    pub(crate) fn replace(&mut self, port: u16, socket: Socket) {
        if let Some(slot) = self.ports.get_mut(port) {
            debug_assert_eq!(slot.is_busy(), socket.is_busy());
            *slot = socket;
        }
    }

    /// Frees `port`. Who waited for this is told when what this returns is dropped.
    #[must_use]
    pub(crate) fn free(&mut self, port: u16) -> Vec<oneshot::Sender<()>> {
        let freed = self.ports.free(port);
        if freed.is_some_and(|socket| socket.is_busy()) {
            self.busy -= 1;
        }
        match self.busy {
            0 => std::mem::take(&mut self.waiting),
            _ => Vec::new(),
        }
    }

    /// Frees the ports of listeners that are not to be kept.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Socket) -> bool) {
        self.ports.retain(keep);
    }

    /// A place among those who wait, if there is something to wait for.
    fn wait(&mut self) -> Option<oneshot::Receiver<()>> {
        if self.busy == 0 {
            return None;
        }
        self.waiting.retain(|waits| !waits.is_closed());
        let (told, wait) = oneshot::channel();
        self.waiting.push(told);
        Some(wait)
    }
}

impl HostInner {
    /// Waits until nothing is open but listeners, for `timeout` at most.
    pub(crate) async fn idle(&self, timeout: Duration) -> Result<(), Failure> {
        // No deadline is one that no clock can tell.
        let deadline = Instant::now().checked_add(timeout);
        loop {
            self.check()?;
            // Not held while it waits.
            let wait = lock(&self.table).wait();
            let Some(wait) = wait else {
                return Ok(());
            };
            let told = async {
                tokio::select! {
                    biased;
                    why = self.down.wait() => Err(why.clone()),
                    _ = wait => Ok(()),
                }
            };
            match deadline {
                None => told.await?,
                Some(deadline) => match timeout_at(deadline, told).await {
                    Ok(told) => told?,
                    Err(_) => return Err(still_open(&self.list(), timeout)),
                },
            }
        }
    }
}

/// Says what was waited for in vain.
fn still_open(sockets: &[SocketInfo], timeout: Duration) -> Failure {
    let busy = sockets.iter().filter(|socket| socket.is_busy());
    let mut named: Vec<_> = busy.map(ToString::to_string).collect();
    let more = named.len().saturating_sub(NAMED);
    named.truncate(NAMED);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    let what = format!("after {timeout:?} there was still {}", named.join(", "));
    Failure::wrap(Cause::TimedOut, what)
}
