//! One rule of a plan: a fault, for the traffic of one ordered pair of hosts.
//!
//! Owns [`Rule`], its parts, and which of them go together. Never decides about traffic: the table does.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::rules::rule_text::RuleError;
use crate::wildcard;

/// The largest delay, jitter or time of a rule.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A fault, for all that one host sends to another.
///
/// Both hosts are given as patterns: a name, or with `*` for any characters. The text of a
/// rule is one line, and [`FromStr`](std::str::FromStr) reads it back:
///
/// ```
/// use std::time::Duration;
/// use virtnet_core::faults::Rule;
///
/// let rule = Rule::delay("α", "β", Duration::from_millis(50)).jitter(Duration::from_millis(10));
/// assert_eq!(rule.to_string(), "delay α -> β 50ms jitter 10ms");
/// assert_eq!("delay α -> β 50ms jitter 10ms".parse(), Ok(rule));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub(crate) fault: Fault,
    pub(crate) from: Pattern,
    pub(crate) to: Pattern,
    pub(crate) scope: Scope,
    pub(crate) dials: Option<(u64, u64)>,
    pub(crate) after: u64,
    pub(crate) lasting: Option<Duration>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// Silence, like a pulled cable: nothing arrives, and nobody is told. What is open ends after the
    /// idle time of the connection, a dial after its own time limit.
    Cut,
    /// Nothing is lost and nothing ends: everything waits, and goes on in order after healing.
    Hold,
    /// Dials end at once with [`Cause::ConnectionRefused`](crate::Cause::ConnectionRefused).
    Refuse,
    /// Open connections end at once with [`Cause::ConnectionCut`](crate::Cause::ConnectionCut),
    /// and later ones as soon as they are open.
    Reset,
    /// Each datagram arrives later: by `floor`, plus up to `jitter` (uniform), plus, for
    /// the part `tail.0` of them, an exponential time with the mean `tail.1`.
    Delay {
        /// The least delay.
        floor: Duration,
        /// The largest addition.
        jitter: Duration,
        /// The part of the datagrams that are late, and by how much on average.
        tail: Option<(Chance, Duration)>,
    },
    /// At most so many bytes per second.
    Rate(u64),
    /// This part of the datagrams is lost. QUIC sends their data again.
    Lose(Chance),
    /// This part of the datagrams arrives twice.
    Duplicate(Chance),
    /// This part of the datagrams arrives later than those that were sent after them, by the
    /// given time.
    Reorder(Chance, Duration),
    /// In this part of the *bytes* of connections one bit is wrong. Only the receiving program can
    /// notice: a datagram with a wrong bit would just be lost.
    Corrupt(Chance),
    /// The programs of the hosts stand still, as by
    /// [`Supervision::pause`](crate::supervision::Supervision::pause), until the rule is healed.
    Pause,
    /// The programs of the hosts are killed, as by
    /// [`Supervision::kill`](crate::supervision::Supervision::kill), and restarted when the rule is healed.
    Kill,
}

/// A part of all, from 0 to 1, in steps of a billionth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chance(u32);

impl Chance {
    const ALL: u32 = 1_000_000_000;

    /// The chance of `part` of 1: 0.1 is ten percent. Less than 0 is 0, more than 1 is 1.
    pub fn new(part: f64) -> Chance {
        // A float as an integer saturates; NaN is 0.
        Chance(((part * f64::from(Chance::ALL)).round() as u32).min(Chance::ALL))
    }

    /// The part of 1.
    pub fn part(self) -> f64 {
        f64::from(self.0) / f64::from(Chance::ALL)
    }

    /// Whether it hits, for a uniform random number.
    pub(crate) fn hits(self, random: u64) -> bool {
        // The upper bits of a product: uniform, without a division.
        let scaled = (u128::from(random) * u128::from(Chance::ALL)) >> 64;
        scaled < u128::from(self.0)
    }
}

/// Which traffic of the pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All of it.
    All,
    /// Connections that were dialed to this port of either host.
    Port(u16),
    /// The connection between these ports: of the sending and the receiving host.
    Conn(u16, u16),
}

/// A host's name, or a pattern with `*` for any characters, also none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pattern(pub(crate) String);

impl Pattern {
    /// The name, if it is not a pattern of many.
    pub(crate) fn name(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(&self.0)
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        wildcard::matches(&self.0, name)
    }
}

impl Rule {
    fn new(fault: Fault, from: &str, to: &str) -> Rule {
        Rule {
            fault,
            from: Pattern(from.to_owned()),
            to: Pattern(to.to_owned()),
            scope: Scope::All,
            dials: None,
            after: 0,
            lasting: None,
        }
    }

    /// [`Fault::Cut`] of what `from` sends to `to`.
    pub fn cut(from: &str, to: &str) -> Rule {
        Rule::new(Fault::Cut, from, to)
    }

    /// [`Fault::Hold`] of what `from` sends to `to`.
    pub fn hold(from: &str, to: &str) -> Rule {
        Rule::new(Fault::Hold, from, to)
    }

    /// [`Fault::Refuse`] for dials of `from` to `to`.
    pub fn refuse(from: &str, to: &str) -> Rule {
        Rule::new(Fault::Refuse, from, to)
    }

    /// [`Fault::Reset`] of connections that `from` dialed to `to`.
    pub fn reset(from: &str, to: &str) -> Rule {
        Rule::new(Fault::Reset, from, to)
    }

    /// [`Fault::Delay`] of at least `floor` for what `from` sends to `to`.
    pub fn delay(from: &str, to: &str, floor: Duration) -> Rule {
        let (jitter, tail) = (Duration::ZERO, None);
        Rule::new(
            Fault::Delay {
                floor,
                jitter,
                tail,
            },
            from,
            to,
        )
    }

    /// [`Fault::Rate`] for what `from` sends to `to`.
    pub fn rate(from: &str, to: &str, bytes_per_second: u64) -> Rule {
        Rule::new(Fault::Rate(bytes_per_second), from, to)
    }

    /// [`Fault::Lose`] for what `from` sends to `to`.
    pub fn lose(from: &str, to: &str, part: f64) -> Rule {
        Rule::new(Fault::Lose(Chance::new(part)), from, to)
    }

    /// [`Fault::Duplicate`] for what `from` sends to `to`.
    pub fn duplicate(from: &str, to: &str, part: f64) -> Rule {
        Rule::new(Fault::Duplicate(Chance::new(part)), from, to)
    }

    /// [`Fault::Reorder`] for what `from` sends to `to`.
    pub fn reorder(from: &str, to: &str, part: f64, by: Duration) -> Rule {
        Rule::new(Fault::Reorder(Chance::new(part), by), from, to)
    }

    /// [`Fault::Corrupt`] for what `from` sends to `to`.
    pub fn corrupt(from: &str, to: &str, part: f64) -> Rule {
        Rule::new(Fault::Corrupt(Chance::new(part)), from, to)
    }

    /// [`Fault::Pause`] of the programs of `host`, a name or a pattern.
    pub fn pause(host: &str) -> Rule {
        Rule::new(Fault::Pause, host, host)
    }

    /// [`Fault::Kill`] of the programs of `host`, a name or a pattern.
    pub fn kill(host: &str) -> Rule {
        Rule::new(Fault::Kill, host, host)
    }

    /// Adds up to so much to a delay. No effect on other faults.
    pub fn jitter(mut self, most: Duration) -> Rule {
        if let Fault::Delay { jitter, .. } = &mut self.fault {
            *jitter = most;
        }
        self
    }

    /// Delays this part of the datagrams further, by an exponential time with this mean. No
    /// effect on other faults than delays.
    pub fn tail(mut self, part: f64, mean: Duration) -> Rule {
        if let Fault::Delay { tail, .. } = &mut self.fault {
            *tail = Some((Chance::new(part), mean));
        }
        self
    }

    /// Only for connections that were dialed to this port, of either host of the pair.
    pub fn port(mut self, port: u16) -> Rule {
        self.scope = Scope::Port(port);
        self
    }

    /// Only for the connection between these ports, of the sending and the receiving host. Its
    /// addresses are the same on every run: `β:3 -> α:4`.
    pub fn conn(mut self, from_port: u16, to_port: u16) -> Rule {
        self.scope = Scope::Conn(from_port, to_port);
        self
    }

    /// Only for these dials of the pair, counted from 1 since the rule is in force. Connections that are
    /// open are not affected.
    pub fn dials(mut self, numbers: RangeInclusive<u64>) -> Rule {
        self.dials = Some((*numbers.start(), *numbers.end()));
        self
    }

    /// Only after so many bytes of a connection in this direction.
    pub fn after(mut self, bytes: u64) -> Rule {
        self.after = bytes;
        self
    }

    /// Only for so long, from when each host enforces it.
    pub fn lasting(mut self, time: Duration) -> Rule {
        self.lasting = Some(time);
        self
    }

    /// What it does.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// The hosts that send: a name or a pattern. For a rule on programs, their hosts.
    pub fn from(&self) -> &str {
        &self.from.0
    }

    /// The hosts that receive: a name or a pattern. For a rule on programs, their hosts.
    pub fn to(&self) -> &str {
        &self.to.0
    }

    /// Whether an engine enforces it on datagrams, and not the core on connections.
    pub(crate) fn is_on_datagrams(&self) -> bool {
        match self.fault {
            Fault::Cut | Fault::Rate(_) => {
                self.scope == Scope::All && self.after == 0 && self.dials.is_none()
            }
            Fault::Delay { .. } | Fault::Lose(_) | Fault::Duplicate(_) | Fault::Reorder(..) => true,
            Fault::Hold | Fault::Refuse | Fault::Reset | Fault::Corrupt(_) => false,
            Fault::Pause | Fault::Kill => false,
        }
    }

    /// Whether it is for hosts' programs, and not for what hosts send.
    pub(crate) fn is_on_programs(&self) -> bool {
        matches!(self.fault, Fault::Pause | Fault::Kill)
    }

    /// Whether its parts go together.
    pub(crate) fn check(&self) -> Result<(), RuleError> {
        use Fault as F;
        let refuse = |what: &'static str| Err(RuleError::new(&self.to_string(), what));
        for pattern in [&self.from, &self.to] {
            if pattern.0.is_empty() || pattern.0.len() > crate::MAX_NAME {
                return refuse("expected a host name or pattern of 1 to 255 bytes");
            }
            if pattern.0.contains(char::is_control) || pattern.0.contains('"') {
                return refuse("a pattern must not contain control characters or '\"'");
            }
        }
        let narrow = self.scope != Scope::All;
        let is_of_traffic = narrow || self.dials.is_some() || self.after > 0;
        if self.is_on_programs() && is_of_traffic {
            return refuse(
                "a program has no ports, dials or bytes: expected a host, and maybe a time",
            );
        }
        if narrow
            && matches!(
                self.fault,
                F::Delay { .. } | F::Lose(_) | F::Duplicate(_) | F::Reorder(..)
            )
        {
            return refuse(
                "this fault applies to datagrams, which belong to no port or connection",
            );
        }
        if matches!((self.fault, self.scope), (F::Refuse, Scope::Conn(..))) {
            return refuse("a dial has no connection yet: expected a port or none");
        }
        if self.dials.is_some() && !matches!(self.fault, F::Cut | F::Hold | F::Refuse) {
            return refuse("dials can be cut, held or refused only");
        }
        if self
            .dials
            .is_some_and(|(first, last)| first == 0 || last < first)
        {
            return refuse("expected numbers of dials from 1, such as 2-3");
        }
        if self.dials.is_some() && (self.after > 0 || matches!(self.scope, Scope::Conn(..))) {
            return refuse("a dial has no bytes and no connection yet");
        }
        if self.after > 0 && !matches!(self.fault, F::Cut | F::Hold | F::Reset | F::Corrupt(_)) {
            return refuse("only cut, hold, reset and corrupt can begin after a number of bytes");
        }
        let times = match self.fault {
            F::Delay {
                floor,
                jitter,
                tail,
            } => [Some(floor), Some(jitter), tail.map(|tail| tail.1)],
            F::Reorder(_, by) => [Some(by), None, None],
            _ => [None; 3],
        };
        let times = times.into_iter().flatten().chain(self.lasting);
        if times.into_iter().any(|time| time > LONGEST) {
            return refuse("expected times of at most a day");
        }
        if self.lasting.is_some_and(|time| time.is_zero()) || self.fault == F::Rate(0) {
            return refuse("expected more than 0");
        }
        Ok(())
    }
}
