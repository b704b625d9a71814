//! What the plan of faults says about the programs of a subnetwork's hosts.
//!
//! Owns which state each supervised host is to have, and what its supervisor says about that. Never
//! does anything to a program, and never reads the plan.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::control::state::Control;

/// The state that a host's program is to have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wanted {
    #[default]
    Running,
    Paused,
    Killed,
}

/// The orders of all supervised hosts, by name. Of several supervisors of a host, the last gets them.
#[derive(Default)]
pub(crate) struct Orders(Mutex<HashMap<String, Arc<Order>>>);

/// What one host's supervisor is to do.
#[derive(Default)]
pub(crate) struct Order(watch::Sender<Progress>);

#[derive(Debug, Clone, Default)]
struct Progress {
    wanted: Wanted,
    /// The state that the supervisor has seen to, or could not.
    seen_to: Wanted,
    failed: Option<String>,
    /// There is no supervisor any more.
    ended: bool,
}

impl Progress {
    fn is_settled(&self) -> bool {
        self.ended || self.seen_to == self.wanted
    }
}

impl Order {
    pub(crate) fn want(&self, wanted: Wanted) {
        self.0.send_if_modified(|now| {
            let is_new = now.wanted != wanted;
            now.wanted = wanted;
            is_new
        });
    }

    pub(crate) fn wanted(&self) -> Wanted {
        self.0.borrow().wanted
    }

    /// Waits until another state is wanted than this one.
    pub(crate) async fn changed(&self, from: Wanted) {
        let mut progress = self.0.subscribe();
        // The sender lives: it is this.
        let _ = progress.wait_for(|now| now.wanted != from).await;
    }

    /// The supervisor has seen to this state, or says why it could not.
    fn see_to(&self, wanted: Wanted, failed: Option<String>) {
        self.0.send_modify(|now| {
            (now.seen_to, now.failed) = (wanted, failed);
        });
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.0.borrow().is_settled()
    }

    /// Why the supervisor could not see to what is wanted.
    pub(crate) fn failed(&self) -> Option<String> {
        self.0.borrow().failed.clone()
    }

    /// Waits until its supervisor has seen to what is wanted, or there is none any more.
    pub(crate) async fn settled(self: Arc<Self>) {
        let mut progress = self.0.subscribe();
        // The sender lives: it is this.
        let _ = progress.wait_for(Progress::is_settled).await;
    }
}

impl Orders {
    pub(crate) fn get(&self, host: &str) -> Option<Arc<Order>> {
        self.0.lock().get(host).cloned()
    }

    pub(crate) fn all(&self) -> Vec<(String, Arc<Order>)> {
        let orders = self.0.lock();
        let orders = orders.iter();
        orders
            .map(|(host, order)| (host.clone(), Arc::clone(order)))
            .collect()
    }
}

/// A supervisor's end of the orders for its host. Dropping it ends them.
pub(crate) struct Ordered {
    control: Arc<Control>,
    host: String,
    order: Arc<Order>,
}

impl Ordered {
    /// The plan is looked at again, as it may be about this host.
    pub(crate) fn new(control: Arc<Control>, host: &str) -> Ordered {
        let order = Arc::new(Order::default());
        let mut orders = control.orders.0.lock();
        let before = orders.insert(host.to_owned(), Arc::clone(&order));
        drop(orders);
        if let Some(before) = before {
            before.0.send_modify(|now| now.ended = true);
        }
        control.wake.notify_one();
        Ordered {
            control,
            host: host.to_owned(),
            order,
        }
    }

    pub(crate) fn order(&self) -> &Order {
        &self.order
    }

    /// See [`Order::see_to`]. The member says so.
    pub(crate) fn see_to(&self, wanted: Wanted, failed: Option<String>) {
        self.order.see_to(wanted, failed);
        self.control.wake.notify_one();
    }
}

impl Drop for Ordered {
    fn drop(&mut self) {
        let mut orders = self.control.orders.0.lock();
        let ours = orders.get(&self.host);
        if ours.is_some_and(|order| Arc::ptr_eq(order, &self.order)) {
            orders.remove(&self.host);
        }
        drop(orders);
        self.order.0.send_modify(|now| now.ended = true);
        self.control.wake.notify_one();
    }
}
