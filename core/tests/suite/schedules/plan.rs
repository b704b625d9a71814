//! Chooses the next step among the possible ones, by the seed.
//! Never performs it, and never inspects core, only the model.

use super::model::{Named, Place};
use super::op::What;
use super::sim::{Handle, Sim};
use super::step::Step;
use super::world::{Fate, Fault, Id, NAMES, Way};

/// Subnetworks that are up at once.
const SUBNETS: usize = 3;
/// Operations under way at once.
const OPS: usize = 24;

impl Sim {
    pub(crate) fn choose(&mut self) -> Step {
        // A random step may be impossible; after a few attempts one is possible.
        for _ in 0..30 {
            if let Some(step) = self.draw() {
                return step;
            }
        }
        Step::Tick
    }

    fn draw(&mut self) -> Option<Step> {
        match self.rng.below(100) {
            0..38 => self.draw_progress(),
            38..43 => self.draw_home(),
            43..48 => self.draw_listen(),
            48..60 => self.draw_dial(),
            60..70 => {
                let l = self.rng.below(self.listeners.len().max(1));
                let there = self.listeners.get(l)?.is_some() && self.ops.len() < OPS;
                there.then_some(Step::Accept(l))
            }
            70..86 => self.draw_stream(),
            86..91 => self.draw_conn_end(),
            91..96 => {
                let at = self.rng.below(self.ops.len().max(1));
                let id = self.ops.get(at)?.id;
                Some(Step::Drop(id))
            }
            96..98 => self.draw_flight(),
            _ => self.draw_end(),
        }
    }

    fn draw_progress(&mut self) -> Option<Step> {
        match self.rng.below(10) {
            0..6 => {
                let woken = self.ops.iter().filter(|op| op.is_woken()).count();
                let nth = self.rng.below(woken.max(1));
                let mut woken = self.ops.iter().filter(|op| op.is_woken());
                woken.nth(nth).map(|op| Step::Poll(op.id))
            }
            // An operation may also be polled without having been woken.
            6 => {
                let at = self.rng.below(self.ops.len().max(1));
                self.ops.get(at).map(|op| Step::Poll(op.id))
            }
            7 => Some(Step::Tick),
            _ => {
                let nth = self.rng.below(16);
                self.world.closed_gate(nth).map(Step::Open)
            }
        }
    }

    fn fate(&mut self, faults: &[Fault]) -> Fate {
        let rng = &mut self.rng;
        Fate {
            slow: (rng.below(16) & rng.below(16)) as u8,
            fault: rng.chance(12).then(|| rng.pick(faults)),
            way: rng.pick(&[
                Way::Pipe,
                Way::Gated,
                Way::Gated,
                Way::Watchful,
                Way::Late,
                Way::Ahead,
                Way::Ahead,
            ]),
            capacity: rng.pick(&[1, 5, 16, 64]),
        }
    }

    fn draw_home(&mut self) -> Option<Step> {
        let up = self.model.subnets.iter().filter(|subnet| !subnet.down);
        if up.count() < SUBNETS && self.rng.chance(60) {
            let fails = [self.rng.chance(10), self.rng.chance(10)];
            let fate = self.fate(&[Fault::Dial]);
            return Some(Step::Subnet(fate, fails));
        }
        let s = self.subnet()?;
        let name = self.rng.below(NAMES.len());
        let fate = self.fate(&[Fault::Resources, Fault::Announce, Fault::Making]);
        (self.ops.len() < OPS).then_some(Step::NewHost(s, name, fate))
    }

    fn draw_listen(&mut self) -> Option<Step> {
        let h = self.host()?;
        let name = match self.rng.chance(3) {
            true => self.rng.below(NAMES.len()),
            false => self.model.hosts[h].name,
        };
        let port = self.rng.pick(&[0, 0, 0, 1, 2, 3, 5, 9]);
        Some(Step::Listen(h, (name, port)))
    }

    fn draw_dial(&mut self) -> Option<Step> {
        let h = self.host()?;
        let fate = self.fate(&[Fault::Query, Fault::Dial, Fault::Ack]);
        let to = match self.rng.below(100) {
            0 => None,
            1..8 => Some((self.rng.below(NAMES.len()), self.rng.below(4) as u16)),
            _ => Some(self.listening()?),
        };
        (self.ops.len() < OPS).then_some(Step::Dial(h, to, fate))
    }

    /// The address of a listener, open or closed.
    fn listening(&mut self) -> Option<Place> {
        let l = self.rng.below(self.listeners.len().max(1));
        let listener = self.model.listeners.get(l)?;
        let gone = listener.down.is_some() && !self.rng.chance(10);
        let at = self.model.place(listener.host, listener.port);
        (!gone).then_some(at)
    }

    fn draw_stream(&mut self) -> Option<Step> {
        let e = self.end()?;
        let busy = |what: fn(What) -> bool| {
            let mut of_end = self.ops.iter().filter(|op| op.end() == Some(e));
            of_end.any(|op| what(op.what))
        };
        let reads = busy(|what| matches!(what, What::Read(..)));
        let writes = busy(|what| matches!(what, What::Write(..)));
        let (reader, writer) = match &self.ends[e] {
            Handle::Split(reader, writer) => (reader.is_some(), writer.is_some()),
            _ => (true, true),
        };
        let some = self.rng.pick(&[1, 3, 20, 64]);
        match self.rng.below(20) {
            0..9 if reader && !reads => Some(Step::Read(e, some)),
            9..18 if writer && !writes => Some(Step::Write(e, some)),
            18 if writer && !writes => Some(Step::Shutdown(e)),
            _ => None,
        }
    }

    fn draw_conn_end(&mut self) -> Option<Step> {
        let e = self.end()?;
        let split = matches!(self.ends[e], Handle::Split(..));
        Some(match self.rng.below(11) {
            0..2 => Step::CloseConn(e),
            2..4 => Step::DropConn(e),
            10 => Step::Abort(e),
            4..7 if !split => Step::Split(e),
            4 => Step::Reunite(e),
            5..7 if self.has_half(e, true) => Step::DropReader(e),
            7..9 if self.has_half(e, false) => Step::DropWriter(e),
            9 => {
                let made = self
                    .world
                    .state()
                    .pipes
                    .keys()
                    .copied()
                    .collect::<Vec<Id>>();
                Step::Cut(*made.get(self.rng.below(made.len().max(1)))?)
            }
            _ => return None,
        })
    }

    fn has_half(&self, e: usize, reader: bool) -> bool {
        match &self.ends[e] {
            Handle::Split(Some(_), _) if reader => true,
            Handle::Split(_, Some(_)) => !reader,
            _ => false,
        }
    }

    fn draw_flight(&mut self) -> Option<Step> {
        let flying: Vec<Id> = self.world.state().flights.keys().copied().collect();
        let id = *flying.get(self.rng.below(flying.len().max(1)))?;
        Some(match self.rng.chance(75) {
            true => Step::Deliver(id),
            false => Step::Fall(id),
        })
    }

    /// Rare steps that close many objects.
    fn draw_end(&mut self) -> Option<Step> {
        match self.rng.below(24) {
            0..6 => {
                let l = self.rng.below(self.listeners.len().max(1));
                self.listeners.get(l)?.as_ref()?;
                Some(match self.rng.chance(50) {
                    true => Step::CloseListener(l),
                    false => Step::DropListener(l),
                })
            }
            6..9 => self.host().map(Step::CloseHost),
            9..12 => self.host().map(Step::DropHost),
            12..14 => self.subnet().map(Step::Close),
            14 => self.subnet().map(Step::DropSubnet),
            15 => {
                let s = self.rng.below(self.model.subnets.len().max(1));
                (s < self.model.subnets.len()).then_some(Step::Down(s))
            }
            16..18 => {
                let s = self.subnet()?;
                let allowed = self.model.subnets[s].down || self.model.open_hosts(s) > 0;
                allowed.then_some(Step::AutoClose(s))
            }
            18..22 => self.named(false).map(|(s, name)| Step::Doubt(s, name)),
            _ => self.named(true).map(|(s, name)| Step::LoseName(s, name)),
        }
    }

    fn named(&mut self, any: bool) -> Option<(usize, usize)> {
        let s = self.subnet()?;
        let names = &self.model.subnets[s].names;
        let nth = self.rng.below(names.len().max(1));
        let (&name, named) = names.iter().nth(nth)?;
        (any || matches!(named, Named::Is(_))).then_some((s, name))
    }

    fn subnet(&mut self) -> Option<usize> {
        let s = self.rng.below(self.subnets.len().max(1));
        self.subnets.get(s)?.as_ref().map(|_| s)
    }

    /// A host with a handle, mostly one that is up.
    fn host(&mut self) -> Option<usize> {
        let h = self.rng.below(self.hosts.len().max(1));
        self.hosts.get(h)?.as_ref()?;
        let down = self.model.hosts[h].down.is_some();
        (!down || self.rng.chance(15)).then_some(h)
    }

    /// An end with a handle, mostly one that is up.
    fn end(&mut self) -> Option<usize> {
        let e = self.rng.below(self.ends.len().max(1));
        match self.ends.get(e)? {
            Handle::None | Handle::Split(None, None) => return None,
            _ => {}
        }
        let down = self.model.ends[e].down.is_some();
        (!down || self.rng.chance(15)).then_some(e)
    }
}
