//! The model of dials: which accept each one meets, at which port, and its state after
//! it is cancelled. Never models the transport of a dial: the engine's events report it.

use virtnet_core::Cause;

use super::model::{Holder, Model, Named, Outcome, Place};
use super::model_accept::State;
use super::world::Id;

pub(crate) struct Dial {
    pub(crate) host: usize,
    pub(crate) port: u16,
    pub(crate) to: Place,
    /// The subnetwork where it is to arrive, as the registry said.
    at: usize,
    pub(crate) stage: Stage,
    /// What the acceptor's side must answer next.
    pub(crate) answer: Option<Result<u16, Cause>>,
    pub(crate) verdict: Option<Result<(), Cause>>,
    pub(crate) peer_port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stage {
    Away,
    Line(usize),
    /// Taken by an accept, which the dial has not seen.
    Taken(usize),
    Got,
}

/// An accept that has taken a dial, and is not acknowledged.
pub(crate) struct Token {
    accept: Id,
    pub(crate) host: usize,
    pub(crate) port: u16,
    src: Place,
    /// The accept that waited for the acknowledgement was cancelled.
    pub(crate) dead: bool,
}

impl Model {
    /// Takes the lowest port, unless the host is down.
    pub(crate) fn start_dial(&mut self, id: Id, host: usize, to: Option<Place>) {
        let port = self.lowest(host);
        let verdict = match (self.hosts[host].down, to) {
            (Some(cause), _) => Some(Err(cause)),
            (None, None) => Some(Err(Cause::InvalidAddr)),
            (None, Some(_)) => {
                self.hosts[host].ports.insert(port, Holder::Dialing);
                None
            }
        };
        let dial = Dial {
            host,
            port,
            to: to.unwrap_or((0, 0)),
            at: 0,
            stage: Stage::Away,
            answer: None,
            verdict,
            peer_port: 0,
        };
        self.dials.insert(id, dial);
    }

    /// What the registry must answer.
    pub(crate) fn query(&mut self, id: Id, fault: bool) -> Option<Cause> {
        let dial = self.dials.get_mut(&id).unwrap();
        let cause = match self.registry.get(&dial.to.0) {
            _ if fault => Some(Cause::RegistryDown),
            None => Some(Cause::NoSuchHost),
            Some(&at) => {
                dial.at = at;
                None
            }
        };
        dial.verdict = cause.map(Err);
        cause
    }

    /// The dial comes to the acceptor's subnetwork.
    pub(crate) fn arrive(&mut self, id: Id) {
        let answer = match self.find_listener(id) {
            Err(cause) => Some(Err(cause)),
            Ok(l) if self.listeners[l].accepts.is_empty() => {
                self.listeners[l].offers.push_back(id);
                self.dials.get_mut(&id).unwrap().stage = Stage::Line(l);
                None
            }
            Ok(l) => {
                let accept = self.listeners[l].accepts.pop_front().unwrap();
                Some(Ok(self.take(accept, id, Stage::Got)))
            }
        };
        self.dials.get_mut(&id).unwrap().answer = answer;
    }

    fn find_listener(&self, id: Id) -> Result<usize, Cause> {
        let Dial { at, to, .. } = self.dials[&id];
        let (subnet, (name, port)) = (&self.subnets[at], to);
        if subnet.down {
            return Err(Cause::ConnectionRefused);
        }
        let named = subnet.names.get(&name).ok_or(Cause::NoSuchHost)?;
        let holder = match *named {
            Named::Is(h) => self.hosts[h].ports.get(&port),
            Named::Making(_) => None,
        };
        match holder {
            Some(&Holder::Listener(_)) if subnet.doubt.contains(&name) => {
                Err(Cause::ConnectionRefused)
            }
            Some(&Holder::Listener(l)) => {
                let listener = &self.listeners[l];
                let full = listener.offers.len() >= self.backlog;
                match full && listener.accepts.is_empty() {
                    true => Err(Cause::ConnectionRefused),
                    false => Ok(l),
                }
            }
            _ => Err(Cause::ConnectionRefused),
        }
    }

    /// The accept takes the dial, at the lowest port.
    pub(crate) fn take(&mut self, accept: Id, id: Id, stage: Stage) -> u16 {
        let host = self.listeners[self.accepts[&accept].listener].host;
        let port = self.lowest(host);
        let dial = self.dials.get_mut(&id).unwrap();
        let src = (self.hosts[dial.host].name, dial.port);
        dial.stage = stage;
        dial.peer_port = port;
        let ports = &mut self.hosts[host].ports;
        ports.insert(port, Holder::Accepting(src));
        self.accepts.get_mut(&accept).unwrap().state = State::Holding(id);
        let token = Token {
            accept,
            host,
            port,
            src,
            dead: false,
        };
        self.tokens.insert(id, token);
        port
    }

    /// Polls a dial in the queue, and stores the answer that it must get.
    pub(crate) fn poll_line(&mut self, id: Id) {
        let Dial { at, to, stage, .. } = self.dials[&id];
        let refused = Some(Err(Cause::ConnectionRefused));
        let answer = match stage {
            Stage::Line(l) if self.listeners[l].down.is_some() => {
                self.withdraw(id);
                refused
            }
            Stage::Taken(l) => {
                let doubted = self.subnets[at].doubt.contains(&to.0);
                if doubted || self.listeners[l].down.is_some() {
                    self.withdraw(id);
                    refused
                } else {
                    let dial = self.dials.get_mut(&id).unwrap();
                    dial.stage = Stage::Got;
                    Some(Ok(dial.peer_port))
                }
            }
            _ => None,
        };
        self.dials.get_mut(&id).unwrap().answer = answer;
    }

    /// Whether a poll must make progress, whatever the state of the gates.
    pub(crate) fn is_dial_ready(&self, id: Id, watchful: bool) -> bool {
        let dial = &self.dials[&id];
        let on = match dial.stage {
            Stage::Line(l) => self.listeners[l].down.is_some(),
            Stage::Taken(_) => true,
            Stage::Got => watchful && self.tokens.get(&id).is_some_and(|token| token.dead),
            Stage::Away => false,
        };
        on || self.hosts[dial.host].down.is_some()
    }

    /// The dial is cancelled, in the queue or after an accept has taken it.
    pub(crate) fn withdraw(&mut self, id: Id) {
        if let Some(dial) = self.dials.get_mut(&id) {
            if let Stage::Line(l) = dial.stage {
                self.listeners[l].offers.retain(|offer| *offer != id);
            }
            dial.stage = Stage::Away;
        }
        let Some(token) = self.tokens.remove(&id) else {
            return;
        };
        if !token.dead {
            self.hosts[token.host].ports.remove(&token.port);
            let accept = self.accepts.get_mut(&token.accept).unwrap();
            accept.state = State::Cancelled;
        }
    }

    /// The streams are there.
    pub(crate) fn make_streams(&mut self, id: Id, capacity: usize) {
        let dirs = [self.new_dir(capacity), self.new_dir(capacity)];
        self.made.insert(id, dirs);
    }

    /// The dial is about to succeed.
    pub(crate) fn succeed(&mut self, id: Id) {
        self.dials.get_mut(&id).unwrap().verdict = Some(Ok(()));
    }

    /// The dial is dropped. Returns whether it was acknowledged already: that end is cut.
    pub(crate) fn give_up(&mut self, id: Id) -> bool {
        self.withdraw(id);
        let made = self.made.get(&id).copied();
        if let Some([there, back]) = made {
            self.cut_stream(there, back);
        }
        made.is_some()
    }

    /// The acknowledgement arrives at the acceptor: the end that it creates, if an accept
    /// waits for it.
    pub(crate) fn ack(&mut self, id: Id) -> Option<usize> {
        let token = self.tokens.remove(&id).unwrap();
        let [there, back] = self.made[&id];
        if token.dead || self.hosts[token.host].down.is_some() {
            self.cut_stream(there, back);
            if !token.dead {
                self.hosts[token.host].ports.remove(&token.port);
                let accept = self.accepts.get_mut(&token.accept).unwrap();
                accept.state = State::Cancelled;
            }
            return None;
        }
        let e = self.new_end(token.host, token.port, token.src, there, back);
        self.accepts.get_mut(&token.accept).unwrap().state = State::Arrived(e);
        Some(e)
    }

    /// The acknowledgement will never come.
    pub(crate) fn fell(&mut self, id: Id) {
        self.withdraw(id);
        let [there, back] = self.made[&id];
        self.cut_stream(there, back);
    }

    /// The expected result of a poll of the dial, after the engine's turn.
    pub(crate) fn poll_dial(&self, id: Id) -> Outcome {
        let dial = &self.dials[&id];
        match dial.verdict {
            None => Outcome::Pending,
            Some(Err(cause)) => Outcome::Fails(cause),
            Some(Ok(())) => Outcome::Done,
        }
    }

    /// The dial returned an error, or was dropped.
    pub(crate) fn end_dial(&mut self, id: Id) {
        self.withdraw(id);
        let dial = self.dials.remove(&id).unwrap();
        let host = &mut self.hosts[dial.host];
        if dial.verdict != Some(Err(Cause::InvalidAddr)) && host.down.is_none() {
            assert_eq!(host.ports.remove(&dial.port), Some(Holder::Dialing));
        }
    }

    /// The dial returned its connection.
    pub(crate) fn dialed(&mut self, id: Id) -> usize {
        let dial = self.dials.remove(&id).unwrap();
        let [there, back] = self.made[&id];
        let peer = (dial.to.0, dial.peer_port);
        let e = self.new_end(dial.host, dial.port, peer, back, there);
        self.ends[e].handed = true;
        e
    }
}
