//! Which event of one host led to which event of another.
//!
//! Owns the edges between the events of connections. Which dial an accept took is found by the matching; never looks
//! at clocks.

use std::collections::HashMap;
use std::ops::Range;

use crate::Addr;
use crate::trace::event::{End, EventKind};
use crate::trace::matching::{Accept, Between, Carried, Dial};
use crate::trace::merge::Traced;

/// One end of a connection: the subnetwork that recorded it, and its addresses.
type Key<'a> = (&'a str, &'a End);

/// All edges between the events of hosts, as indices of cause and effect; each effect has one cause.
///
/// None is ever wrong. Where records leave open which accept took a dial, the cause is the earliest event that
/// could be it: the true one came later at the same host. For bytes and ends there is none then.
pub(super) fn edges(events: &[Traced]) -> Vec<(usize, usize)> {
    let mut edges = Vec::new();
    let mut others: HashMap<Key<'_>, Key<'_>> = HashMap::new();
    for between in dials_and_accepts(events).into_values() {
        let matched = between.matched();
        for (accept, dial) in between.accepts.iter().zip(matched.dials) {
            edges.extend(dial.map(|dial| (between.dials[dial].event, accept.event)));
        }
        for (dial, accepts) in between.dials.iter().zip(matched.accepts) {
            let (Some((connected, _)), Some(accepts)) = (dial.connected, accepts) else {
                continue;
            };
            let accept = between.accepts[accepts.first].event;
            edges.push((accept, connected));
            if accepts.is_sure {
                let [one, other] = [accept, connected].map(|event| key(&events[event]));
                if let (Some(one), Some(other)) = (one, other) {
                    others.extend([(one, other), (other, one)]);
                }
            }
        }
    }
    let mut first_sent = HashMap::new();
    let mut ended = HashMap::new();
    let mut sent = Sent::default();
    for (index, traced) in events.iter().enumerate() {
        let Some(key) = key(traced) else { continue };
        match &traced.event.kind {
            EventKind::FirstByteSent { .. } => drop(first_sent.insert(key, index)),
            EventKind::Data {
                sent: true,
                offset,
                len,
                ..
            } => sent.add(key, *offset..offset + len, index),
            // Only what came first ended the direction.
            EventKind::EndSent { .. } | EventKind::Closed { .. } => {
                ended.entry(key).or_insert(index);
            }
            _ => {}
        }
    }
    for (index, traced) in events.iter().enumerate() {
        let Some(other) = key(traced).and_then(|key| others.get(&key)) else {
            continue;
        };
        let cause = match &traced.event.kind {
            EventKind::FirstByteReceived { .. } => first_sent.get(other),
            EventKind::EndReceived { .. } => ended.get(other),
            EventKind::Data {
                sent: false,
                offset,
                len,
                ..
            } => sent.up_to(other, offset + len),
            _ => None,
        };
        edges.extend(cause.map(|cause| (*cause, index)));
    }
    edges
}

/// The writes of each end: their bytes' offsets, and the event. Those of an end are in their order.
#[derive(Default)]
struct Sent<'a>(HashMap<Key<'a>, Vec<(Range<u64>, usize)>>);

impl<'a> Sent<'a> {
    fn add(&mut self, end: Key<'a>, bytes: Range<u64>, index: usize) {
        self.0.entry(end).or_default().push((bytes, index));
    }

    /// The write that sent the last byte before `offset`, unless that left with the dial.
    fn up_to(&self, end: &Key<'a>, offset: u64) -> Option<&usize> {
        let sent = self.0.get(end)?;
        let index = sent.partition_point(|(bytes, _)| bytes.end < offset);
        let (bytes, index) = sent.get(index)?;
        (bytes.start < offset).then_some(index)
    }
}

/// The end that an event is about.
fn key(traced: &Traced) -> Option<Key<'_>> {
    Some((&traced.process, traced.event.kind.end()?))
}

/// By the dialing port and the dialed address. The events of a host are in their order.
fn dials_and_accepts(events: &[Traced]) -> HashMap<(&Addr, &Addr), Between<'_>> {
    let carried = carried(events);
    let carried_by = |traced: &Traced| {
        let carried = key(traced).and_then(|key| carried.get(&key));
        carried.copied().unwrap_or_default()
    };
    let mut all: HashMap<_, Between<'_>> = HashMap::new();
    for (index, traced) in events.iter().enumerate() {
        match &traced.event.kind {
            EventKind::Dialing { src, dst, first } => {
                let dials = &mut all.entry((src, dst)).or_default().dials;
                dials.push(Dial {
                    event: index,
                    connected: None,
                    carried: Carried::of_first(*first),
                });
            }
            EventKind::Connected { end, dst } => {
                let dials = &mut all.entry((&end.local, dst)).or_default().dials;
                // A port has one dial at a time.
                if let Some(dial) = dials.last_mut() {
                    dial.connected = Some((index, end));
                    dial.carried = carried_by(traced);
                }
            }
            EventKind::Accepted { end, listener } => {
                let accepts = &mut all.entry((&end.peer, listener)).or_default().accepts;
                accepts.push(Accept {
                    event: index,
                    end,
                    carried: carried_by(traced),
                });
            }
            _ => {}
        }
    }
    all
}

/// What each end has carried, as far as it was recorded.
fn carried(events: &[Traced]) -> HashMap<Key<'_>, Carried> {
    let mut all: HashMap<Key<'_>, Carried> = HashMap::new();
    for traced in events {
        let Some(key) = key(traced) else { continue };
        let carried = all.entry(key).or_default();
        match &traced.event.kind {
            EventKind::EndSent { bytes, .. } => carried.sent = Some(*bytes),
            EventKind::FirstByteReceived { .. } => carried.has_received(1),
            EventKind::EndReceived { bytes, .. } => {
                carried.has_received(*bytes);
                carried.read_end = Some(*bytes);
            }
            EventKind::ReadFailed { bytes, .. } => carried.has_received(*bytes),
            EventKind::Closed { sent, received, .. } => {
                carried.sent.get_or_insert(*sent);
                carried.has_received(*received);
            }
            _ => {}
        }
    }
    all
}
