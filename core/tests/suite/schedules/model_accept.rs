//! The model of accepts: what each one waits for, and what it releases when it ends.
//! Never models a call to an engine.

use super::model::{Model, Outcome};
use super::model_line::Stage;
use super::world::Id;

pub(crate) struct Accept {
    pub(crate) listener: usize,
    pub(crate) state: State,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum State {
    New,
    Waiting,
    Holding(Id),
    Cancelled,
    Arrived(usize),
}

impl Model {
    pub(crate) fn start_accept(&mut self, id: Id, listener: usize) {
        self.ref_listener(listener);
        let state = State::New;
        self.accepts.insert(id, Accept { listener, state });
    }

    /// The expected result of a poll of the accept.
    pub(crate) fn poll_accept(&mut self, id: Id) -> Outcome {
        let Accept { listener, state } = self.accepts[&id];
        if let Some(cause) = self.listeners[listener].down {
            return Outcome::Fails(cause);
        }
        match state {
            State::Arrived(e) => return Outcome::End(e),
            State::New | State::Cancelled => {
                let line = &mut self.listeners[listener];
                if let Some(dial) = line.offers.pop_front() {
                    self.take(id, dial, Stage::Taken(listener));
                } else {
                    line.accepts.push_back(id);
                    self.accepts.get_mut(&id).unwrap().state = State::Waiting;
                }
            }
            State::Waiting | State::Holding(_) => {}
        }
        Outcome::Pending
    }

    pub(crate) fn is_accept_ready(&self, id: Id) -> bool {
        let Accept { listener, state } = self.accepts[&id];
        let waits = matches!(state, State::Waiting | State::Holding(_));
        !waits || self.listeners[listener].down.is_some()
    }

    /// The accept has ended; it releases what it holds, unless it `returned` that.
    pub(crate) fn end_accept(&mut self, id: Id, returned: bool) {
        let Accept { listener, state } = self.accepts.remove(&id).unwrap();
        match state {
            State::Waiting => self.listeners[listener].accepts.retain(|it| *it != id),
            State::Holding(dial) => {
                let token = self.tokens.get_mut(&dial).unwrap();
                token.dead = true;
                let (host, port) = (token.host, token.port);
                self.hosts[host].ports.remove(&port);
            }
            State::Arrived(e) if !returned => self.drop_end(e),
            State::Arrived(e) => self.ends[e].handed = true,
            State::New | State::Cancelled => {}
        }
        self.unref_listener(listener);
    }
}
