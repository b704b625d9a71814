//! The queue of one listening address, where incoming dials meet accepts.
//!
//! Owns the queue in which dials or accepts wait, in order of arrival. Never talks to an
//! engine: a dial that is taken leaves as an [`Accept`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::context::down::Down;
use crate::context::limits::{Refusal, Refusals};
use crate::error::Op;
use crate::host::inner::HostInner;
use crate::host::port::Port;
use crate::host::socket::Socket;
use crate::trace::EventKind;
use crate::trace::host_trace::HostTrace;
use crate::{Accept, Addr, Cause, Conn, Failure, OpError};

/// Dials that wait to be taken, or accepts that wait for dials. The second to come does the
/// taking, so that no task has to be woken for it.
pub(crate) struct AcceptQueue {
    pub(crate) addr: Addr,
    pub(crate) down: Down,
    /// How many dials may wait.
    backlog: usize,
    refusals: Arc<Refusals>,
    trace: Arc<HostTrace>,
    /// Its end was recorded.
    ended: AtomicBool,
    /// Held for map operations only.
    waiting: Mutex<Waiting>,
    /// A dial was queued: for those who look at dials before they take them.
    queued: Notify,
}

/// The dials or the accepts that wait, never both, in order of arrival.
#[derive(Default)]
struct Waiting {
    next: u64,
    dials: BTreeMap<u64, PendingDial>,
    accepts: BTreeMap<u64, PendingAccept>,
}

impl Waiting {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// A dial that waits. Dropping it refuses the dial.
pub(crate) struct PendingDial {
    pub(crate) src: Addr,
    pub(crate) taken: oneshot::Sender<Result<Accept, Refusal>>,
}

/// A dial's place in the queue; given up when the dial is.
struct DialTicket<'a> {
    queue: &'a AcceptQueue,
    number: u64,
}

impl Drop for DialTicket<'_> {
    fn drop(&mut self) {
        self.queue.waiting.lock().dials.remove(&self.number);
    }
}

/// An accept that waits, and the channel over which it gets the connection.
struct PendingAccept {
    slot: Arc<Mutex<AcceptSlot>>,
    host: Arc<HostInner>,
    conn: oneshot::Sender<Conn>,
}

/// The state of an accept.
enum AcceptSlot {
    Waiting,
    /// The port of the connection that it waits for.
    Port(#[expect(dead_code, reason = "it is held to be dropped")] Arc<Port>),
    /// There was a dial, but it could not be taken.
    Failed(Failure),
    /// The accept was dropped.
    Dropped,
}

impl PendingAccept {
    /// Takes the dial from `src` to the port `dialed`, unless the accept was dropped or the host has no port.
    fn take(self, src: &Addr, dialed: u16) -> Result<Accept, TakeError> {
        let reserved = self.host.reserve(Socket::Accepting(src.clone()));
        let mut slot = self.slot.lock();
        if matches!(*slot, AcceptSlot::Dropped) {
            return Err(TakeError::Dropped);
        }
        match reserved {
            Ok(port) => {
                let port = Arc::new(port);
                let accept = Accept::new(&port, src.clone(), dialed, self.conn);
                *slot = AcceptSlot::Port(port);
                Ok(accept)
            }
            Err(why) => {
                let refusal = refusal(&why);
                *slot = AcceptSlot::Failed(why);
                Err(TakeError::Failed(refusal))
            }
        }
    }
}

/// Why a dial is refused for which no port could be taken.
pub(crate) fn refusal(why: &Failure) -> Refusal {
    match why.cause() {
        Cause::NoFreePort => Refusal::NoPort,
        _ => Refusal::WentDown,
    }
}

/// The place of a dial that has come.
enum Joined<'a> {
    Accept(PendingAccept),
    Queued(DialTicket<'a>, oneshot::Receiver<Result<Accept, Refusal>>),
}

/// Why a dial was not taken.
enum TakeError {
    /// The accept was dropped meanwhile; the next one may take the dial.
    Dropped,
    Failed(Refusal),
}

/// An accept's place in the queue, and its state; given up when the accept is.
pub(crate) struct AcceptTicket<'a> {
    queue: &'a AcceptQueue,
    number: u64,
    slot: Arc<Mutex<AcceptSlot>>,
}

impl AcceptTicket<'_> {
    /// `Err` with the reason, if a dial came that could not be taken.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match &*self.slot.lock() {
            AcceptSlot::Failed(why) => Err(why.clone()),
            _ => Ok(()),
        }
    }
}

impl Drop for AcceptTicket<'_> {
    fn drop(&mut self) {
        let waiting = self.queue.waiting.lock().accepts.remove(&self.number);
        // A port is freed without a lock held.
        let slot = std::mem::replace(&mut *self.slot.lock(), AcceptSlot::Dropped);
        drop((waiting, slot));
    }
}

impl AcceptQueue {
    pub(crate) fn new(
        addr: Addr,
        backlog: usize,
        refusals: &Arc<Refusals>,
        trace: &Arc<HostTrace>,
    ) -> AcceptQueue {
        AcceptQueue {
            addr,
            backlog,
            refusals: Arc::clone(refusals),
            trace: Arc::clone(trace),
            ended: AtomicBool::new(false),
            down: Down::default(),
            waiting: Mutex::default(),
            queued: Notify::new(),
        }
    }

    /// The error of an accept.
    pub(crate) fn failed(&self, failure: Failure) -> OpError {
        let addr = &self.addr;
        OpError::new(Op::Accept, addr.network(), None, Some(addr), failure)
    }

    /// How many dials wait.
    pub(crate) fn pending(&self) -> usize {
        self.waiting.lock().dials.len()
    }

    /// Ends waiting accepts with `why`, and refuses waiting dials.
    pub(crate) fn go_down(&self, why: Failure) {
        self.record_end();
        self.down.set(why);
    }

    /// Records, once, that nobody listens any more: before the port is free.
    pub(crate) fn record_end(&self) {
        if !self.ended.swap(true, Relaxed) {
            self.trace.record(|| EventKind::ListenerClosed {
                addr: self.addr.clone(),
            });
        }
    }

    /// Gives the dial from `src` to an accept that waits, or queues it until one comes.
    pub(crate) async fn offer(&self, src: &Addr) -> Result<Accept, Failure> {
        let refuse = |why| self.refusals.refuse(why);
        self.down.check().map_err(|_| refuse(Refusal::WentDown))?;
        let (_ticket, taken) = loop {
            let accept = match self.join(src).map_err(refuse)? {
                Joined::Accept(accept) => accept,
                Joined::Queued(ticket, taken) => {
                    tracing::debug!("waits for an accept");
                    break (ticket, taken);
                }
            };
            match accept.take(src, self.addr.port()) {
                Ok(accept) => return Ok(accept),
                Err(TakeError::Failed(why)) => return Err(refuse(why)),
                Err(TakeError::Dropped) => {}
            }
        };
        tokio::select! {
            biased;
            _ = self.down.wait() => Err(refuse(Refusal::WentDown)),
            // Or an accept came, but its host had no free port.
            taken = taken => taken.unwrap_or(Err(Refusal::Declined)).map_err(refuse),
        }
    }

    /// Finds an accept that waits, or else queues the dial.
    fn join(&self, src: &Addr) -> Result<Joined<'_>, Refusal> {
        let mut waiting = self.waiting.lock();
        if let Some((_, accept)) = waiting.accepts.pop_first() {
            return Ok(Joined::Accept(accept));
        }
        if waiting.dials.len() >= self.backlog {
            return Err(Refusal::BacklogFull);
        }
        let (sender, taken) = oneshot::channel();
        let (number, src) = (waiting.number(), src.clone());
        let dial = PendingDial { src, taken: sender };
        waiting.dials.insert(number, dial);
        drop(waiting);
        self.queued.notify_one();
        let ticket = DialTicket {
            queue: self,
            number,
        };
        Ok(Joined::Queued(ticket, taken))
    }

    /// Takes the first dial in the queue, or waits for one. `conn` gets the connection, and
    /// is dropped if the dial is given up or can't be taken.
    pub(crate) fn accept(
        &self,
        host: &Arc<HostInner>,
        conn: oneshot::Sender<Conn>,
    ) -> AcceptTicket<'_> {
        let slot = Arc::new(Mutex::new(AcceptSlot::Waiting));
        let accept = PendingAccept {
            slot: Arc::clone(&slot),
            host: Arc::clone(host),
            conn,
        };
        let mut waiting = self.waiting.lock();
        let number = waiting.number();
        let ticket = AcceptTicket {
            queue: self,
            number,
            slot,
        };
        let Some((_, PendingDial { src, taken })) = waiting.dials.pop_first() else {
            waiting.accepts.insert(number, accept);
            return ticket;
        };
        drop(waiting);
        let accept = accept.take(&src, self.addr.port());
        let accept = accept.map_err(|why| match why {
            TakeError::Failed(why) => why,
            TakeError::Dropped => Refusal::WentDown,
        });
        // If the dialer is gone by now, the accept is dropped, which cancels it.
        drop(taken.send(accept));
        ticket
    }

    /// Takes the first dial out of the queue, or waits for one. Dropping the future leaves it there.
    pub(crate) async fn next_dial(&self) -> PendingDial {
        loop {
            // One that was queued since the look leaves a permit. Of several that wait, one is woken; if
            // it is dropped, the next.
            let first = self.waiting.lock().dials.pop_first();
            if let Some((_, dial)) = first {
                if !self.waiting.lock().dials.is_empty() {
                    self.queued.notify_one();
                }
                return dial;
            }
            self.queued.notified().await;
        }
    }
}

impl std::fmt::Debug for AcceptQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.addr)
    }
}
