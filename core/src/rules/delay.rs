//! Delays of what one host sends to another, for engines that carry bytes and no datagrams.
//!
//! Owns [`Delays`], and how late a rule makes something. Never waits: the engine does.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::Addr;
use crate::rules::chance::{Stream, part};
use crate::rules::rule::{Chance, Fault};
use crate::rules::table::{Active, FaultTable};

/// So many bytes of a connection have one delay, as those of a datagram would have: what a
/// datagram of 1,200 bytes holds, the smallest that QUIC uses (RFC 9000, section 14).
pub const BLOCK: u64 = 1_200;

/// The decisions about a delay, of [`Link::send`](crate::faults::Link::send) too.
const JITTER: u64 = 2;
const TAIL: u64 = 3;
const TAIL_SIZE: u64 = 4;

/// How late something is, by its random numbers.
pub(crate) fn how_late(
    floor: Duration,
    jitter: Duration,
    tail: Option<(Chance, Duration)>,
    number: impl Fn(u64) -> u64,
) -> Duration {
    let mut late = floor + jitter.mul_f64(part(number(JITTER)));
    if let Some((chance, mean)) = tail
        && chance.hits(number(TAIL))
    {
        // Inverse of the exponential distribution; the argument is above 0.
        late += mean.mul_f64(-(1.0 - part(number(TAIL_SIZE))).ln());
    }
    late
}

/// The delays of one direction of a connection ([`FaultTable::delays`]).
pub struct Delays(Vec<(Arc<Active>, Stream)>);

impl Delays {
    /// How late the block is that begins at byte `nth` times [`BLOCK`] of the direction and is
    /// sent at `now`. The same for the same number, so the delays do not depend on the sizes in
    /// which a program writes.
    pub fn of(&self, nth: u64, now: Instant) -> Duration {
        let in_force = self.0.iter().filter(|(active, _)| active.is_in_force(now));
        let late = in_force.map(|(active, stream)| {
            let Fault::Delay {
                floor,
                jitter,
                tail,
            } = active.rule.fault
            else {
                return Duration::ZERO;
            };
            active.counts.hit();
            how_late(floor, jitter, tail, |what| stream.number(what, nth))
        });
        late.sum()
    }
}

impl fmt::Debug for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = self.0.iter().map(|(active, _)| active.text());
        f.debug_list().entries(rules).finish()
    }
}

impl FaultTable {
    /// Whether it delays anything.
    pub fn has_delays(&self) -> bool {
        let mut rules = self.rules().iter();
        rules.any(|active| matches!(active.rule.fault, Fault::Delay { .. }))
    }

    /// The delays of what `from` sends to `to`, the two ends of a connection or of a dial; `None`
    /// if there are none. For engines that carry bytes: those with datagrams ask
    /// [`link`](FaultTable::link).
    pub fn delays(&self, from: &Addr, to: &Addr) -> Option<Delays> {
        let rules = self.rules_of(from.host(), to.host());
        let delays = rules
            .iter()
            .filter(|active| matches!(active.rule.fault, Fault::Delay { .. }));
        let delays: Vec<_> = delays
            .map(|active| {
                active.counts.matched();
                (Arc::clone(active), active.stream(from, to))
            })
            .collect();
        (!delays.is_empty()).then_some(Delays(delays))
    }
}
