//! One run of one seed: the user's handles, the running operations, the model and the
//! trace.
//!
//! Owns the comparison of core with the model. Never uses a random number except the
//! seed's, and never runs two things at once.

use std::sync::Arc;

use tokio::runtime::Runtime;
use virtnet_core::memory::MemoryHub;
use virtnet_core::pipe::Switchboard;
use virtnet_core::{
    Addr, Cause, Conn, Host, Listener, OwnedReadHalf, OwnedWriteHalf, SocketInfo, SocketState,
    SubNetwork,
};

use super::counts::Counts;
use super::model::{Holder, Model, Outcome, Place};
use super::op::Op;
use super::rng::Rng;
use super::step::Step;
use super::world::{Event, Fault, Id, NAMES, Way, World, name_of};

/// A line of the trace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mark {
    Step(Step),
    Event(Event),
    Polled(Id, Outcome),
}

/// The user's handles of one end of a connection.
pub(crate) enum Handle {
    None,
    Whole(Conn),
    Split(Option<OwnedReadHalf>, Option<OwnedWriteHalf>),
}

pub(crate) struct Sim {
    pub(crate) rng: Rng,
    pub(crate) trace: Vec<Mark>,
    pub(crate) counts: Counts,
    pub(crate) model: Model,
    pub(crate) world: World,
    pub(crate) hub: MemoryHub,
    pub(crate) switchboard: Switchboard,
    pub(crate) last: Id,
    pub(crate) ops: Vec<Op>,
    /// By the model's numbers, as are all of these.
    pub(crate) subnets: Vec<Option<SubNetwork>>,
    /// Taken down by its engine, and its registry is closed.
    pub(crate) ended: Vec<(bool, bool)>,
    pub(crate) hosts: Vec<Option<Host>>,
    pub(crate) listeners: Vec<Option<Arc<Listener>>>,
    pub(crate) ends: Vec<Handle>,
    pub(crate) runtime: Runtime,
}

pub(crate) fn place_of(addr: &Addr) -> Place {
    (name_of(addr.host()), addr.port())
}

impl Sim {
    pub(crate) fn new(seed: u64) -> Sim {
        // One task a tick, so that the seed says what comes in between.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .event_interval(1)
            .build()
            .unwrap();
        let mut rng = Rng::new(seed);
        let model = Model {
            backlog: rng.pick(&[0, 1, 2, 4, 100]),
            ..Model::default()
        };
        Sim {
            rng,
            trace: Vec::new(),
            counts: Counts::default(),
            model,
            world: World::default(),
            hub: MemoryHub::new(),
            switchboard: Switchboard::new(),
            last: 0,
            ops: Vec::new(),
            subnets: Vec::new(),
            ended: Vec::new(),
            hosts: Vec::new(),
            listeners: Vec::new(),
            ends: Vec::new(),
            runtime,
        }
    }

    /// Runs this many operations, with other steps in between, and the end.
    pub(crate) fn run(&mut self, operations: usize) {
        let mut done = 0;
        while done < operations {
            let step = self.choose();
            done += usize::from(!matches!(step, Step::Poll(_) | Step::Open(_) | Step::Tick));
            self.take(step);
        }
        self.finish();
    }

    pub(crate) fn take(&mut self, step: Step) {
        self.trace.push(Mark::Step(step));
        self.perform(step);
        self.hear();
        self.check_wakes();
        if !self.hosts.is_empty() {
            let h = self.trace.len() % self.hosts.len();
            self.check_table(h);
        }
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        self.counts.add(what, None);
    }

    /// Passes the events of engines and registries to the model, and compares the results.
    pub(crate) fn hear(&mut self) {
        let mut events = std::mem::take(&mut self.world.state().events);
        // A close drops running calls in any order: to the world it is all at once.
        for together in
            events.chunk_by_mut(|a, b| matches!((a, b), (Event::Gone(_), Event::Gone(_))))
        {
            together.sort_by_key(|event| match event {
                Event::Gone(id) => *id,
                _ => 0,
            });
        }
        for event in events {
            self.trace.push(Mark::Event(event));
            self.hear_one(event);
        }
    }

    fn fated(&self, id: Id, fault: Fault) -> bool {
        self.world.state().fates[&id].fault == Some(fault)
    }

    fn hear_one(&mut self, event: Event) {
        match event {
            Event::Queried(id, cause) => {
                let fault = self.fated(id, Fault::Query);
                assert_eq!(cause, self.model.query(id, fault), "query of {id}");
            }
            Event::Announced(id, cause) => {
                let fault = self.fated(id, Fault::Announce);
                assert_eq!(cause, self.model.announce(id, fault), "announcing {id}");
            }
            Event::Made(id) => self.model.made(id, Ok(())),
            Event::Arrived(id) => self.model.arrive(id),
            Event::Got(id, port) => {
                let answer = self.model.dials.get_mut(&id).unwrap().answer.take();
                assert_eq!(Some(Ok(port)), answer, "accepting {id}");
            }
            Event::Refused(id, cause) => self.hear_refused(id, cause),
            Event::Failed(id, cause) => {
                self.counts.add("engine failed", Some(cause));
                if self.model.makings.contains_key(&id) {
                    self.model.made(id, Err(cause));
                } else {
                    self.model.withdraw(id);
                    self.model.dials.get_mut(&id).unwrap().verdict = Some(Err(cause));
                }
            }
            Event::Acked(id) => {
                self.connect(id);
                self.ack(id);
            }
            Event::AckedAhead(id) => {
                self.make_streams(id);
                self.ack(id);
            }
            Event::Replied(id) => self.model.succeed(id),
            Event::Flying(id) => self.connect(id),
            Event::Fell(id) => {
                self.count("acknowledgement lost by a close");
                self.model.fell(id);
            }
            Event::Gone(id) => {
                self.count("call dropped");
                if self.model.give_up(id) {
                    self.count("given up after it was acknowledged");
                }
            }
            Event::Lost(subnet, name) => self.model.lose(subnet, name),
            Event::EngineClosed(subnet) => assert!(self.model.subnets[subnet].down),
            Event::RegistryClosed(subnet) => {
                self.model.registry.retain(|_, owner| *owner != subnet);
                self.ended[subnet].1 = true;
            }
        }
    }

    fn hear_refused(&mut self, id: Id, cause: Cause) {
        let dial = self.model.dials.get_mut(&id).unwrap();
        dial.verdict = Some(Err(cause));
        match dial.answer.take() {
            Some(answer) => assert_eq!(Err(cause), answer, "refusing {id}"),
            None => {
                assert_eq!(self.world.state().fates[&id].way, Way::Watchful);
                assert!(self.model.tokens[&id].dead, "somebody waits for {id}");
                self.count("given-up accept seen");
            }
        }
        self.model.withdraw(id);
    }

    fn connect(&mut self, id: Id) {
        self.make_streams(id);
        self.model.succeed(id);
    }

    fn make_streams(&mut self, id: Id) {
        let fate = self.world.state().fates[&id];
        let capacity = match fate.way {
            Way::Pipe => virtnet_core::pipe::PIPE_CAPACITY,
            _ => fate.capacity,
        };
        self.model.make_streams(id, capacity);
    }

    pub(crate) fn ack(&mut self, id: Id) {
        match self.model.ack(id) {
            Some(_) => self.count("acknowledged"),
            None => self.count("acknowledged to nobody"),
        }
    }

    /// Every operation that can make progress was woken.
    fn check_wakes(&self) {
        for op in self.ops.iter().filter(|op| !op.is_woken()) {
            assert!(!self.is_ready(op), "{:?} was not woken", op.what);
        }
    }

    /// The host's table is the model's, as is the length of its listeners' lines.
    pub(crate) fn check_table(&self, h: usize) {
        let model = &self.model.hosts[h];
        let Some(host) = &self.hosts[h] else { return };
        if model.down.is_some() {
            return;
        }
        let sockets = host.sockets();
        let table: Vec<_> = model.ports.iter().collect();
        assert_eq!(sockets.len(), table.len(), "{sockets:?} is {table:?}");
        for (SocketInfo { local, state, .. }, (port, holder)) in sockets.iter().zip(table) {
            let same = match (state, holder) {
                (SocketState::Listening, Holder::Listener(l)) => {
                    let listener = self.listeners[*l].as_ref();
                    listener.is_none_or(|it| it.pending() == self.model.listeners[*l].offers.len())
                }
                (SocketState::Dialing, Holder::Dialing) => true,
                (SocketState::Accepting(peer), Holder::Accepting(place)) => {
                    place_of(peer) == *place
                }
                (SocketState::Connected(peer), Holder::Connected(place)) => {
                    place_of(peer) == *place
                }
                _ => false,
            };
            assert!(
                same && local.port() == *port,
                "{local} {state:?} is {port} {holder:?}"
            );
            assert_eq!(local.host(), NAMES[model.name]);
        }
    }

    /// Runs one task of the runtime, if one is ready: core's own.
    pub(crate) fn tick(&mut self) {
        let mut first = true;
        self.runtime.block_on(std::future::poll_fn(|cx| {
            if std::mem::take(&mut first) {
                cx.waker().wake_by_ref();
                return std::task::Poll::Pending;
            }
            std::task::Poll::Ready(())
        }));
        let complaints = std::mem::take(&mut self.world.state().complaints);
        assert!(complaints.is_empty(), "{complaints:?}");
    }
}
