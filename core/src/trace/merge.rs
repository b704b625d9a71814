//! Records of several processes as one trace, in causal order.
//!
//! Owns the edges between hosts, and the order that follows. Never compares clocks to decide
//! what came first: among events without an order, the clock only decides which is shown first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use crate::trace::edges::edges;
use crate::trace::event::Event;

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
    /// the dial of an accept: its index in the trace.
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
    /// Events that would each have to come before the other: a record is damaged.
    #[error("the records contradict each other: {0:?} would come before itself")]
    Circle(String),
}

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
        for (cause, effect) in edges(&unordered) {
            unordered[effect].cause = Some(cause);
        }
        let events = in_order(unordered)?;
        Ok(Trace { events, dropped })
    }

    /// All events. None comes before one that led to it.
    pub fn events(&self) -> &[Traced] {
        &self.events
    }

    /// How many events were dropped because a record was full. Such a trace has holes.
    pub fn dropped(&self) -> u64 {
        self.dropped
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

/// Sorts events so that each comes after its causes; among those that could be next, the one
/// with the earliest time on its machine's clock.
fn in_order(unordered: Vec<Traced>) -> Result<Vec<Traced>, MergeError> {
    let mut effects = vec![Vec::new(); unordered.len()];
    let mut waits_for = vec![0; unordered.len()];
    for (index, traced) in unordered.iter().enumerate() {
        for cause in traced.previous.into_iter().chain(traced.cause) {
            effects[cause].push(index);
            waits_for[index] += 1;
        }
    }
    let key = |index: usize| -> Reverse<(Duration, usize)> {
        Reverse((unordered[index].event.wall, index))
    };
    let free = waits_for
        .iter()
        .enumerate()
        .filter(|(_, waits)| **waits == 0);
    let mut next: BinaryHeap<_> = free.map(|(index, _)| key(index)).collect();
    let mut order = Vec::with_capacity(unordered.len());
    let mut place = vec![usize::MAX; unordered.len()];
    while let Some(Reverse((_, index))) = next.pop() {
        place[index] = order.len();
        order.push(index);
        for effect in &effects[index] {
            waits_for[*effect] -= 1;
            if waits_for[*effect] == 0 {
                next.push(key(*effect));
            }
        }
    }
    if let Some(stuck) = place.iter().position(|place| *place == usize::MAX) {
        return Err(MergeError::Circle(unordered[stuck].event.to_string()));
    }
    let mut events: Vec<_> = unordered.into_iter().map(Some).collect();
    let moved = order.into_iter().map(|index| {
        let mut traced = events[index].take().expect("each is taken once");
        traced.previous = traced.previous.map(|index| place[index]);
        traced.cause = traced.cause.map(|index| place[index]);
        traced
    });
    Ok(moved.collect())
}

#[cfg(test)]
mod tests;
