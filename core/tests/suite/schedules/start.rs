//! Starts the user's operations: subnetworks, hosts, listeners, dials, accepts and closes.
//! Never polls: `op.rs` does.

use std::sync::Arc;

use virtnet_core::pipe::PipeEngine;
use virtnet_core::{Limits, SubNetwork};

use super::engine::SimEngine;
use super::model::Place;
use super::op::{What, Work};
use super::registry::SimRegistry;
use super::sim::{Sim, place_of};
use super::world::{CLOSES, Fate, NAMES};

impl Sim {
    pub(crate) fn new_subnet(&mut self, fate: Fate, close_fails: [bool; 2]) {
        let s = self.model.new_subnet();
        let world = self.world.clone();
        world.state().fates.insert(CLOSES + s as u32, fate);
        let registry = SimRegistry {
            world: world.clone(),
            me: s,
            inner: self.hub.registry(),
        };
        let mut limits = Limits::default();
        limits.backlog = self.model.backlog;
        let _entered = self.runtime.enter();
        let subnet = SubNetwork::with_limits("pipet", limits, Arc::new(registry), |notifier| {
            world.join(notifier.clone(), close_fails);
            let inner = PipeEngine::new(&self.switchboard, notifier);
            SimEngine {
                world,
                me: s,
                inner,
            }
        });
        self.subnets.push(Some(subnet.unwrap()));
        self.ended.push((false, false));
    }

    pub(crate) fn new_host(&mut self, s: usize, name: usize, fate: Fate) {
        let id = self.next_id();
        self.world.state().fates.insert(id, fate);
        let subnet = self.subnets[s].clone().unwrap();
        self.model.ref_subnet(s);
        self.model.start_making(id, s, name);
        let work = Box::pin(async move { subnet.new_host(NAMES[name]).await });
        self.start(id, What::NewHost(s), Work::NewHost(work));
    }

    pub(crate) fn listen(&mut self, h: usize, at: Place) {
        let host = self.hosts[h].as_ref().unwrap();
        let listening = host.listen(format!("{}:{}", NAMES[at.0], at.1));
        match (listening, self.model.listen(h, at)) {
            (Ok(listener), Ok(l)) => {
                assert_eq!(l, self.listeners.len());
                let port = self.model.listeners[l].port;
                assert_eq!(place_of(listener.local_addr()), (at.0, port));
                self.listeners.push(Some(Arc::new(listener)));
                self.count("listen");
            }
            (Err(err), Err(cause)) => {
                assert_eq!(err.cause(), cause, "{err}");
                self.counts.add("listen", Some(cause));
            }
            (listening, expected) => panic!("{listening:?} is {expected:?}"),
        }
    }

    pub(crate) fn dial(&mut self, h: usize, to: Option<Place>, fate: Fate) {
        let id = self.next_id();
        self.world.state().fates.insert(id, fate);
        let host = self.hosts[h].clone().unwrap();
        self.model.ref_host(h);
        self.model.start_dial(id, h, to);
        let to = to.map_or("no address".to_owned(), |(name, port)| {
            format!("{}:{port}", NAMES[name])
        });
        let work = Box::pin(async move { host.dial(&*to).await });
        self.start(id, What::Dial(h), Work::Dial(work));
    }

    pub(crate) fn accept(&mut self, l: usize) {
        let id = self.next_id();
        let listener = self.listeners[l].clone().unwrap();
        self.model.start_accept(id, l);
        let work = Box::pin(async move { listener.accept().await });
        self.start(id, What::Accept(l), Work::Accept(work));
    }

    pub(crate) fn close(&mut self, s: usize) {
        let id = self.next_id();
        let subnet = self.subnets[s].clone().unwrap();
        self.model.ref_subnet(s);
        let work = Box::pin(async move { subnet.close().await });
        self.start(id, What::Close(s), Work::Close(work));
    }

    pub(crate) fn stream(&mut self, what: What) {
        let id = self.next_id();
        self.start(id, what, Work::Stream);
    }
}
