//! What a member does about rules that are for its hosts' programs: it tells their supervisors.
//!
//! Owns which of these rules are in force, and from when on the member says that it enforces a plan.
//! Never waits itself.

use tokio::time::Instant;

use super::{Done, Member};
use crate::control::orders::Wanted;
use crate::rules::rule::Fault;
use crate::rules::table::Active;

/// What a rule wants of its host's program.
fn wanted(active: &Active, now: Instant) -> Wanted {
    match active.rule.fault {
        Fault::Pause if active.is_in_force(now) => Wanted::Paused,
        Fault::Kill if active.is_in_force(now) => Wanted::Killed,
        _ => Wanted::Running,
    }
}

impl Member<'_> {
    /// Tells the supervisors of all hosts here what is in force.
    pub(super) fn order(&mut self) {
        let (orders, now) = (self.control.orders.all(), Instant::now());
        let rules = self.enforcing.table().rules();
        for (host, order) in &orders {
            let rules = rules.iter().filter(|active| active.rule.from.matches(host));
            order.want(
                rules
                    .map(|active| wanted(active, now))
                    .max()
                    .unwrap_or_default(),
            );
        }
        self.settle();
    }

    /// Takes note of what the supervisors have seen to. As long as one has not, the member does not say that it
    /// enforces the plan, and waits in the background.
    pub(super) fn settle(&mut self) {
        let orders = self.control.orders.all();
        let late = orders.into_iter().find(|(_, order)| !order.is_settled());
        if let Some((_, order)) = late {
            if !self.settling {
                self.settling = true;
                self.background.push(async move {
                    order.settled().await;
                    Done::Settled
                });
            }
            return;
        }
        self.settled = self.enforcing.table().version();
        self.unsettled = Vec::new();
        let now = Instant::now();
        for active in self.enforcing.table().rules() {
            if !active.rule.is_on_programs() || !active.is_in_force(now) {
                continue;
            }
            let hosts = self
                .control
                .hosts_like(|host| active.rule.from.matches(host));
            let mut why_not = None;
            for host in hosts {
                match self.control.orders.get(&host) {
                    Some(order) => why_not = order.failed().or(why_not),
                    None => why_not = Some(format!("{host} is not supervised")),
                }
                if active.counts.get().matched == 0 {
                    active.counts.matched();
                    active.counts.hit();
                }
            }
            if let Some(why) = why_not {
                let (part, _) = active.place();
                let text = format!("{:?}: {why}", active.text());
                self.unsettled.push((part.to_owned(), text));
            }
        }
    }

    /// When the next rule for a program is over.
    pub(super) fn next_order(&self, now: Instant) -> Option<Instant> {
        let rules = self.enforcing.table().rules().iter();
        let rules = rules.filter(|active| active.rule.is_on_programs());
        let over = rules.filter_map(|active| active.until());
        over.filter(|until| *until > now).min()
    }
}
