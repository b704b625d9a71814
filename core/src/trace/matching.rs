//! Which accept took which dial.
//!
//! Owns the matching of the dials of one port to one listener with their accepts. Never looks at clocks, and
//! never says more than is sure.

use crate::trace::event::End;

/// The most that is tried, for one dialing port and one listener.
const MAX_POSSIBLE: usize = 1 << 22;

/// What one end has carried, as far as it was recorded.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Carried {
    /// All that it has sent.
    pub(super) sent: Option<u64>,
    /// At least so much it has received.
    received: u64,
    /// It has read the end, after so many bytes.
    pub(super) read_end: Option<u64>,
}

impl Carried {
    /// A dial that did not connect has sent its first bytes, and received none.
    pub(super) fn of_first(bytes: u64) -> Carried {
        Carried {
            sent: Some(bytes),
            ..Carried::default()
        }
    }

    pub(super) fn has_received(&mut self, bytes: u64) {
        self.received = self.received.max(bytes);
    }

    /// What `other` has received can have come from this end.
    fn can_have_sent_to(&self, other: &Carried) -> bool {
        let Some(sent) = self.sent else { return true };
        other.received <= sent && other.read_end.is_none_or(|end| end == sent)
    }
}

/// A dial: its event, what came of it, and what its end has carried.
pub(super) struct Dial<'a> {
    pub(super) event: usize,
    pub(super) connected: Option<(usize, &'a End)>,
    pub(super) carried: Carried,
}

/// An accept: its event, its end, and what that has carried.
pub(super) struct Accept<'a> {
    pub(super) event: usize,
    pub(super) end: &'a End,
    pub(super) carried: Carried,
}

/// The dials and accepts between a dialing port and a listener, in the order of their hosts.
#[derive(Default)]
pub(super) struct Between<'a> {
    pub(super) dials: Vec<Dial<'a>>,
    pub(super) accepts: Vec<Accept<'a>>,
}

/// What is sure.
pub(super) struct Matched {
    /// For each accept the earliest dial that it may have taken.
    pub(super) dials: Vec<Option<usize>>,
    /// For each dial that connected the accepts that may have taken it.
    pub(super) accepts: Vec<Option<Accepts>>,
}

/// The accepts that may have taken a dial.
#[derive(Clone, Copy)]
pub(super) struct Accepts {
    /// The earliest.
    pub(super) first: usize,
    /// It is the only one.
    pub(super) is_sure: bool,
}

impl Dial<'_> {
    /// A dial that connected was taken at the port that it was told. One that did not may have been taken, too; its
    /// acceptor has a connection that is cut, and reads no end of file.
    fn may_be_taken_by(&self, accept: &Accept<'_>) -> bool {
        let fits = self.carried.can_have_sent_to(&accept.carried);
        match self.connected {
            Some((_, end)) => {
                end.peer == accept.end.local
                    && fits
                    && accept.carried.can_have_sent_to(&self.carried)
            }
            None => accept.carried.read_end.is_none() && fits,
        }
    }
}

impl Between<'_> {
    /// Dials and accepts are in one order, as a port has one dial at a time. First all accepts have to find
    /// dials; then the last ones need not: the record of a process that was killed ends early.
    pub(super) fn matched(&self) -> Matched {
        let possible = [false, true].into_iter();
        let possible = possible.filter_map(|early| Possible::new(self, early));
        let matched = possible.filter_map(|possible| possible.matched());
        matched.into_iter().next().unwrap_or_else(|| self.by_port())
    }

    /// Where the records do not fit each other: the connections of each accepting port in turn, unless dials
    /// are missing.
    fn by_port(&self) -> Matched {
        let mut matched = Matched::nothing(self);
        for (dial, accepts) in matched.accepts.iter_mut().enumerate() {
            let Some((_, end)) = self.dials[dial].connected else {
                continue;
            };
            let there = |dial: &&Dial<'_>| {
                let peer = dial.connected.map(|(_, end)| &end.peer);
                peer == Some(&end.peer)
            };
            let nth = self.dials[..dial].iter().filter(there).count();
            let dials = self.dials.iter().filter(there).count();
            let here = self.accepts.iter().enumerate();
            let here: Vec<_> = here
                .filter(|(_, accept)| accept.end.local == end.peer)
                .collect();
            if here.len() > dials {
                continue;
            }
            if let Some((accept, _)) = here.get(nth) {
                matched.dials[*accept] = Some(dial);
                *accepts = Some(Accepts {
                    first: *accept,
                    is_sure: true,
                });
            }
        }
        matched
    }
}

impl Matched {
    fn nothing(between: &Between<'_>) -> Matched {
        Matched {
            dials: vec![None; between.accepts.len()],
            accepts: vec![None; between.dials.len()],
        }
    }
}

/// All ways in which accepts can have taken dials.
struct Possible<'a> {
    between: &'a Between<'a>,
    /// As many accepts may be taken more than dials have connected.
    width: usize,
    /// The accepts that are taken at least before each dial.
    least: Vec<usize>,
    /// Whether the dials before one can have been taken by the accepts before one.
    before: Vec<bool>,
    /// The same for the dials and accepts from one on.
    after: Vec<bool>,
}

impl<'a> Possible<'a> {
    /// `early` if the last accepts may be without dials. `None` if it would be too much.
    fn new(between: &'a Between<'a>, early: bool) -> Option<Possible<'a>> {
        let dials = &between.dials;
        let mut least = vec![0];
        for dial in dials {
            least.push(least[least.len() - 1] + usize::from(dial.connected.is_some()));
        }
        let width = dials.len() - least[dials.len()] + 1;
        let size = width * least.len();
        if size > MAX_POSSIBLE {
            return None;
        }
        let mut possible = Possible {
            between,
            width,
            least,
            before: vec![false; size],
            after: vec![false; size],
        };
        possible.look_ahead();
        possible.look_back(early);
        Some(possible)
    }

    /// The place of the state in which the dials before `dial` have been taken by the accepts before `accept`.
    fn place(&self, dial: usize, accept: usize) -> Option<usize> {
        let more = accept.checked_sub(self.least[dial])?;
        (more < self.width).then_some(dial * self.width + more)
    }

    /// The accepts that may have been taken before `dial`.
    fn accepts(&self, dial: usize) -> impl Iterator<Item = usize> + use<> {
        let least = self.least[dial];
        least..least + self.width
    }

    fn takes(&self, dial: usize, accept: usize) -> bool {
        let accepts = &self.between.accepts;
        let dial = &self.between.dials[dial];
        accepts
            .get(accept)
            .is_some_and(|accept| dial.may_be_taken_by(accept))
    }

    fn look_ahead(&mut self) {
        self.before[0] = true;
        for dial in 0..self.between.dials.len() {
            for accept in self.accepts(dial) {
                if !self.holds(&self.before, dial, accept) {
                    continue;
                }
                if self.takes(dial, accept)
                    && let Some(place) = self.place(dial + 1, accept + 1)
                {
                    self.before[place] = true;
                }
                if self.between.dials[dial].connected.is_none()
                    && let Some(place) = self.place(dial + 1, accept)
                {
                    self.before[place] = true;
                }
            }
        }
    }

    fn look_back(&mut self, early: bool) {
        let (dials, accepts) = (self.between.dials.len(), self.between.accepts.len());
        for dial in (0..=dials).rev() {
            for accept in self.accepts(dial) {
                let holds = match dial == dials {
                    true => accept == accepts || early && accept < accepts,
                    false => {
                        let taken = self.takes(dial, accept)
                            && self.holds(&self.after, dial + 1, accept + 1);
                        let unconnected = self.between.dials[dial].connected.is_none();
                        taken || unconnected && self.holds(&self.after, dial + 1, accept)
                    }
                };
                if let Some(place) = self.place(dial, accept) {
                    self.after[place] = holds;
                }
            }
        }
    }

    fn holds(&self, states: &[bool], dial: usize, accept: usize) -> bool {
        self.place(dial, accept).is_some_and(|place| states[place])
    }

    /// What all ways have in common; `None` if there is no way.
    fn matched(&self) -> Option<Matched> {
        if !self.holds(&self.after, 0, 0) {
            return None;
        }
        let mut matched = Matched::nothing(self.between);
        for dial in 0..self.between.dials.len() {
            let takes = |accept: &usize| {
                self.holds(&self.before, dial, *accept)
                    && self.takes(dial, *accept)
                    && self.holds(&self.after, dial + 1, accept + 1)
            };
            let mut accepts = self.accepts(dial).filter(takes).peekable();
            if self.between.dials[dial].connected.is_some()
                && let Some(first) = accepts.peek().copied()
            {
                let mut others = self.accepts(dial).filter(takes).skip(1);
                matched.accepts[dial] = Some(Accepts {
                    first,
                    is_sure: others.next().is_none(),
                });
            }
            for accept in accepts {
                matched.dials[accept].get_or_insert(dial);
            }
        }
        Some(matched)
    }
}
