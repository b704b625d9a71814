//! Records of several processes as one trace, in causal order.
//!
//! Owns the edges between hosts, and the order that follows. Never compares clocks to decide
//! what came first: among events without an order, the clock only decides which is shown first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::trace::blame::blame;
use crate::trace::edges::edges;
use crate::trace::event::{Event, EventKind};
use crate::trace::order::in_order;

/// What one subnetwork recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The full name of the network.
    pub network: Arc<str>,
    /// Tells the subnetworks of a network apart.
    pub process: Arc<str>,
    /// The events, in any order.
    pub events: Vec<Event>,
    /// How many events were dropped because the record was full.
    pub dropped: u64,
}

/// An event in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// The event.
    pub event: Event,
    /// The subnetwork that recorded it.
    pub process: Arc<str>,
    /// The host's event before it: its index in the trace.
    pub previous: Option<usize>,
    /// The event of another host (or of the same, if it dialed itself) that led to it, such as
    /// the dial of an accept: its index in the trace. For what a rule of faults did, such as a read that timed out under
    /// a cut: the event of the same host since which the rule was in force.
    pub cause: Option<usize>,
}

/// What happened on a network, merged from the records of its subnetworks.
///
/// An event comes after all events that led to it: those of its host before it, and those that
/// the network carried to it. A dial comes before its accept, this before *connected*; the
/// first byte and the end of a direction come before their reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    pub(super) events: Vec<Traced>,
    pub(super) dropped: u64,
    circles: Vec<Vec<usize>>,
}

/// Records that make no trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// They are of two networks.
    #[error("expected records of one network, got {0:?} and {1:?}")]
    Networks(Arc<str>, Arc<str>),
    /// Two events have the same host, subnetwork and number.
    #[error("event {number} of host {host:?} is there twice: was a record given twice?")]
    Twice {
        /// The name of the host.
        host: Arc<str>,
        /// The event's number.
        number: u64,
    },
}

/// How many events a contradiction shows.
const SHOWN: usize = 8;

const CONTRADICTION: &str = "the records contradict each other, as each of these events would have \
                             led to the next, and the last to the first";

/// The name of a host, and its subnetwork.
type HostOf = (Arc<str>, Arc<str>);

impl Trace {
    /// Merges records.
    ///
    /// # Errors
    ///
    /// [`MergeError`] if the records cannot be of one network.
    pub fn merge(records: impl IntoIterator<Item = Record>) -> Result<Trace, MergeError> {
        let mut network: Option<Arc<str>> = None;
        let mut hosts: BTreeMap<HostOf, Vec<Event>> = BTreeMap::new();
        let mut dropped = 0;
        for record in records {
            let network = network.get_or_insert_with(|| Arc::clone(&record.network));
            if *network != record.network {
                return Err(MergeError::Networks(Arc::clone(network), record.network));
            }
            dropped += record.dropped;
            for event in record.events {
                let host = (Arc::clone(&event.host), Arc::clone(&record.process));
                hosts.entry(host).or_default().push(event);
            }
        }
        let mut unordered = Vec::new();
        for ((host, process), events) in in_turn(hosts) {
            if let Some(two) = events.windows(2).find(|two| two[0].number == two[1].number) {
                let number = two[0].number;
                return Err(MergeError::Twice { host, number });
            }
            let mut previous = None;
            for event in events {
                let index = unordered.len();
                unordered.push(Traced {
                    event,
                    process: Arc::clone(&process),
                    previous,
                    cause: None,
                });
                previous = Some(index);
            }
        }
        let network = edges(&unordered).into_iter();
        for (cause, effect) in network.chain(blame(&unordered)) {
            unordered[effect].cause = Some(cause);
        }
        let (events, circles) = in_order(unordered);
        Ok(Trace {
            events,
            dropped,
            circles,
        })
    }

    /// All events. None comes before one that led to it.
    pub fn events(&self) -> &[Traced] {
        &self.events
    }

    /// How many events were dropped because a record was full. Such a trace has holes.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Contradictions of the records, as those of a network never have: a file was changed, or is of another run. Each
    /// has the indices of events of which each would have led to the next one, and the last to the first. In the trace, they
    /// have no edges between hosts; the rest of the order is right.
    pub fn circles(&self) -> &[Vec<usize>] {
        &self.circles
    }

    /// What each contradiction of the records is about, a line each.
    pub fn contradictions(&self) -> impl Iterator<Item = String> {
        self.circles.iter().map(|circle| {
            let events = circle.iter().map(|index| &self.events[*index].event);
            let lines = events
                .take(SHOWN)
                .map(|event| format!("{:?}", event.to_string()));
            let lines: Vec<_> = lines.collect();
            let more = match circle.len() {
                len if len > SHOWN => format!(" -> … ({} more)", len - SHOWN),
                _ => String::new(),
            };
            format!("{CONTRADICTION}: {}{more}", lines.join(" -> "))
        })
    }

    /// The event whose message this one received, if it did.
    pub(super) fn sent(&self, index: usize) -> Option<usize> {
        let cause = self.events[index].cause?;
        let is_fault = matches!(
            self.events[cause].event.kind,
            EventKind::FaultsInForce { .. }
        );
        (!is_fault).then_some(cause)
    }

    /// The names of the hosts, sorted.
    pub fn hosts(&self) -> Vec<Arc<str>> {
        let hosts = self.events.iter().map(|traced| &traced.event.host);
        hosts
            .cloned()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    /// Whether the event with the index `first` led to the one with the index `then`, directly
    /// or not. Two events of which neither led to the other are concurrent.
    ///
    /// # Panics
    ///
    /// If there is no such event.
    pub fn is_before(&self, first: usize, then: usize) -> bool {
        assert!(first < self.events.len(), "the trace has an event {first}");
        let mut seen = BTreeSet::from([then]);
        // The largest first: what led to an event has a smaller index.
        while let Some(next) = seen.pop_last().filter(|next| *next > first) {
            let traced = &self.events[next];
            seen.extend(traced.previous.into_iter().chain(traced.cause));
            if seen.contains(&first) {
                return true;
            }
        }
        false
    }
}

/// The events of each host on each subnetwork, by their numbers. A host that was made again on another
/// subnetwork comes after the first by the clock: only to find out which accept took which of its dials.
fn in_turn(hosts: BTreeMap<HostOf, Vec<Event>>) -> Vec<(HostOf, Vec<Event>)> {
    let mut hosts: Vec<_> = hosts.into_iter().collect();
    for (_, events) in &mut hosts {
        events.sort_by_key(|event| event.number);
    }
    hosts.sort_by_cached_key(|((host, process), events)| {
        let begun = events.first().map(|event| event.wall);
        (Arc::clone(host), begun, Arc::clone(process))
    });
    hosts
}

#[cfg(test)]
mod tests;
