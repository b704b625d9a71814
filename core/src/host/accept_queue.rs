//! Where the dials to one listening address meet the accepts.
//!
//! Owns the line in which those who came first wait, dials or accepts. Never talks
//! to an engine: a dial that is taken leaves as an [`Accept`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use crate::context::down::Down;
use crate::context::limits::{Refusal, Refusals};
use crate::context::sync::lock;
use crate::host::inner::{HostInner, Port, Socket};
use crate::{Accept, Addr, Cause, Conn, Failure};

/// The line: dials that wait to be taken, or accepts that wait for dials. Whoever
/// comes second does the taking, so that nobody is woken for it.
pub(crate) struct AcceptQueue {
    pub(crate) addr: Addr,
    pub(crate) down: Down,
    /// How many dials may wait.
    backlog: usize,
    refusals: Arc<Refusals>,
    /// A plain lock, held for map operations only.
    queue: Mutex<Queue>,
}

/// Those who wait, in order of arrival: dials or accepts, never both.
#[derive(Default)]
struct Queue {
    next: u64,
    offers: BTreeMap<u64, PendingDial>,
    accepts: BTreeMap<u64, PendingAccept>,
}

impl Queue {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

struct PendingDial {
    src: Addr,
    taken: oneshot::Sender<Accept>,
}

/// A place in the queue; given up when the dial is.
struct DialTicket<'a> {
    meeting: &'a AcceptQueue,
    number: u64,
}

impl Drop for DialTicket<'_> {
    fn drop(&mut self) {
        lock(&self.meeting.queue).offers.remove(&self.number);
    }
}

/// An accept that waits, and how the connection gets to it.
struct PendingAccept {
    held: Arc<Mutex<AcceptSlot>>,
    host: Arc<HostInner>,
    conn: oneshot::Sender<Conn>,
}

/// What an accept holds.
enum AcceptSlot {
    Nothing,
    /// The port of the connection that it waits for.
    Port(#[expect(dead_code, reason = "it is held to be dropped")] Arc<Port>),
    /// There was a dial, but it could not be taken.
    Failure(Failure),
    /// It waits no more.
    Left,
}

impl PendingAccept {
    /// Takes the dial from `src`, unless the accept is gone or can't.
    fn take(self, src: &Addr) -> Result<Accept, TakeError> {
        let reserved = self.host.reserve(Socket::Accepting(src.clone()));
        let mut held = lock(&self.held);
        if matches!(*held, AcceptSlot::Left) {
            return Err(TakeError::Gone);
        }
        match reserved {
            Ok(port) => {
                let port = Arc::new(port);
                let accept = Accept::new(&port, src.clone(), self.conn);
                *held = AcceptSlot::Port(port);
                Ok(accept)
            }
            Err(why) => {
                let refusal = match why.cause() {
                    Cause::NoFreePort => Refusal::NoPort,
                    _ => Refusal::WentDown,
                };
                *held = AcceptSlot::Failure(why);
                Err(TakeError::Failed(refusal))
            }
        }
    }
}

/// What a dial finds.
enum Joined<'a> {
    Accept(PendingAccept),
    Line(DialTicket<'a>, oneshot::Receiver<Accept>),
}

/// Why a dial was not taken.
enum TakeError {
    Gone,
    Failed(Refusal),
}

/// An accept's place among those that wait, and what it holds; given up when the
/// accept is.
pub(crate) struct AcceptTicket<'a> {
    meeting: &'a AcceptQueue,
    number: u64,
    held: Arc<Mutex<AcceptSlot>>,
}

impl AcceptTicket<'_> {
    /// Why the dial that came could not be taken, if it is that.
    pub(crate) fn failure(&self) -> Result<(), Failure> {
        match &*lock(&self.held) {
            AcceptSlot::Failure(why) => Err(why.clone()),
            _ => Ok(()),
        }
    }
}

impl Drop for AcceptTicket<'_> {
    fn drop(&mut self) {
        let waiting = lock(&self.meeting.queue).accepts.remove(&self.number);
        // A port is freed without a lock held.
        let held = std::mem::replace(&mut *lock(&self.held), AcceptSlot::Left);
        drop((waiting, held));
    }
}

impl AcceptQueue {
    pub(crate) fn new(addr: Addr, backlog: usize, refusals: &Arc<Refusals>) -> AcceptQueue {
        AcceptQueue {
            addr,
            backlog,
            refusals: Arc::clone(refusals),
            down: Down::default(),
            queue: Mutex::default(),
        }
    }

    /// How many dials wait.
    pub(crate) fn pending(&self) -> usize {
        lock(&self.queue).offers.len()
    }

    /// Ends waiting accepts with `why`, and refuses waiting dials.
    pub(crate) fn go_down(&self, why: Failure) {
        self.down.set(why);
    }

    /// Has the dial from `src` taken by an accept that waits, or waits in line for
    /// one.
    pub(crate) async fn offer(&self, src: &Addr) -> Result<Accept, Failure> {
        let refuse = |why| self.refusals.refuse(why);
        self.down.check().map_err(|_| refuse(Refusal::WentDown))?;
        let (_place, accept) = loop {
            let waiting = match self.join(src).map_err(refuse)? {
                Joined::Accept(waiting) => waiting,
                Joined::Line(place, accept) => {
                    tracing::debug!("waits for an accept");
                    break (place, accept);
                }
            };
            match waiting.take(src) {
                Ok(accept) => return Ok(accept),
                Err(TakeError::Failed(why)) => return Err(refuse(why)),
                Err(TakeError::Gone) => {}
            }
        };
        tokio::select! {
            biased;
            _ = self.down.wait() => Err(refuse(Refusal::WentDown)),
            // The accept that took it could not have it.
            accept = accept => accept.map_err(|_| refuse(Refusal::NoPort)),
        }
    }

    /// Finds an accept that waits, or else puts the dial in line.
    fn join(&self, src: &Addr) -> Result<Joined<'_>, Refusal> {
        let mut queue = lock(&self.queue);
        if let Some((_, waiting)) = queue.accepts.pop_first() {
            return Ok(Joined::Accept(waiting));
        }
        if queue.offers.len() >= self.backlog {
            return Err(Refusal::BacklogFull);
        }
        let (taken, accept) = oneshot::channel();
        let (number, src) = (queue.number(), src.clone());
        queue.offers.insert(number, PendingDial { src, taken });
        let place = DialTicket {
            meeting: self,
            number,
        };
        Ok(Joined::Line(place, accept))
    }

    /// Takes the first dial in line, or waits for one; `conn` gets the connection,
    /// and is dropped when there will be none.
    pub(crate) fn sit(
        &self,
        host: &Arc<HostInner>,
        conn: oneshot::Sender<Conn>,
    ) -> AcceptTicket<'_> {
        let held = Arc::new(Mutex::new(AcceptSlot::Nothing));
        let waiting = PendingAccept {
            held: Arc::clone(&held),
            host: Arc::clone(host),
            conn,
        };
        let mut queue = lock(&self.queue);
        let number = queue.number();
        let seat = AcceptTicket {
            meeting: self,
            number,
            held,
        };
        let Some((_, PendingDial { src, taken })) = queue.offers.pop_first() else {
            queue.accepts.insert(number, waiting);
            return seat;
        };
        drop(queue);
        if let Ok(accept) = waiting.take(&src) {
            // One whose dialer is gone by now is dropped, which cancels it.
            drop(taken.send(accept));
        }
        seat
    }
}

impl std::fmt::Debug for AcceptQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.addr)
    }
}
