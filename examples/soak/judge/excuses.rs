//! What a fault excuses: does it explain a failure of these two hosts at that time?
//!
//! Owns [`Fault`], and how long the effects of each kind last. Never records anything.

use crate::hosts::Hosts;
use crate::plan::{Kind, Planned, Rules};
use crate::wire::Trouble;

/// Time within which a cut is noticed and connections fail.
const CUT_MS: u64 = 11_000;
/// A dial that was accepted has its reply within this time. If the reply is lost or the dialer
/// stopped just then, the dial is given up, and the accepted connection is cut.
const REPLY_MS: u64 = 100;
/// Time within which names are registered again after Redis, or the path to it, lost them.
const NAMES_MS: u64 = 7_000;

/// A fault that happened or is happening.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub(super) hosts: Hosts,
    pub(super) planned: Planned,
    pub(super) began: u64,
    pub(super) ended: Option<u64>,
}

impl Fault {
    /// Whether it was active between `from` and `to`, or ended at most `after` before.
    fn overlaps(&self, from: u64, to: u64, after: u64) -> bool {
        self.began <= to && self.ended.is_none_or(|ended| from <= ended + after)
    }

    /// Whether it hit one of the two, or the path between them.
    fn touches(&self, trouble: &Trouble) -> bool {
        let Planned {
            kind,
            host,
            process,
            other,
            ..
        } = self.planned;
        let hosts = [trouble.host, trouble.peer];
        let homes = hosts.map(|host| self.hosts.home(host));
        match kind {
            Kind::Loss | Kind::Delay | Kind::Doubling | Kind::Drops => hosts.contains(&host),
            Kind::Listener => trouble.peer == host,
            Kind::Rules(_) => {
                let Trouble { host, peer, .. } = *trouble;
                let pairs = self.planned.pairs;
                pairs.contains(host, peer) || pairs.contains(peer, host)
            }
            Kind::Blink | Kind::Partition => {
                homes.contains(&other) && process.is_some_and(|process| homes.contains(&process))
            }
            Kind::RedisEmptied | Kind::RedisStopped | Kind::RedisRestarted => true,
            _ => process.is_some_and(|process| homes.contains(&process)),
        }
    }

    /// For how many milliseconds of an operation its process was stopped, or its pair was under
    /// rules, which may hold it for as long as they are in force.
    pub(super) fn stopped(&self, trouble: &Trouble) -> u64 {
        let stops = match self.planned.kind {
            Kind::Nap | Kind::Sleep => self.planned.process == Some(self.hosts.home(trouble.host)),
            // These end what waits, or let it be.
            Kind::Rules(Rules::Refuse | Rules::Reset) => false,
            Kind::Rules(_) => self.touches(trouble),
            _ => false,
        };
        if !stops {
            return 0;
        }
        let ended = self.ended.unwrap_or(trouble.ended).min(trouble.ended);
        ended.saturating_sub(self.began.max(trouble.began))
    }

    pub(super) fn excuses(&self, trouble: &Trouble) -> bool {
        match &*trouble.what {
            "dial" => self.touches(trouble) && self.excuses_dial(trouble),
            "read" | "write" => self.touches(trouble) && self.excuses_cut(trouble),
            "short" => self.touches(trouble) && self.excuses_end(trouble),
            // The peer of the undelivered data is not known.
            "close" => self.excuses_close(trouble),
            _ => false,
        }
    }

    /// Whether one of the two processes napped.
    pub(super) fn is_nap_of(&self, trouble: &Trouble) -> bool {
        self.planned.kind == Kind::Nap && self.touches(trouble)
    }

    /// Whether it explains a dial because a process napped while it ended: when that wakes, it enforces a
    /// rule until it has read the plan. What rules do to open connections is excused for longer
    /// than any nap.
    pub(super) fn excuses_after(&self, nap: &Fault, trouble: &Trouble) -> bool {
        let ends_dials = matches!(self.planned.kind, Kind::Rules(Rules::Refuse | Rules::Reset));
        let meanwhile = |ended| nap.overlaps(ended, ended, 0);
        let late = Fault {
            ended: nap.ended,
            ..*self
        };
        ends_dials
            && trouble.what == "dial"
            && self.ended.is_some_and(meanwhile)
            && late.excuses(trouble)
    }

    fn excuses_dial(&self, trouble: &Trouble) -> bool {
        let own = self.planned.process == Some(self.hosts.home(trouble.host));
        let (causes, after): (&[&str], u64) = match self.planned.kind {
            Kind::Delay | Kind::Doubling => (&[], 0),
            Kind::Loss => (&["TimedOut"], 1000),
            // A retransmission waits as long again as before.
            Kind::Blink => (&["TimedOut"], 1000 + self.planned.length),
            Kind::Partition => (&["TimedOut", "ConnectionCut"], 4000),
            Kind::Nap if own => (&["TimedOut", "ConnectionCut", "RegistryDown"], 1000),
            Kind::Nap => (&["TimedOut", "ConnectionCut"], 1000),
            Kind::Sleep if own && trouble.cause == "RegistryDown" => (&["RegistryDown"], NAMES_MS),
            // A process that wakes after its lease has ended neither accepts nor dials.
            Kind::Sleep | Kind::Kill => {
                let causes = &[
                    "TimedOut",
                    "ConnectionCut",
                    "ConnectionRefused",
                    "NoSuchHost",
                ];
                (causes, NAMES_MS)
            }
            Kind::RedisEmptied | Kind::RedisStopped | Kind::RedisRestarted => {
                (&["RegistryDown", "NoSuchHost"], NAMES_MS)
            }
            Kind::Listener => (&["ConnectionRefused"], 500),
            Kind::Host | Kind::Remake if own => {
                let causes = &["HostDown", "NetworkDown", "ConnectionRefused", "NoSuchHost"];
                (causes, 1000)
            }
            Kind::Host | Kind::Remake => {
                let causes = &[
                    "ConnectionRefused",
                    "NoSuchHost",
                    "ConnectionCut",
                    "TimedOut",
                ];
                (causes, 1000)
            }
            Kind::Drops => (&["ConnectionRefused", "ConnectionCut"], 1000),
            Kind::Rules(Rules::Refuse) => (&["ConnectionRefused"], 1000),
            // The reset of the accepted connection may overtake the reply, which is then lost: to the
            // dialer it is as if no accept got it.
            Kind::Rules(Rules::Reset) => (&["ConnectionCut", "ConnectionRefused"], 1000),
            Kind::Rules(Rules::Cut | Rules::Hold | Rules::Shape) => {
                (&["TimedOut", "ConnectionCut"], 4000)
            }
        };
        causes.contains(&&*trouble.cause) && self.overlaps(trouble.began, trouble.ended, after)
    }

    fn excuses_cut(&self, trouble: &Trouble) -> bool {
        let own = self.planned.process == Some(self.hosts.home(trouble.host));
        let lost = ["TimedOut", "ConnectionCut", "BrokenPipe"].contains(&&*trouble.cause);
        let Trouble {
            began,
            opened,
            ended,
            ..
        } = *trouble;
        match self.planned.kind {
            // A hold delays the news of other faults.
            Kind::Partition | Kind::Sleep | Kind::Kill | Kind::Rules(Rules::Cut | Rules::Hold) => {
                lost && self.overlaps(opened, ended, CUT_MS)
            }
            Kind::Rules(Rules::Reset) => {
                lost && trouble.cause != "TimedOut" && self.overlaps(opened, ended, CUT_MS)
            }
            // An open connection does not notice; a dial in progress may have been given
            // up by the other side.
            Kind::Nap | Kind::Blink | Kind::Loss | Kind::Rules(Rules::Shape) => {
                lost && self.overlaps(began, opened + REPLY_MS, 1000)
            }
            Kind::Host | Kind::Remake => {
                let down = ["HostDown", "NetworkDown"].contains(&&*trouble.cause);
                (lost || (own && down)) && self.overlaps(opened, ended, 2000)
            }
            Kind::Drops => lost && self.overlaps(opened, ended, 2000),
            Kind::Listener => lost && self.took_it_along(trouble),
            _ => false,
        }
    }

    /// Only a clean close ends a connection with end-of-file.
    fn excuses_end(&self, trouble: &Trouble) -> bool {
        let theirs = self.planned.process == Some(self.hosts.home(trouble.peer));
        let closes = match self.planned.kind {
            Kind::Listener => return self.took_it_along(trouble),
            Kind::Host | Kind::Remake => theirs,
            Kind::Drops => true,
            _ => false,
        };
        closes && self.overlaps(trouble.opened, trouble.ended, 2000)
    }

    /// Closing a listener closes the connection that an accept was about to return: the
    /// dialer's connection ends at once.
    fn took_it_along(&self, trouble: &Trouble) -> bool {
        let at_once = trouble.ended - trouble.opened < 1000;
        at_once && self.overlaps(trouble.opened, trouble.ended, 0)
    }

    /// Data that could not be delivered to a host that was cut off.
    fn excuses_close(&self, trouble: &Trouble) -> bool {
        let Trouble { began, ended, .. } = *trouble;
        match self.planned.kind {
            Kind::Loss
            | Kind::Blink
            | Kind::Partition
            | Kind::Nap
            | Kind::Sleep
            | Kind::Kill
            | Kind::Rules(Rules::Cut | Rules::Hold | Rules::Reset | Rules::Shape) => {
                trouble.cause == "ConnectionCut" && self.overlaps(began, ended, CUT_MS)
            }
            Kind::RedisEmptied | Kind::RedisStopped | Kind::RedisRestarted => {
                trouble.cause == "RegistryDown" && self.overlaps(began, ended, NAMES_MS)
            }
            _ => false,
        }
    }
}
