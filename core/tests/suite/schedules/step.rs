//! The steps of a user, an engine or a registry, applied to core and to the model.
//! Never chooses a step: `plan.rs` does.

use std::sync::Arc;

use virtnet_core::{Cause, Failure};

use super::model::Place;
use super::op::{Op, What};
use super::pipe::end;
use super::sim::{Handle, Sim};
use super::world::{Fate, Id};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Step {
    Subnet(Fate, [bool; 2]),
    NewHost(usize, usize, Fate),
    Listen(usize, Place),
    /// To an address, or to an invalid one.
    Dial(usize, Option<Place>, Fate),
    Accept(usize),
    Read(usize, usize),
    Write(usize, usize),
    Shutdown(usize),
    CloseConn(usize),
    Abort(usize),
    DropConn(usize),
    Split(usize),
    Reunite(usize),
    DropReader(usize),
    DropWriter(usize),
    CloseListener(usize),
    DropListener(usize),
    CloseHost(usize),
    DropHost(usize),
    Close(usize),
    DropSubnet(usize),
    AutoClose(usize),
    /// The engine says that the network is down.
    Down(usize),
    /// The registry becomes uncertain, or certain again, who holds that name.
    Doubt(usize, usize),
    LoseName(usize, usize),
    Cut(Id),
    Deliver(Id),
    Fall(Id),
    Drop(Id),
    Poll(Id),
    Open(Id),
    Tick,
}

impl Sim {
    pub(crate) fn perform(&mut self, step: Step) {
        match step {
            Step::Subnet(fate, close_fails) => self.new_subnet(fate, close_fails),
            Step::NewHost(s, name, fate) => self.new_host(s, name, fate),
            Step::Listen(h, at) => self.listen(h, at),
            Step::Dial(h, to, fate) => self.dial(h, to, fate),
            Step::Accept(l) => self.accept(l),
            Step::Read(e, room) => self.stream(What::Read(e, room)),
            Step::Write(e, some) => self.stream(What::Write(e, some)),
            Step::Poll(id) => {
                let op = self.remove(id);
                self.poll(op);
            }
            Step::Drop(id) => self.drop_op(id),
            Step::Open(id) => self.world.open(id),
            Step::Tick => self.tick(),
            Step::Close(s) => self.close(s),
            step => {
                self.count("closed, dropped or broken");
                self.perform_end(step);
            }
        }
    }

    fn perform_end(&mut self, step: Step) {
        match step {
            Step::CloseListener(l) => {
                self.listeners[l].as_ref().unwrap().close();
                self.model.down_listener(l, Cause::SocketDown);
            }
            Step::DropListener(l) => {
                self.listeners[l] = None;
                self.model.unref_listener(l);
            }
            Step::CloseHost(h) => {
                self.hosts[h].as_ref().unwrap().close();
                self.model.down_host(h, Cause::HostDown);
            }
            Step::DropHost(h) => {
                self.hosts[h] = None;
                self.model.unref_host(h);
            }
            Step::DropSubnet(s) => {
                self.subnets[s] = None;
                self.model.unref_subnet(s);
            }
            Step::AutoClose(s) => {
                self.subnets[s].as_ref().unwrap().auto_close().unwrap();
                self.model.subnets[s].auto_close = true;
            }
            Step::Down(s) => {
                let notifier = self.world.state().members[s].notifier.clone();
                notifier.vnet_down(Failure::other("the cable was cut"));
                self.ended[s].0 |= !self.model.subnets[s].down;
                self.model.down_subnet(s);
            }
            Step::Doubt(s, name) => {
                for doubt in [
                    &mut self.world.state().members[s].doubt,
                    &mut self.model.subnets[s].doubt,
                ] {
                    if !doubt.remove(&name) {
                        doubt.insert(name);
                    }
                }
            }
            Step::LoseName(s, name) => self.world.lose(s, name),
            Step::Cut(id) => {
                let pipes = self.world.state().pipes.get(&id).cloned();
                pipes.iter().flatten().for_each(|pipe| pipe.cut());
                for dir in self.model.made[&id] {
                    self.model.dirs[dir].cut = true;
                }
            }
            Step::Deliver(id) | Step::Fall(id) => self.land(id, matches!(step, Step::Deliver(_))),
            step => self.perform_conn(step),
        }
    }

    fn perform_conn(&mut self, step: Step) {
        match step {
            Step::Shutdown(e) => self.shutdown(e),
            Step::CloseConn(e) => {
                match &self.ends[e] {
                    Handle::Whole(conn) => conn.close(),
                    Handle::Split(Some(reader), _) => reader.close(),
                    Handle::Split(_, Some(writer)) => writer.close(),
                    _ => unreachable!("who closes has a handle"),
                }
                self.model.down_end(e, Cause::SocketDown);
            }
            Step::Abort(e) => {
                match &self.ends[e] {
                    Handle::Whole(conn) => conn.abort(),
                    Handle::Split(Some(reader), _) => reader.abort(),
                    Handle::Split(_, Some(writer)) => writer.abort(),
                    _ => unreachable!("who aborts has a handle"),
                }
                self.count("aborted");
                self.model.abort_end(e);
            }
            Step::DropConn(e) => {
                self.ops.retain(|op| op.end() != Some(e));
                self.ends[e] = Handle::None;
                self.model.drop_end(e);
            }
            Step::Split(e) => {
                self.ends[e] = match std::mem::replace(&mut self.ends[e], Handle::None) {
                    Handle::Whole(conn) => {
                        let (reader, writer) = conn.into_split();
                        Handle::Split(Some(reader), Some(writer))
                    }
                    other => other,
                };
            }
            Step::Reunite(e) => {
                self.ends[e] = match std::mem::replace(&mut self.ends[e], Handle::None) {
                    Handle::Split(Some(reader), Some(writer)) => {
                        Handle::Whole(reader.reunite(writer).unwrap())
                    }
                    other => other,
                };
            }
            Step::DropReader(e) => {
                self.ops
                    .retain(|op| !matches!(op.what, What::Read(of, _) if of == e));
                if let Handle::Split(reader, writer) = &mut self.ends[e] {
                    *reader = None;
                    if writer.is_none() {
                        self.model.drop_end(e);
                    }
                }
            }
            Step::DropWriter(e) => {
                self.ops
                    .retain(|op| !matches!(op.what, What::Write(of, _) if of == e));
                if let Handle::Split(reader, writer) = &mut self.ends[e] {
                    *writer = None;
                    match reader {
                        Some(_) => self.model.drop_writer(e),
                        None => self.model.drop_end(e),
                    }
                }
            }
            step => unreachable!("{step:?} is done elsewhere"),
        }
    }

    /// An acknowledgement arrives, or is lost.
    fn land(&mut self, id: Id, comes: bool) {
        let flight = self.world.state().flights.remove(&id).unwrap();
        let live = Arc::clone(&self.world.state().members[flight.to].live);
        let stream = end(&flight.from_dialer, &flight.to_dialer, &live);
        if comes {
            flight.accept.ack(stream);
            self.ack(id);
        } else {
            drop(flight.accept);
            self.model.fell(id);
        }
    }

    pub(crate) fn remove(&mut self, id: Id) -> Op {
        let at = self.ops.iter().position(|op| op.id == id).unwrap();
        self.ops.remove(at)
    }

    /// Drops a running operation.
    pub(crate) fn drop_op(&mut self, id: Id) {
        let op = self.remove(id);
        let what = op.what;
        drop(op);
        self.hear();
        self.world.forget(id);
        match what {
            What::Dial(h) => {
                self.count("dial dropped");
                self.model.end_dial(id);
                self.model.unref_host(h);
            }
            What::Accept(_) => {
                self.count("accept dropped");
                self.model.end_accept(id, false);
            }
            What::NewHost(s) => {
                self.count("new host dropped");
                self.model.end_making(id, false);
                self.model.unref_subnet(s);
            }
            What::Close(s) => {
                self.count("close dropped");
                self.model.unref_subnet(s);
            }
            What::Read(..) => self.count("read dropped"),
            What::Write(..) => self.count("write dropped"),
        }
    }
}
