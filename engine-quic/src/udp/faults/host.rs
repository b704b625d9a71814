//! The faults of one host: its peers, the datagrams that wait, and the table in force.
//!
//! Owns the steps of a datagram that is sent. Never calls the socket.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Waker;

use parking_lot::Mutex;
use quinn::udp::Transmit;
use tokio::sync::Notify;
use tokio::time::Instant;
use virtnet_core::faults::FaultTable;

use crate::Counters;
use crate::observe::stats::count;
use crate::udp::faults::peers::Peers;
use crate::udp::faults::queue::{Datagram, Queue};
use crate::udp::faults::recovery::Recovery;

/// The faults of one host.
pub(crate) struct HostFaults {
    pub(super) own: Arc<str>,
    counters: Counters,
    /// A rule is on datagrams, or something still waits, or it is silent.
    active: AtomicBool,
    /// It crashed: nothing is sent or received any more.
    silent: AtomicBool,
    pub(super) state: Mutex<State>,
    /// Wakes the task that sends.
    wake: Notify,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) table: Arc<FaultTable>,
    /// A rule of the table is on datagrams of this host: else the table costs it nothing.
    concerned: bool,
    pub(super) peers: Peers,
    pub(super) queue: Queue,
    /// Arrived during a cut that has ended, and not read yet.
    pub(super) arrived: VecDeque<Datagram>,
    /// Of the task that reads the socket.
    pub(super) reader: Option<Waker>,
    /// The size of what cuts dropped and is kept.
    pub(super) saved: usize,
    /// When to look next which cuts have ended.
    pub(super) look_at: Option<Instant>,
    /// Until when the task that sends waits, unless it is woken.
    waits_until: Option<Instant>,
    ended: bool,
}

/// What the task that sends does next.
pub(crate) enum Step {
    Send(Datagram),
    /// Until then, or until it is woken.
    Wait(Option<Instant>),
    /// There are no rules, and nothing waits.
    Idle,
    End,
}

impl HostFaults {
    pub(crate) fn new(own: &Arc<str>, table: Arc<FaultTable>, counters: &Counters) -> HostFaults {
        HostFaults {
            own: Arc::clone(own),
            counters: counters.clone(),
            active: AtomicBool::new(table.has_datagram_rules_for(own)),
            silent: AtomicBool::new(false),
            state: Mutex::new(State {
                concerned: table.has_datagram_rules_for(own),
                table,
                ..State::default()
            }),
            wake: Notify::new(),
        }
    }

    /// Each datagram from now on meets the rules of `table`. What waits for a peer without rules is
    /// sent at once.
    pub(crate) fn enforce(&self, table: &Arc<FaultTable>) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let now = Instant::now();
        state.table = Arc::clone(table);
        state.concerned = table.has_datagram_rules_for(&self.own);
        for peer in state.peers.iter_mut() {
            peer.relink(&self.own, table);
        }
        let peers = &mut state.peers;
        let mut free = state.queue.destinations();
        free.retain(|to| peers.get_mut(*to).is_none_or(|peer| peer.there.is_none()));
        state.queue.release(now, |to| free.contains(&to));
        state.look_at = Some(now);
        self.settle(state);
        self.wake.notify_one();
    }

    /// From now on nothing is sent and nothing is received, for good.
    pub(crate) fn silence(&self) {
        let mut state = self.state.lock();
        self.silent.store(true, Relaxed);
        state.queue = Queue::default();
        state.arrived.clear();
        self.settle(&state);
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.silent.load(Relaxed)
    }

    /// Whether datagrams have to be looked at. Costs one load.
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Relaxed)
    }

    pub(super) fn settle(&self, state: &State) {
        let waits = !state.queue.is_empty() || !state.arrived.is_empty();
        let active = waits || state.concerned || self.is_silent();
        self.active.store(active, Relaxed);
    }

    /// Decides about each datagram of `transmit`. Returns those to send now; `None` if no rule is for
    /// the destination, so that all are sent as they are.
    pub(crate) fn decide<'a>(
        &self,
        transmit: &Transmit<'a>,
        now: Instant,
    ) -> Option<Vec<&'a [u8]>> {
        let (to, contents) = (transmit.destination, transmit.contents);
        let mut state = self.state.lock();
        let peer = state.peers.get_mut(to);
        let link = peer.and_then(|peer| peer.there.clone());
        let waits = state.queue.is_due_to(to, now);
        if link.is_none() && !waits {
            return None;
        }
        let mut at_once = Vec::new();
        let segment = transmit.segment_size.unwrap_or(contents.len()).max(1);
        for datagram in contents.chunks(segment) {
            let Some(link) = &link else {
                self.queue(&mut state, now, Datagram::of(transmit, datagram));
                continue;
            };
            let fate = link.send(datagram.len(), now);
            if fate.sent_at().next().is_none() && link.is_cut(now) {
                state.keep_unsent(Datagram::of(transmit, datagram), now);
            }
            for at in fate.sent_at() {
                match at <= now && !waits {
                    true => at_once.push(datagram),
                    false => self.queue(&mut state, at, Datagram::of(transmit, datagram)),
                }
            }
        }
        self.wake_if_earlier(&state);
        Some(at_once)
    }

    /// The socket takes no more for now: these datagrams of `transmit` wait.
    pub(crate) fn wait(&self, transmit: &Transmit<'_>, datagrams: &[&[u8]], now: Instant) {
        let mut state = self.state.lock();
        for datagram in datagrams {
            self.queue(&mut state, now, Datagram::of(transmit, datagram));
        }
        self.settle(&state);
        self.wake.notify_one();
    }

    pub(super) fn queue(&self, state: &mut State, at: Instant, datagram: Datagram) {
        if self.is_silent() {
            return;
        }
        if !state.queue.push(at, datagram) {
            count(&self.counters.0.fault_queue_full);
        }
    }

    /// What the task that sends does at `now`.
    pub(crate) fn next_step(&self, now: Instant) -> Step {
        let (mut reader, mut recovering) = (None, Vec::new());
        let step = {
            let mut state = self.state.lock();
            if state.look_at.is_some_and(|at| at <= now) {
                reader = self.look_at_cuts(&mut state, &mut recovering, now);
            }
            self.step(&mut state, now)
        };
        recovering.iter().for_each(Recovery::send);
        if let Some(reader) = reader {
            reader.wake();
        }
        step
    }

    fn step(&self, state: &mut State, now: Instant) -> Step {
        if state.ended {
            return Step::End;
        }
        while let Some(datagram) = state.queue.pop_due(now) {
            if !state.is_cut_to(datagram.peer, now) {
                return Step::Send(datagram);
            }
            state.keep_unsent(datagram, now);
        }
        self.settle(state);
        if state.is_idle() {
            return Step::Idle;
        }
        state.waits_until = state.next();
        Step::Wait(state.waits_until)
    }

    /// Whether the task that sends has nothing to do until there are rules.
    pub(crate) fn is_idle(&self) -> bool {
        self.state.lock().is_idle()
    }

    /// Waits until there is something to do that `next_step` did not know.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Wakes the task that sends, if it would wait for too long.
    pub(super) fn wake_if_earlier(&self, state: &State) {
        let is_earlier = |next| state.waits_until.is_none_or(|until| next < until);
        if state.next().is_some_and(is_earlier) {
            self.wake.notify_one();
        }
    }

    /// The socket is closed: the task that sends ends.
    pub(crate) fn end(&self) {
        self.state.lock().ended = true;
        self.wake.notify_one();
    }

    /// All that waits and is not cut off, for the end of the task.
    pub(crate) fn take_waiting(&self) -> Vec<Datagram> {
        let (mut state, now) = (self.state.lock(), Instant::now());
        let waiting = state.queue.take();
        waiting
            .filter(|datagram| !state.is_cut_to(datagram.peer, now))
            .collect()
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.next().is_none() && !self.concerned
    }

    /// When there is something to do next.
    fn next(&self) -> Option<Instant> {
        self.queue.due().into_iter().chain(self.look_at).min()
    }

    fn is_cut_to(&mut self, to: SocketAddr, now: Instant) -> bool {
        let peer = self.peers.get_mut(to);
        let link = peer.and_then(|peer| peer.there.as_ref());
        link.is_some_and(|link| link.is_cut(now))
    }
}
