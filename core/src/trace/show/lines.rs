//! The lines of a picture: one for each host that a subnetwork recorded.
//!
//! Owns their order and their labels. Never draws.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::trace::Trace;

/// The hosts of a trace, by name. A name that two subnetworks held has a line for each.
pub(super) struct Lines {
    /// No two are the same.
    pub(super) labels: Vec<Arc<str>>,
    /// The subnetwork of each line.
    pub(super) processes: Vec<Arc<str>>,
    of: Vec<usize>,
}

impl Lines {
    pub(super) fn new(trace: &Trace) -> Lines {
        let mut first = BTreeMap::new();
        for (index, traced) in trace.events().iter().enumerate() {
            let host = (&traced.event.host, &traced.process);
            first.entry(host).or_insert(index);
        }
        let mut hosts: Vec<_> = first.into_iter().collect();
        hosts.sort_by_key(|((host, _), first)| (*host, *first));
        let mut taken: HashSet<Arc<str>> = hosts.iter().map(|it| Arc::clone(it.0.0)).collect();
        let mut lines = Lines {
            labels: Vec::with_capacity(hosts.len()),
            processes: Vec::with_capacity(hosts.len()),
            of: Vec::with_capacity(trace.events().len()),
        };
        let mut number = BTreeMap::new();
        for ((host, process), _) in &hosts {
            let again = lines.labels.len();
            number.insert((*host, *process), again);
            let same = |index: usize| hosts.get(index).is_some_and(|it| it.0.0 == *host);
            let label = match again.checked_sub(1).is_some_and(same) {
                true => free_label(host, &mut taken),
                false => Arc::clone(host),
            };
            lines.labels.push(label);
            lines.processes.push(Arc::clone(process));
        }
        let of = trace.events().iter();
        lines.of = of
            .map(|traced| number[&(&traced.event.host, &traced.process)])
            .collect();
        lines
    }

    /// The line of an event.
    pub(super) fn of(&self, event: usize) -> usize {
        self.of[event]
    }
}

/// `α (2)`, or the next that is no name of a host.
fn free_label(host: &str, taken: &mut HashSet<Arc<str>>) -> Arc<str> {
    let mut labels = (2..).map(|number: usize| Arc::from(format!("{host} ({number})")));
    let free = labels.find(|label: &Arc<str>| taken.insert(Arc::clone(label)));
    free.expect("numbers do not end")
}
