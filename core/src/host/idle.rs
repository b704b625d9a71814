//! A host's table of sockets, and the wait until only listeners are left in it.
//!
//! Owns the count of the other sockets, and the tasks that wait for it to be 0. Never closes
//! a socket.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::host::inner::HostInner;
use crate::host::port_table::Ports;
use crate::host::socket::Socket;
use crate::{Cause, Failure, SocketInfo};

/// How many sockets an error names.
const NAMED: usize = 8;

/// The ports of a host, and the sockets that hold them.
#[derive(Default)]
pub(crate) struct Table {
    ports: Ports<Socket>,
    /// How many of them are not held by listeners.
    busy: usize,
    /// Dropped when `busy` becomes 0, which ends the waiting.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Table {
    /// The ports, to read.
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

    /// Takes `port`, if it is free.
    pub(crate) fn take(&mut self, port: u16, socket: Socket) -> bool {
        let busy = socket.is_busy();
        let taken = self.ports.take(port, socket);
        self.busy += usize::from(busy && taken);
        taken
    }

    /// The socket that holds `port`.
    pub(crate) fn get(&mut self, port: u16) -> Option<&Socket> {
        self.ports.get_mut(port).map(|socket| &*socket)
    }

    /// Puts `socket` in the place of the one that holds the port, if the port is still
    /// taken. A dial becomes a connection, and an opening socket a listener, so `busy`
    /// stays the same.
    pub(crate) fn replace(&mut self, port: u16, socket: Socket) {
        if let Some(slot) = self.ports.get_mut(port) {
            debug_assert_eq!(slot.is_busy(), socket.is_busy());
            *slot = socket;
        }
    }

    /// Frees `port`. Dropping the result ends the waiting, if there is nothing left to wait
    /// for.
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

    /// Frees the ports of listeners that `keep` does not keep.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Socket) -> bool) {
        self.ports.retain(keep);
    }

    /// Ends when `busy` becomes 0; `None` if it is 0 already.
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
    /// Waits until only listeners are open, at most for `timeout`.
    pub(crate) async fn idle(&self, timeout: Duration) -> Result<(), Failure> {
        // Without a deadline, if it is too late for the clock to tell.
        let deadline = Instant::now().checked_add(timeout);
        loop {
            self.check()?;
            // Not locked while it waits.
            let wait = self.table.lock().wait();
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
                    Err(_) => return Err(still_open(&self.sockets(), timeout)),
                },
            }
        }
    }
}

/// Says what was still open after `timeout`.
fn still_open(sockets: &[SocketInfo], timeout: Duration) -> Failure {
    let busy = sockets.iter().filter(|socket| socket.is_busy());
    let mut named: Vec<_> = busy.map(ToString::to_string).collect();
    let more = named.len().saturating_sub(NAMED);
    named.truncate(NAMED);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    let what = format!("still open after {timeout:?}: {}", named.join(", "));
    Failure::wrap(Cause::TimedOut, what)
}
