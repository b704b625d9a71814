//! Comparing a trace with what should have happened.
//!
//! Owns [`Check`], and which events an expectation is about. Never changes a trace, and never waits.

mod compare;
mod diff;
mod golden;
mod mismatch;
mod pattern;

use std::collections::BTreeSet;

pub use golden::Golden;
pub use mismatch::Mismatch;
pub use pattern::Pattern;

use crate::trace::event::{Event, EventKind};
use crate::trace::expect::diff::Diff;
use crate::trace::merge::Trace;

/// Expectations of a trace: [`Trace::check`].
///
/// Expectations are given one after the other; [`finish`](Check::finish) compares all of them, and
/// fails if one does not hold, if an event is left that nobody expected, or if the trace has holes.
///
/// An event is expected by its line (see [`Event`]), in which `*` stands for any characters, or by a
/// function ([`Pattern::of`]).
///
/// ```
/// use virtnet_core::pipe::PipeNetwork;
/// use virtnet_core::trace::Trace;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = PipeNetwork::new("pipet")?;
/// let nets = [network.subnetwork(), network.subnetwork()];
/// nets.iter().for_each(|net| net.record());
/// let (alpha, beta) = (nets[0].new_host("α").await?, nets[1].new_host("β").await?);
/// let listener = alpha.listen(":1")?;
/// let (dialed, accepted) = tokio::try_join!(beta.dial("α:1"), listener.accept())?;
/// drop((dialed, accepted));
///
/// let trace = Trace::merge(nets.iter().map(|net| net.trace()))?;
/// trace
///     .check()
///     .host("β", ["β made", "β:1 -> α:1 dialing", "β:1 -> α:2 connected", "β:1 -> α:2 closed *"])
///     .before("α:2 <- β:1 accepted", "β:1 -> α:2 connected")
///     .never("* failed*")
///     .each("* dialing", "* accepted")
///     .allow_others()
///     .finish()?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "nothing is compared before `finish`"]
pub struct Check<'a> {
    trace: &'a Trace,
    expectations: Vec<Expectation>,
    ignored: Vec<Pattern>,
    allow_others: bool,
}

/// What is expected.
#[derive(Debug)]
enum Expectation {
    Sequence(Channel, Vec<Pattern>),
    Before(Pattern, Pattern),
    Concurrent(Pattern, Pattern),
    Never(Pattern),
    Each(Pattern, Pattern),
    Golden(Golden),
}

/// Some events of a trace that belong together.
#[derive(Debug)]
enum Channel {
    Host(String),
    /// What is between two hosts, in either direction.
    Pair(String, String),
    /// Both ends, by the text of the dialing one.
    Conn(String),
}

impl Trace {
    /// Begins to compare the trace with what should have happened.
    pub fn check(&self) -> Check<'_> {
        Check {
            trace: self,
            expectations: Vec::new(),
            ignored: Vec::new(),
            allow_others: false,
        }
    }
}

impl<'a> Check<'a> {
    /// Expects these events of a host, and no others, in this order.
    pub fn host<P: Into<Pattern>>(
        self,
        host: &str,
        events: impl IntoIterator<Item = P>,
    ) -> Check<'a> {
        self.sequence(Channel::Host(host.to_owned()), events)
    }

    /// Expects these events between two hosts, and no others: dials and connections of either one to
    /// the other, at both ends. They are in an order that causes and effects allow: of two
    /// concurrent events either one may be given first.
    pub fn pair<P: Into<Pattern>>(
        self,
        one: &str,
        other: &str,
        events: impl IntoIterator<Item = P>,
    ) -> Check<'a> {
        self.sequence(Channel::Pair(one.to_owned(), other.to_owned()), events)
    }

    /// Expects these events of a connection, and no others, at both ends and in an order that causes
    /// and effects allow. It is given as its dialing end shows it, such as `β:1 -> α:2`; where these
    /// addresses had several connections, it is all of them.
    pub fn connection<P: Into<Pattern>>(
        self,
        conn: &str,
        events: impl IntoIterator<Item = P>,
    ) -> Check<'a> {
        self.sequence(Channel::Conn(conn.to_owned()), events)
    }

    fn sequence<P: Into<Pattern>>(
        mut self,
        channel: Channel,
        events: impl IntoIterator<Item = P>,
    ) -> Check<'a> {
        let events = events.into_iter().map(Into::into).collect();
        self.expectations
            .push(Expectation::Sequence(channel, events));
        self
    }

    /// Expects that the first event led to the second one, directly or not. Each must be there once.
    pub fn before(mut self, first: impl Into<Pattern>, then: impl Into<Pattern>) -> Check<'a> {
        let before = Expectation::Before(first.into(), then.into());
        self.expectations.push(before);
        self
    }

    /// Expects that neither event led to the other: they may come in either order, and a test must
    /// not rely on one. Each must be there once.
    pub fn concurrent(mut self, one: impl Into<Pattern>, other: impl Into<Pattern>) -> Check<'a> {
        let concurrent = Expectation::Concurrent(one.into(), other.into());
        self.expectations.push(concurrent);
        self
    }

    /// Expects that there is no such event.
    pub fn never(mut self, event: impl Into<Pattern>) -> Check<'a> {
        self.expectations.push(Expectation::Never(event.into()));
        self
    }

    /// Expects that each event like `cause` led to one like `effect`, each to another one.
    pub fn each(mut self, cause: impl Into<Pattern>, effect: impl Into<Pattern>) -> Check<'a> {
        let each = Expectation::Each(cause.into(), effect.into());
        self.expectations.push(each);
        self
    }

    /// Expects the whole trace to be as in a file, or writes it there; see [`Golden`]. Events that are
    /// [ignored](Check::ignore) are left out of both. Give it last: it writes the file only if what was
    /// expected before it holds.
    ///
    /// ```
    /// use virtnet_core::pipe::PipeNetwork;
    /// use virtnet_core::trace::{Golden, Trace};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("dial.txt");
    /// let network = PipeNetwork::new("pipet")?;
    /// let net = network.subnetwork();
    /// net.record();
    /// let alpha = net.new_host("α").await?;
    /// drop(alpha.listen(":1")?);
    ///
    /// let trace = Trace::merge([net.trace()])?;
    /// trace.check().golden(Golden::write(&path)).finish()?;
    /// trace.check().golden(Golden::compare(&path)).finish()?;
    /// let lines = std::fs::read_to_string(&path)?;
    /// let lines: Vec<_> = lines.lines().skip(2).collect();
    /// assert_eq!(lines, ["α made", "", "α:1 listening", "α:1 stopped listening"]);
    /// # Ok(()) }
    /// ```
    pub fn golden(mut self, file: Golden) -> Check<'a> {
        self.expectations.push(Expectation::Golden(file));
        self
    }

    /// Leaves out all events like this one: as if they were not there.
    pub fn ignore(mut self, event: impl Into<Pattern>) -> Check<'a> {
        self.ignored.push(event.into());
        self
    }

    /// Allows events that nobody expected.
    pub fn allow_others(mut self) -> Check<'a> {
        self.allow_others = true;
        self
    }

    /// Compares.
    ///
    /// # Errors
    ///
    /// A [`Mismatch`], which says all that does not hold.
    pub fn finish(self) -> Result<(), Mismatch> {
        let mut mismatch = Mismatch::new(self.trace);
        let events = self.trace.events();
        let mut left: BTreeSet<_> = (0..events.len()).collect();
        left.retain(|index| {
            !self
                .ignored
                .iter()
                .any(|it| it.matches(&events[*index].event))
        });
        let seen: Vec<_> = left.iter().copied().collect();
        for expectation in &self.expectations {
            self.compare(expectation, &seen, &mut left, &mut mismatch);
        }
        if !self.allow_others && !left.is_empty() {
            mismatch.left(&left);
        }
        mismatch.result()
    }

    /// Compares one expectation with the events `seen`, and removes those that it expects from `left`.
    fn compare(
        &self,
        expectation: &Expectation,
        seen: &[usize],
        left: &mut BTreeSet<usize>,
        mismatch: &mut Mismatch,
    ) {
        let event = |index: usize| &self.trace.events()[index].event;
        match expectation {
            Expectation::Sequence(channel, patterns) => {
                let seen = seen.iter().copied();
                let seen: Vec<_> = seen.filter(|index| channel.has(event(*index))).collect();
                for index in &seen {
                    left.remove(index);
                }
                if !self.follows(patterns, &seen) {
                    let lines = seen.iter().map(|index| event(*index));
                    let diff = Diff::new(patterns, &lines.collect::<Vec<_>>());
                    mismatch.sequence(&channel.to_string(), &diff, &seen);
                }
            }
            Expectation::Golden(file) => {
                left.clear();
                file.check(self.trace, seen, mismatch);
            }
            Expectation::Never(pattern) => {
                let seen = seen.iter().copied();
                for index in seen.filter(|index| pattern.matches(event(*index))) {
                    left.remove(&index);
                    mismatch.never(pattern, index);
                }
            }
            Expectation::Before(first, then) | Expectation::Concurrent(first, then) => {
                let one = |pattern: &Pattern, mismatch: &mut Mismatch| {
                    let found = seen.iter().filter(|index| pattern.matches(event(**index)));
                    let found: Vec<_> = found.copied().collect();
                    if found.len() != 1 {
                        mismatch.not_one(pattern, &found);
                    }
                    (found.len() == 1).then(|| found[0])
                };
                let (Some(first), Some(then)) = (one(first, mismatch), one(then, mismatch)) else {
                    return;
                };
                left.remove(&first);
                left.remove(&then);
                let (is_before, is_after) = (
                    self.trace.is_before(first, then),
                    self.trace.is_before(then, first),
                );
                match expectation {
                    Expectation::Before(..) if !is_before => {
                        mismatch.not_before(first, then, is_after);
                    }
                    Expectation::Concurrent(..) if is_before => mismatch.ordered(first, then),
                    Expectation::Concurrent(..) if is_after => mismatch.ordered(then, first),
                    _ => {}
                }
            }
            Expectation::Each(cause, effect) => {
                let all = |pattern: &Pattern| {
                    let all = seen.iter().copied();
                    all.filter(|index| pattern.matches(event(*index))).collect()
                };
                let (causes, mut effects): (Vec<_>, Vec<_>) = (all(cause), all(effect));
                for cause in causes {
                    left.remove(&cause);
                    let led = |index: &usize| self.trace.is_before(cause, *index);
                    match effects.iter().position(led) {
                        Some(at) => drop(left.remove(&effects.remove(at))),
                        None => mismatch.no_effect(cause, effect),
                    }
                }
            }
        }
    }

    /// Whether the events `seen`, which are in causal order, can have come in the order of `patterns`: no
    /// event before one that led to it. Of several events that could be next, the first is taken.
    fn follows(&self, patterns: &[Pattern], seen: &[usize]) -> bool {
        let mut waiting: Vec<usize> = seen.to_vec();
        for pattern in patterns {
            let next = waiting.iter().enumerate().position(|(at, index)| {
                pattern.matches(&self.trace.events()[*index].event)
                    && !waiting[..at]
                        .iter()
                        .any(|first| self.trace.is_before(*first, *index))
            });
            match next {
                Some(at) => drop(waiting.remove(at)),
                None => return false,
            }
        }
        waiting.is_empty()
    }
}

impl Channel {
    fn has(&self, event: &Event) -> bool {
        match self {
            Channel::Host(host) => *event.host == **host,
            Channel::Conn(conn) => event.kind.end().is_some_and(|end| {
                let (dialer, acceptor) = match end.dialed {
                    true => (&end.local, &end.peer),
                    false => (&end.peer, &end.local),
                };
                format!("{dialer} -> {acceptor}") == *conn
            }),
            Channel::Pair(one, other) => {
                let ends = match &event.kind {
                    EventKind::Dialing { src, dst, .. }
                    | EventKind::DialFailed { src, dst, .. }
                    | EventKind::DialGivenUp { src, dst } => Some((src, dst)),
                    kind => kind.end().map(|end| (&end.local, &end.peer)),
                };
                let ends = ends.map(|(from, to)| (from.host(), to.host()));
                ends == Some((one, other)) || ends == Some((other, one))
            }
        }
    }
}

impl std::fmt::Display for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Channel::Host(host) => write!(f, "host {host}"),
            Channel::Pair(one, other) => write!(f, "{one} and {other}"),
            Channel::Conn(conn) => write!(f, "connection {conn}"),
        }
    }
}
