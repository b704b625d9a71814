//! Which event of one host led to which event of another.
//!
//! Owns how the two ends of a connection find each other. Never looks at clocks.

use std::collections::{HashMap, HashSet};

use crate::Addr;
use crate::trace::event::{End, EventKind};
use crate::trace::merge::Traced;

/// The most that is tried to find the accepts of dials that did not connect, for one dialing port
/// and one listener.
const MAX_POSSIBLE: usize = 1 << 24;

/// A dial: its event, and what came of it.
struct Dial {
    dialing: usize,
    connected: Option<(usize, End)>,
}

/// An accept: its event and its end.
struct Accept<'a> {
    accepted: usize,
    end: &'a End,
    /// It read an end of file.
    ended: bool,
}

/// The dials and accepts between a dialing port and a listener, in the order of their hosts.
#[derive(Default)]
struct Between<'a> {
    dials: Vec<Dial>,
    accepts: Vec<Accept<'a>>,
}

/// All edges between the events of hosts, as indices of cause and effect; each effect has one cause.
pub(super) fn edges(events: &[Traced]) -> Vec<(usize, usize)> {
    let mut edges = Vec::new();
    // The event whose end this is, as the acceptor calls it.
    let mut acceptors = HashMap::new();
    for between in dials_and_accepts(events).into_values() {
        for (dial, accept) in between.matched() {
            edges.push((dial.dialing, accept.accepted));
            if let Some((connected, end)) = &dial.connected {
                edges.push((accept.accepted, *connected));
                acceptors.insert(end.clone(), accept.end.clone());
            }
        }
    }
    let dialers: HashMap<_, _> = acceptors.iter().map(|(one, two)| (two, one)).collect();
    let other = |end: &End| acceptors.get(end).or_else(|| dialers.get(end).copied());
    let mut first_sent = HashMap::new();
    let mut ended = HashMap::new();
    for (index, traced) in events.iter().enumerate() {
        match &traced.event.kind {
            EventKind::FirstByteSent { end } => drop(first_sent.insert(end, index)),
            EventKind::EndSent { end, .. } => drop(ended.insert(end, index)),
            EventKind::Closed { end, .. } => drop(ended.entry(end).or_insert(index)),
            _ => {}
        }
    }
    for (index, traced) in events.iter().enumerate() {
        let cause = match &traced.event.kind {
            EventKind::FirstByteReceived { end } => other(end).and_then(|end| first_sent.get(end)),
            EventKind::EndReceived { end, .. } => other(end).and_then(|end| ended.get(end)),
            _ => None,
        };
        edges.extend(cause.map(|cause| (*cause, index)));
    }
    edges
}

/// By the dialing port and the dialed address. The events of a host are in their order.
fn dials_and_accepts(events: &[Traced]) -> HashMap<(&Addr, &Addr), Between<'_>> {
    let ended = events.iter().filter_map(|traced| match &traced.event.kind {
        EventKind::EndReceived { end, .. } => Some(end),
        _ => None,
    });
    let ended: HashSet<_> = ended.collect();
    let mut all: HashMap<_, Between<'_>> = HashMap::new();
    for (index, traced) in events.iter().enumerate() {
        match &traced.event.kind {
            EventKind::Dialing { src, dst, .. } => {
                let dials = &mut all.entry((src, dst)).or_default().dials;
                dials.push(Dial {
                    dialing: index,
                    connected: None,
                });
            }
            EventKind::Connected { end, dst } => {
                let dials = &mut all.entry((&end.local, dst)).or_default().dials;
                // A port has one dial at a time.
                if let Some(dial) = dials.last_mut() {
                    dial.connected = Some((index, end.clone()));
                }
            }
            EventKind::Accepted { end, listener } => {
                let accepts = &mut all.entry((&end.peer, listener)).or_default().accepts;
                let ended = ended.contains(end);
                accepts.push(Accept {
                    accepted: index,
                    end,
                    ended,
                });
            }
            _ => {}
        }
    }
    all
}

impl<'a> Between<'a> {
    /// Which accept took which dial. Both are in order. A dial that connected was taken at the port that it was
    /// told. One that did not may have been taken, too; its acceptor has a connection that is cut, and reads no end
    /// of file. Where two answers are possible, the earlier dial was taken: it came before the
    /// later one, so the order that follows is true in either case.
    fn matched(&self) -> Vec<(&Dial, &Accept<'a>)> {
        let possible = self.possible();
        let mut matched = Vec::new();
        let mut taken = 0;
        for (index, dial) in self.dials.iter().enumerate() {
            let Some(accept) = self.accepts.get(taken) else {
                break;
            };
            let takes = dial.may_be_taken_by(accept)
                && (dial.connected.is_some() || possible.holds(index + 1, taken + 1));
            if takes {
                matched.push((dial, accept));
                taken += 1;
            }
        }
        matched
    }

    /// From the last dial back: for which accepts all others find their dials.
    fn possible(&self) -> Possible {
        let connected = self.dials.iter().filter(|dial| dial.connected.is_some());
        let connected = connected.count();
        let unconnected = self.dials.len() - connected;
        let mut possible = Possible {
            width: unconnected + 1,
            least: Vec::with_capacity(self.dials.len() + 1),
            holds: Vec::new(),
        };
        let mut least = 0;
        for dial in &self.dials {
            possible.least.push(least);
            least += usize::from(dial.connected.is_some());
        }
        possible.least.push(least);
        if possible.width * possible.least.len() > MAX_POSSIBLE {
            return possible;
        }
        possible.holds = vec![false; possible.width * possible.least.len()];
        for index in (0..=self.dials.len()).rev() {
            for more in 0..possible.width {
                let taken = possible.least[index] + more;
                let holds = match (self.dials.get(index), self.accepts.get(taken)) {
                    (None, accept) => accept.is_none(),
                    (Some(dial), accept) => {
                        let takes = accept.is_some_and(|accept| dial.may_be_taken_by(accept));
                        takes && possible.holds(index + 1, taken + 1)
                            || dial.connected.is_none() && possible.holds(index + 1, taken)
                    }
                };
                possible.holds[index * possible.width + more] = holds;
            }
        }
        possible
    }
}

impl Dial {
    fn may_be_taken_by(&self, accept: &Accept<'_>) -> bool {
        match &self.connected {
            Some((_, end)) => end.peer == accept.end.local,
            None => !accept.ended,
        }
    }
}

/// Whether the dials from an index on fit the accepts from an index on.
struct Possible {
    /// As many accepts may be taken more than dials have connected.
    width: usize,
    /// The accepts that are taken at least before each dial.
    least: Vec<usize>,
    /// For each dial, by the number of accepts above the least. Empty if it would be too large: then no dial that did
    /// not connect is taken to be accepted.
    holds: Vec<bool>,
}

impl Possible {
    fn holds(&self, dial: usize, accept: usize) -> bool {
        let more = accept.checked_sub(self.least[dial]);
        let more = more.filter(|more| *more < self.width);
        let holds = more.and_then(|more| self.holds.get(dial * self.width + more));
        holds.copied().unwrap_or(false)
    }
}
