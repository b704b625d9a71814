//! The shared state of the simulated engines and registries: which call is delayed or
//! fails, and their events in order.
//!
//! Owns gates, fates, flights and counters. Never uses random numbers: the driver sets a
//! call's fate here before the call begins. Never calls into core under its lock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

use virtnet_core::{Accept, Cause, Failure, Notifier};

use super::pipe::{Counted, Pipe};

/// An operation, from the first to the last of a run.
pub(crate) type Id = u32;

/// The gates of a subnetwork's close have ids from here on.
pub(crate) const CLOSES: Id = 1_000_000;

/// The names of hosts; the model uses their indices.
pub(crate) const NAMES: [&str; 6] = ["α", "β", "γ", "δ", "ε", "ζ"];

pub(crate) fn name_of(host: &str) -> usize {
    NAMES.iter().position(|name| *name == host).unwrap()
}

/// An event in an engine or a registry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Event {
    /// The registry answered the query of that dial.
    Queried(Id, Option<Cause>),
    /// The dial came to the accepting subnetwork.
    Arrived(Id),
    /// It was taken by an accept at that port.
    Got(Id, u16),
    Refused(Id, Cause),
    /// The engine failed it, as its fate says.
    Failed(Id, Cause),
    /// It was acknowledged.
    Acked(Id),
    /// It was acknowledged, and the reply to the dialer is on its way.
    AckedAhead(Id),
    /// The reply has come.
    Replied(Id),
    /// The dialer has its end, the acknowledgement is on its way.
    Flying(Id),
    /// It will never come.
    Fell(Id),
    /// The call was dropped before it was done.
    Gone(Id),
    Announced(Id, Option<Cause>),
    Made(Id),
    Lost(usize, usize),
    EngineClosed(usize),
    RegistryClosed(usize),
}

/// The step that fails.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    Query,
    Dial,
    Ack,
    Resources,
    Announce,
    Making,
}

/// How a dial is carried.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) enum Way {
    /// By core's own pipe engine, as it is.
    #[default]
    Pipe,
    /// With a gate between the accept and its acknowledgement.
    Gated,
    /// Which the acceptor's end opens, too: the dial is refused then.
    Watchful,
    /// The dial succeeds, and is acknowledged later or never.
    Late,
    /// It is acknowledged first, and the dial succeeds after another gate. If it is dropped
    /// there, the acceptor's end is cut.
    Ahead,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Fate {
    /// One bit for each gate that is closed at first.
    pub(crate) slow: u8,
    pub(crate) fault: Option<Fault>,
    pub(crate) way: Way,
    pub(crate) capacity: usize,
}

#[derive(Default)]
struct Gate {
    open: bool,
    waker: Option<Waker>,
}

/// An acknowledgement on its way: to which subnetwork, and the two directions.
pub(crate) struct Flight {
    pub(crate) to: usize,
    pub(crate) accept: Accept,
    pub(crate) from_dialer: Pipe,
    pub(crate) to_dialer: Pipe,
}

/// One subnetwork's engine and registry.
pub(crate) struct Member {
    pub(crate) notifier: Notifier,
    /// Calls that run, and halves of streams that core has.
    pub(crate) live: Arc<AtomicUsize>,
    pub(crate) engine_closed: bool,
    pub(crate) close_fails: [bool; 2],
    pub(crate) doubt: BTreeSet<usize>,
    lost: VecDeque<usize>,
    watch: Option<Waker>,
}

#[derive(Default)]
pub(crate) struct State {
    /// The operation that is being polled.
    pub(crate) current: Id,
    pub(crate) fates: BTreeMap<Id, Fate>,
    gates: BTreeMap<Id, Gate>,
    pub(crate) all_open: bool,
    pub(crate) events: Vec<Event>,
    pub(crate) flights: BTreeMap<Id, Flight>,
    pub(crate) pipes: BTreeMap<Id, [Pipe; 2]>,
    pub(crate) members: Vec<Member>,
    /// Violations of core's guarantees to the engine or the registry.
    pub(crate) complaints: Vec<String>,
}

#[derive(Clone, Default)]
pub(crate) struct World(Arc<Mutex<State>>);

impl World {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn log(&self, event: Event) {
        self.state().events.push(event);
    }

    pub(crate) fn join(&self, notifier: Notifier, close_fails: [bool; 2]) {
        self.state().members.push(Member {
            notifier,
            live: Arc::default(),
            engine_closed: false,
            close_fails,
            doubt: BTreeSet::new(),
            lost: VecDeque::new(),
            watch: None,
        });
    }

    /// Logs a failure and makes it.
    pub(crate) fn fail(&self, id: Id, cause: Cause) -> Failure {
        self.log(Event::Failed(id, cause));
        Failure::because(cause, "the seed wants it")
    }

    /// A call of `member` begins, for the operation that is being polled.
    pub(crate) fn call(&self, member: usize) -> Call {
        let state = self.state();
        let id = state.current;
        Call {
            world: self.clone(),
            id,
            fate: state.fates[&id],
            done: false,
            _counted: Counted::new(&state.members[member].live),
        }
    }

    /// Waits while the gate is closed.
    pub(crate) async fn gate(&self, id: Id, number: u8) {
        let slow = self.state().fates[&id].slow >> number & 1 == 1;
        if slow {
            poll_fn(|cx| {
                let mut state = self.state();
                let all_open = state.all_open;
                let gate = state.gates.entry(id).or_default();
                if gate.open || all_open {
                    state.gates.remove(&id);
                    return Poll::Ready(());
                }
                gate.waker = Some(cx.waker().clone());
                Poll::Pending
            })
            .await;
        }
    }

    /// The `nth` gate that is closed, round and round.
    pub(crate) fn closed_gate(&self, nth: usize) -> Option<Id> {
        let state = self.state();
        let closed = || state.gates.iter().filter(|(_, gate)| !gate.open);
        let id = closed().cycle().nth(nth % closed().count().max(1))?;
        Some(*id.0)
    }

    pub(crate) fn is_open(&self, id: Id) -> bool {
        self.state().gates.get(&id).is_some_and(|gate| gate.open)
    }

    pub(crate) fn open(&self, id: Id) {
        let waker = self.state().gates.get_mut(&id).and_then(|gate| {
            gate.open = true;
            gate.waker.take()
        });
        waker.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn open_all(&self) {
        let ids: Vec<Id> = {
            let mut state = self.state();
            state.all_open = true;
            state.gates.keys().copied().collect()
        };
        ids.into_iter().for_each(|id| self.open(id));
    }

    /// The operation is over.
    pub(crate) fn forget(&self, id: Id) {
        let mut state = self.state();
        state.gates.remove(&id);
        state.fates.remove(&id);
    }

    /// Has the registry of `member` say that a name is lost.
    pub(crate) fn lose(&self, member: usize, name: usize) {
        let waker = {
            let mut state = self.state();
            state.members[member].lost.push_back(name);
            state.members[member].watch.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    pub(crate) async fn lost(&self, member: usize) -> usize {
        poll_fn(|cx| {
            let mut state = self.state();
            let Some(name) = state.members[member].lost.pop_front() else {
                state.members[member].watch = Some(cx.waker().clone());
                return Poll::Pending;
            };
            state.events.push(Event::Lost(member, name));
            Poll::Ready(name)
        })
        .await
    }

    /// Nothing of `member` may be running when `what` is closed.
    pub(crate) fn check_idle(&self, member: usize, what: &str) {
        let mut state = self.state();
        let live = state.members[member].live.load(Ordering::Relaxed);
        if live > 0 {
            let complaint = format!("{what} {member} was closed under {live} calls and streams");
            state.complaints.push(complaint);
        }
    }
}

/// A call to an engine; says so when it is dropped before it is done.
pub(crate) struct Call {
    world: World,
    pub(crate) id: Id,
    pub(crate) fate: Fate,
    pub(crate) done: bool,
    _counted: Counted,
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.done {
            self.world.log(Event::Gone(self.id));
        }
    }
}
