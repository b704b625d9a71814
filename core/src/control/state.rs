//! What the task of a member shares with those who use it: hosts that join, and parts of the plan that are held here.
//!
//! Owns [`Control`]. Never waits, and never reads or writes a document.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::control::board::{Known, random_id};
use crate::control::member_doc::HOSTS;
use crate::control::orders::Orders;
use crate::rules::plan::{Part, SharedPlan};
use crate::{Registry, RegistryError};

/// The control of one subnetwork, or of somebody who only sets plans.
pub(crate) struct Control {
    pub(crate) registry: Arc<dyn Registry>,
    /// Of the member, in hex digits.
    pub(crate) id: String,
    /// Held for a moment only.
    state: Mutex<State>,
    /// Wakes the task, of which there is one.
    pub(crate) wake: Notify,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) orders: Orders,
}

#[derive(Default)]
struct State {
    /// The hosts, by the document that names them.
    chunks: Vec<Chunk>,
    /// Grows with each host.
    generation: u64,
    held: HashMap<String, Held>,
    /// Parts to heal, in the background.
    released: Vec<String>,
    /// The plan that was seen last.
    known: Arc<Known>,
    finished: bool,
    /// As if its process had been killed: it holds and heals nothing any more.
    crashed: bool,
}

#[derive(Default)]
struct Chunk {
    hosts: Vec<String>,
    /// It is not written as it is here.
    dirty: bool,
}

/// How far the task has come with hosts that join.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    /// Hosts up to this generation are in the member's documents.
    pub(crate) listed: u64,
    /// The plan was read after that, and is enforced.
    pub(crate) ready: u64,
    /// Hosts up to this generation could not be written.
    pub(crate) unlisted: Option<(u64, RegistryError)>,
    /// For hosts up to this generation, the plan could not be read.
    pub(crate) unread: u64,
}

/// A part of the plan that is held here.
#[derive(Debug, Clone, Copy)]
enum Held {
    /// It is renewed when it is time.
    Renewed { every: Duration, next: Instant },
    /// It is healed when it is time.
    Until(Instant),
}

/// The documents of a member that have to be written.
pub(crate) struct Unwritten {
    /// The generation that they have.
    pub(crate) generation: u64,
    /// The hosts of the first.
    pub(crate) first: Vec<String>,
    /// The first is among those to write.
    pub(crate) first_dirty: bool,
    /// The others, by number.
    pub(crate) others: Vec<(usize, Vec<String>)>,
}

impl Control {
    pub(crate) fn new(registry: Arc<dyn Registry>) -> Control {
        Control {
            registry,
            id: random_id(),
            state: Mutex::default(),
            wake: Notify::new(),
            progress: watch::Sender::default(),
            orders: Orders::default(),
        }
    }

    /// Adds a host. Returns its generation.
    pub(crate) fn add_host(&self, host: &str) -> u64 {
        let mut state = self.state.lock();
        let room = state
            .chunks
            .iter_mut()
            .find(|chunk| chunk.hosts.len() < HOSTS);
        match room {
            Some(chunk) => {
                chunk.hosts.push(host.to_owned());
                chunk.dirty = true;
            }
            None => state.chunks.push(Chunk {
                hosts: vec![host.to_owned()],
                dirty: true,
            }),
        }
        state.generation += 1;
        let generation = state.generation;
        drop(state);
        self.wake.notify_one();
        generation
    }

    /// Removes a host that was not made.
    pub(crate) fn remove_host(&self, host: &str) {
        let mut state = self.state.lock();
        for chunk in &mut state.chunks {
            if let Some(at) = chunk.hosts.iter().position(|name| name == host) {
                chunk.hosts.swap_remove(at);
                chunk.dirty = true;
                break;
            }
        }
        drop(state);
        self.wake.notify_one();
    }

    /// It has, or had, a host: its documents exist.
    pub(crate) fn is_member(&self) -> bool {
        !self.state.lock().chunks.is_empty()
    }

    /// Whether a host of this name is here.
    pub(crate) fn has_host(&self, host: &str) -> bool {
        let state = self.state.lock();
        let mut chunks = state.chunks.iter();
        chunks.any(|chunk| chunk.hosts.iter().any(|name| name == host))
    }

    /// The hosts here for which `is` holds.
    pub(crate) fn hosts_like(&self, is: impl Fn(&str) -> bool) -> Vec<String> {
        let state = self.state.lock();
        let hosts = state.chunks.iter().flat_map(|chunk| &chunk.hosts);
        hosts.filter(|host| is(host)).cloned().collect()
    }

    /// How many documents name hosts.
    pub(crate) fn chunks(&self) -> usize {
        self.state.lock().chunks.len()
    }

    /// The documents that are not written as they are here; they count as written from now on.
    pub(crate) fn take_unwritten(&self, all: bool) -> Unwritten {
        let mut state = self.state.lock();
        let mut unwritten = Unwritten {
            generation: state.generation,
            first: Vec::new(),
            first_dirty: false,
            others: Vec::new(),
        };
        for (number, chunk) in state.chunks.iter_mut().enumerate() {
            let dirty = std::mem::take(&mut chunk.dirty) || all;
            if number == 0 {
                unwritten.first.clone_from(&chunk.hosts);
                unwritten.first_dirty = dirty;
            } else if dirty {
                unwritten.others.push((number, chunk.hosts.clone()));
            }
        }
        unwritten
    }

    /// The hosts of the first document.
    pub(crate) fn first_hosts(&self) -> Vec<String> {
        let state = self.state.lock();
        state
            .chunks
            .first()
            .map_or_else(Vec::new, |chunk| chunk.hosts.clone())
    }

    /// Renews `part` from now on, until it is released.
    pub(crate) fn hold(&self, part: &Part) {
        let Some(lease) = part.lease else { return };
        let every = lease / 3;
        let next = Instant::now() + every;
        self.keep(&part.id, Held::Renewed { every, next });
    }

    /// Heals `part` when its lease is over.
    pub(crate) fn hold_for(&self, part: &Part) {
        let until = part
            .lease
            .and_then(|lease| Instant::now().checked_add(lease));
        if let Some(until) = until {
            self.keep(&part.id, Held::Until(until));
        }
    }

    fn keep(&self, part: &str, held: Held) {
        let mut state = self.state.lock();
        if !state.crashed {
            state.held.insert(part.to_owned(), held);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Renews a part no longer: its lease ends it.
    pub(crate) fn let_go(&self, part: &str) {
        self.state.lock().held.remove(part);
    }

    /// Has a part healed in the background.
    pub(crate) fn release(&self, part: &str) {
        let mut state = self.state.lock();
        state.held.remove(part);
        if !state.crashed {
            state.released.push(part.to_owned());
        }
        drop(state);
        self.wake.notify_one();
    }

    /// The parts to heal now.
    pub(crate) fn take_released(&self, now: Instant) -> Vec<String> {
        let mut state = self.state.lock();
        let mut released = std::mem::take(&mut state.released);
        state.held.retain(|part, held| {
            let over = matches!(held, Held::Until(until) if *until <= now);
            if over {
                released.push(part.clone());
            }
            !over
        });
        released
    }

    /// The parts to renew now.
    pub(crate) fn due(&self, now: Instant) -> Vec<String> {
        let state = self.state.lock();
        let due = state.held.iter().filter(|(_, held)| match held {
            Held::Renewed { next, .. } => *next <= now,
            Held::Until(_) => false,
        });
        due.map(|(part, _)| part.clone()).collect()
    }

    /// A part was renewed, or is not in the plan any more.
    pub(crate) fn renewed(&self, part: &str, there: bool) {
        let mut state = self.state.lock();
        match state.held.get_mut(part) {
            Some(Held::Renewed { every, next }) if there => *next = Instant::now() + *every,
            Some(_) => drop(state.held.remove(part)),
            None => {}
        }
    }

    /// When a held part has to be renewed or healed next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let state = self.state.lock();
        let due = state.held.values().map(|held| match held {
            Held::Renewed { next, .. } => *next,
            Held::Until(until) => *until,
        });
        due.min()
    }

    /// All parts that a guard holds here, or that are to be healed.
    pub(crate) fn held(&self) -> Vec<String> {
        let state = self.state.lock();
        let held = state.held.iter();
        let held = held.filter(|(_, held)| matches!(held, Held::Renewed { .. }));
        let held = held.map(|(part, _)| part);
        held.chain(&state.released).cloned().collect()
    }

    pub(crate) fn known(&self) -> Arc<Known> {
        Arc::clone(&self.state.lock().known)
    }

    pub(crate) fn set_known(&self, known: Known) {
        self.state.lock().known = Arc::new(known);
    }

    /// Remembers the parts that are held here, in case the document vanishes. A member remembers all of
    /// the plan.
    pub(crate) fn remember(&self, plan: &SharedPlan) {
        let mut state = self.state.lock();
        if state.chunks.is_empty() {
            let parts = plan
                .parts
                .iter()
                .filter(|part| state.held.contains_key(&part.id));
            let plan = SharedPlan {
                version: plan.version,
                parts: parts.cloned().collect(),
            };
            state.known = Arc::new(Known { plan, text: None });
        }
    }

    /// Nobody uses it any more: its task ends when all is healed that was released.
    pub(crate) fn finish(&self) {
        self.state.lock().finished = true;
        self.wake.notify_one();
    }

    /// As if its process had been killed: what is held here ends by its lease, and the member's documents by
    /// their lifetime.
    pub(crate) fn crash(&self) {
        let mut state = self.state.lock();
        state.crashed = true;
        state.held.clear();
        state.released.clear();
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.state.lock().crashed
    }

    pub(crate) fn is_finished(&self) -> bool {
        let state = self.state.lock();
        state.finished && state.released.is_empty()
    }
}
