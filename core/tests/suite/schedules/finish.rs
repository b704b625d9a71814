//! The end of a run: everything is closed, every operation ends, and nothing is left.
//! Never uses random numbers to hold a call up: all gates are open.

use std::sync::atomic::Ordering;

use super::op::What;
use super::sim::{Handle, Sim};
use super::step::Step;
use super::world::Id;

/// Polls and ticks within which everything must have ended.
const ROUNDS: usize = 200;

impl Sim {
    pub(crate) fn finish(&mut self) {
        self.world.open_all();
        if self.rng.chance(50) {
            self.let_go();
            self.check_bare();
        }
        for s in 0..self.subnets.len() {
            match self.subnets[s].is_some() {
                true => self.take(Step::Close(s)),
                false => self.take(Step::Down(s)),
            }
        }
        self.run_out();
        for host in self.hosts.iter().flatten() {
            assert_eq!(host.sockets(), [], "{host:?} is down");
        }
        self.let_go();
        for h in 0..self.hosts.len() {
            if self.hosts[h].is_some() {
                self.take(Step::DropHost(h));
            }
        }
        for s in 0..self.subnets.len() {
            if self.subnets[s].is_some() {
                self.take(Step::DropSubnet(s));
            }
        }
        self.check_nothing_left();
    }

    /// Drops all but hosts and subnetworks, in any order.
    fn let_go(&mut self) {
        while let Some(op) = self.ops.last() {
            self.take(Step::Drop(op.id));
        }
        let flying: Vec<Id> = self.world.state().flights.keys().copied().collect();
        for id in flying {
            let step = self.rng.pick(&[Step::Deliver(id), Step::Fall(id)]);
            self.take(step);
        }
        for e in 0..self.ends.len() {
            match self.ends[e] {
                Handle::None | Handle::Split(None, None) => {}
                _ => self.take(Step::DropConn(e)),
            }
        }
        for l in 0..self.listeners.len() {
            if self.listeners[l].is_some() {
                self.take(Step::DropListener(l));
            }
        }
    }

    /// Hosts that are up have all their ports again.
    fn check_bare(&mut self) {
        for h in 0..self.hosts.len() {
            let Some(host) = &self.hosts[h] else { continue };
            assert_eq!(host.sockets(), [], "{host:?} has nothing open");
            if self.model.hosts[h].down.is_none() {
                let l = self.listeners.len();
                self.take(Step::Listen(h, (self.model.hosts[h].name, 0)));
                let first = self.listeners[l].as_ref().unwrap();
                assert_eq!(first.local_addr().port(), 1);
                self.take(Step::DropListener(l));
                self.count("all ports are free");
            }
        }
    }

    /// Polls woken operations until all have ended.
    fn run_out(&mut self) {
        for _ in 0..ROUNDS {
            if self.ops.is_empty() {
                return;
            }
            let woken = self.ops.iter().filter(|op| op.is_woken());
            let woken: Vec<Id> = woken.map(|op| op.id).collect();
            for id in woken {
                self.take(Step::Poll(id));
            }
            self.take(Step::Tick);
        }
        let left: Vec<What> = self.ops.iter().map(|op| op.what).collect();
        panic!("all is closed, and these never end: {left:?}");
    }

    fn check_nothing_left(&mut self) {
        let all_ended = |sim: &Sim| {
            let metrics = sim.runtime.metrics();
            sim.ended.iter().all(|(_, ended)| *ended) && metrics.num_alive_tasks() == 0
        };
        for _ in 0..ROUNDS {
            if all_ended(self) {
                break;
            }
            self.take(Step::Tick);
        }
        assert!(
            all_ended(self),
            "a task or a close is left: {:?}",
            self.ended
        );
        assert_eq!(self.hub.hosts(), [], "names are left");
        let state = self.world.state();
        for member in &state.members {
            assert_eq!(
                member.live.load(Ordering::Relaxed),
                0,
                "calls or streams are left"
            );
        }
        assert!(state.flights.is_empty(), "acknowledgements are left");
        assert!(self.model.tokens.is_empty() && self.model.accepts.is_empty());
    }
}
