//! The rules that concern one connection, as one of its ends sees them.
//!
//! Owns how long it has been silent, and what may be read now. Never waits: the end does.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::context::fault_counts::{Did, FaultCounts};
use crate::context::rules::InForce;
use crate::host::gate::{Ruled, Service, Way, reset};
use crate::rules::chance::Stream;
use crate::rules::link::PairState;
use crate::rules::rule::{Fault, Scope};
use crate::rules::table::Active;
use crate::{Addr, Cause, Failure};

/// Decisions about a byte: whether it is corrupted, and which bit.
const CORRUPT: u64 = 6;
const WHICH_BIT: u64 = 7;

/// The rules for one connection.
pub(crate) struct ConnRules {
    pub(crate) generation: u64,
    idle: Duration,
    /// On what this end reads, and on what it writes.
    incoming: Vec<ConnRule>,
    outgoing: Vec<ConnRule>,
    /// Nothing of the peer, or nothing of this end, arrives.
    silent: Option<Silence>,
}

/// A silence that a cut makes.
#[derive(Clone, Copy)]
struct Silence {
    since: Instant,
    /// The peer has ended it, and this end may not know yet: the cut has not begun by its bytes.
    by_news: bool,
}

/// A rule, and what it needs for this connection.
struct ConnRule {
    active: Arc<Active>,
    /// It is one that resets what this connection's dialer dialed.
    resets: bool,
    stream: Stream,
    pair: Arc<PairState>,
    hit: bool,
}

/// How many bytes were carried.
pub(crate) struct Counted {
    pub(crate) read: u64,
    pub(crate) written: u64,
}

impl ConnRule {
    fn is(&self, fault: Fault) -> bool {
        self.active.rule.fault == fault
    }

    /// So many bytes are left until it begins.
    fn left(&self, carried: u64) -> u64 {
        self.active.rule.after.saturating_sub(carried)
    }

    /// Counts the connection as hit, once. Whether it was the first time.
    fn hits(&mut self) -> bool {
        let first = !std::mem::replace(&mut self.hit, true);
        if first {
            self.active.counts.hit();
        }
        first
    }
}

impl ConnRules {
    /// Those of a table for the connection between `local` and `peer`; `None` if there are none.
    /// `before` are those of the table before.
    pub(crate) fn new(
        in_force: &InForce,
        service: Service,
        local: &Addr,
        peer: &Addr,
        before: Option<Box<ConnRules>>,
    ) -> Option<Box<ConnRules>> {
        let mut before = before.map(|before| *before);
        let silent = before.as_ref().and_then(|before| before.silent);
        let (was_in, was_out) = match &mut before {
            Some(before) => (&mut before.incoming, &mut before.outgoing),
            None => (&mut Vec::new(), &mut Vec::new()),
        };
        let incoming = directed(in_force, service, (peer, local), !service.dialed, was_in);
        let outgoing = directed(in_force, service, (local, peer), service.dialed, was_out);
        if incoming.is_empty() && outgoing.is_empty() {
            return None;
        }
        Some(Box::new(ConnRules {
            generation: in_force.generation,
            idle: in_force.idle,
            incoming,
            outgoing,
            silent,
        }))
    }

    /// All cuts, with the bytes of their direction.
    fn cuts<'a>(
        &'a self,
        carried: &Counted,
    ) -> impl Iterator<Item = (&'a ConnRule, u64)> + use<'a> {
        let incoming = self.incoming.iter().zip(std::iter::repeat(carried.read));
        let outgoing = self.outgoing.iter().zip(std::iter::repeat(carried.written));
        incoming
            .chain(outgoing)
            .filter(|(rule, _)| rule.is(Fault::Cut))
    }

    /// Why the connection ends, if it does: at `now`, by a silence or by a reset.
    pub(crate) fn settle(
        &mut self,
        carried: &Counted,
        now: Instant,
        counts: &FaultCounts,
    ) -> Option<Failure> {
        if let Some(why) = self.outlast(carried, now) {
            return Some(why);
        }
        if self.is_cut(carried, now) {
            self.fall_silent(false, now, counts);
        }
        self.resets(carried, now, counts)
    }

    /// Ends the silence if its cuts are over. Returns why the connection ends, if it was silent
    /// for too long.
    pub(crate) fn outlast(&mut self, carried: &Counted, now: Instant) -> Option<Failure> {
        let Silence { since, by_news } = self.silent?;
        let cuts = self.cuts(carried);
        let mut cuts = cuts.filter(|(cut, carried)| by_news || cut.left(*carried) == 0);
        // Without an end, if one of the cuts has none.
        let ends = cuts.try_fold(since, |last, (cut, _)| Some(last.max(cut.active.until()?)));
        drop(cuts);
        let over = ends.map_or(now, |ends| ends.min(now));
        if over.saturating_duration_since(since) >= self.idle {
            return Some(self.timed_out(carried));
        }
        if ends.is_some_and(|ends| ends <= now) {
            self.silent = None;
        }
        None
    }

    /// Some cut is in force and has begun.
    fn is_cut(&self, carried: &Counted, now: Instant) -> bool {
        let mut cuts = self.cuts(carried);
        cuts.any(|(cut, carried)| cut.left(carried) == 0 && cut.active.is_in_force(now))
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.silent.is_some()
    }

    fn timed_out(&self, carried: &Counted) -> Failure {
        let rule = self.cuts(carried).next();
        let rule = rule.map_or("cut", |(cut, _)| cut.active.text());
        let sentence = format!("nothing arrived for {:?}: fault rule {rule:?}", self.idle);
        Failure::explain(Cause::TimedOut, sentence)
    }

    /// The first reset that is in force.
    fn resets(&mut self, carried: &Counted, now: Instant, counts: &FaultCounts) -> Option<Failure> {
        let incoming = self.incoming.iter_mut().map(|rule| (rule, carried.read));
        // After a number of bytes, the end that has received them resets.
        let outgoing = self
            .outgoing
            .iter_mut()
            .filter(|rule| rule.active.rule.after == 0);
        let rules = incoming.chain(outgoing.map(|rule| (rule, 0)));
        for (rule, carried) in rules {
            if rule.resets && rule.left(carried) == 0 && rule.active.is_in_force(now) {
                if rule.hits() {
                    counts.add(Did::ResetConn, 1);
                }
                return Some(reset(rule.active.text()));
            }
        }
        None
    }

    /// Silence begins, if it has not and some cut is in force.
    pub(crate) fn fall_silent(&mut self, by_news: bool, now: Instant, counts: &FaultCounts) {
        if self.silent.is_some() {
            return;
        }
        let rules = self.incoming.iter_mut().chain(&mut self.outgoing);
        let mut cuts = rules.filter(|rule| rule.is(Fault::Cut) && rule.active.is_in_force(now));
        if let Some(cut) = cuts.next() {
            cut.hits();
            counts.add(Did::CutConn, 1);
            tracing::debug!(rule = cut.active.text(), "silent");
            let since = now;
            self.silent = Some(Silence { since, by_news });
        }
    }

    /// What may be done now. The silence is up to date.
    pub(crate) fn allows(
        &mut self,
        way: Way,
        carried: &Counted,
        now: Instant,
        counts: &FaultCounts,
    ) -> Ruled {
        let silent = self.silent.map(|silence| silence.since);
        let mut again = silent.and_then(|since| since.checked_add(self.idle));
        let mut sooner = |at: Option<Instant>| {
            again = match (again, at) {
                (Some(again), Some(at)) => Some(again.min(at)),
                (again, at) => again.or(at),
            };
        };
        let mut ruled = Ruled::nothing();
        ruled.news_withheld = self.silent.is_some();
        for cut in self.outgoing.iter().filter(|rule| rule.is(Fault::Cut)) {
            ruled.news_withheld |= cut.active.is_in_force(now);
            sooner(cut.active.until().filter(|until| *until > now));
        }
        for rule in &mut self.incoming {
            if !rule.active.is_in_force(now) {
                continue;
            }
            sooner(rule.active.until());
            let left = rule.left(carried.read);
            match rule.active.rule.fault {
                Fault::Cut | Fault::Hold => {
                    ruled.news_withheld |= left == 0 || rule.is(Fault::Cut);
                    ruled.withheld |= left == 0;
                    ruled.most = ruled.most.min(usize::try_from(left).unwrap_or(usize::MAX));
                    if left == 0 && way == Way::Read && rule.is(Fault::Hold) && rule.hits() {
                        counts.add(Did::HoldConn, 1);
                        tracing::debug!(rule = rule.active.text(), "held");
                    }
                }
                Fault::Reset if rule.resets => {
                    ruled.most = ruled.most.min(usize::try_from(left).unwrap_or(usize::MAX));
                }
                Fault::Rate(rate) if way == Way::Read => match rule.pair.arrives(rate, now) {
                    Ok(most) => {
                        ruled.most = ruled.most.min(usize::try_from(most).unwrap_or(usize::MAX));
                    }
                    Err(free) => {
                        rule.hits();
                        ruled.withheld = true;
                        sooner(Some(free));
                    }
                },
                _ => {}
            }
        }
        ruled.again = again;
        ruled
    }

    /// Bytes have been read. Changes those that are to be corrupted, and returns how many.
    pub(crate) fn arrived(&mut self, at: u64, bytes: &mut [u8], now: Instant) -> u64 {
        let mut corrupted = 0;
        for rule in &mut self.incoming {
            if !rule.active.is_in_force(now) {
                continue;
            }
            match rule.active.rule.fault {
                Fault::Rate(rate) => rule.pair.arrived(bytes.len() as u64, rate, now),
                Fault::Corrupt(chance) => {
                    let begin = rule.left(at);
                    let offsets = (at..).zip(&mut *bytes);
                    for (offset, byte) in offsets.skip(usize::try_from(begin).unwrap_or(usize::MAX))
                    {
                        if chance.hits(rule.stream.number(CORRUPT, offset)) {
                            *byte ^= 1 << (rule.stream.number(WHICH_BIT, offset) & 7);
                            rule.active.counts.hit();
                            corrupted += 1;
                        }
                    }
                }
                _ => {}
            }
        }
        corrupted
    }
}

/// The rules for one direction of a connection, `from` one end `to` the other. `dialed`: the
/// end that sends has dialed. Rules that were in `before` are kept, with what they have done.
fn directed(
    in_force: &InForce,
    service: Service,
    (from, to): (&Addr, &Addr),
    dialed: bool,
    before: &mut Vec<ConnRule>,
) -> Vec<ConnRule> {
    let concerns = |active: &Arc<Active>| {
        let rule = &active.rule;
        let scope = match rule.scope {
            Scope::All => true,
            Scope::Port(port) => port == service.port,
            Scope::Conn(from_port, to_port) => (from_port, to_port) == (from.port(), to.port()),
        };
        let is_on_conns = match rule.fault {
            Fault::Refuse => false,
            Fault::Reset => dialed,
            _ => rule.dials.is_none(),
        };
        scope && is_on_conns
    };
    let rules = in_force.of(from, to).filter(concerns);
    let rules = rules.map(|active| {
        let kept = before
            .iter()
            .position(|rule| Arc::ptr_eq(&rule.active, &active));
        if let Some(kept) = kept {
            return before.swap_remove(kept);
        }
        active.counts.matched();
        ConnRule {
            resets: active.rule.fault == Fault::Reset,
            stream: active.stream(from, to),
            pair: active.pair(from.host(), to.host()),
            active,
            hit: false,
        }
    });
    rules.collect()
}
