//! The plan: which fault happens when, to which process, and for how long.
//!
//! Owns what the seed decides. Never acts: the same seed and length give the same plan on
//! every machine.
//!
//! Two sequences of faults run in parallel, on different processes: long ones, which cut
//! connections, and short ones. A third one are rules of the network's plan: `rules.rs` has it.

use crate::hosts::{Hosts, PROCESSES, Pairs};
use crate::rng::Rng;

/// How long the names of a killed process stay leased, and so how long it is away.
const LEASE_MS: u64 = 15_000;
/// The pause after a fault of Redis, until names are registered and dials succeed again.
const REDIS_REST_MS: u64 = 25_000;

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Loss,
    Delay,
    Doubling,
    /// Two processes are cut off from each other, too briefly to be noticed.
    Blink,
    Partition,
    /// A process is stopped, too briefly to be noticed.
    Nap,
    Sleep,
    Kill,
    RedisEmptied,
    RedisStopped,
    RedisRestarted,
    /// A listener is closed and opened again.
    Listener,
    /// A host is closed, and the subnetwork opened anew for it.
    Host,
    Remake,
    /// Dials, accepts, reads and writes are dropped before they end.
    Drops,
    /// Rules of the network's plan of faults.
    Rules(Rules),
}

/// Rules with the same effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rules {
    Cut,
    Hold,
    Refuse,
    Reset,
    /// They only slow down what is open.
    Shape,
}

impl Rules {
    pub(crate) const ALL: [Rules; 5] = [
        Rules::Cut,
        Rules::Hold,
        Rules::Refuse,
        Rules::Reset,
        Rules::Shape,
    ];
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Milliseconds since the start of the faults.
    pub(crate) at: u64,
    pub(crate) length: u64,
    pub(crate) kind: Kind,
    /// The host that it hits, if it hits a host.
    pub(crate) host: usize,
    /// The process that it hits; `None` for Redis.
    pub(crate) process: Option<usize>,
    /// The other side of a cut.
    pub(crate) other: usize,
    /// The pairs of hosts that rules are for.
    pub(crate) pairs: Pairs,
}

impl Planned {
    fn is_on(&self, process: usize) -> bool {
        let cut = matches!(self.kind, Kind::Blink | Kind::Partition);
        self.process == Some(process) || (cut && self.other == process)
    }

    /// When it should have ended.
    fn until(&self) -> u64 {
        let after = match self.kind {
            Kind::Kill => LEASE_MS + 2000,
            _ => 1000,
        };
        self.at + self.length + after
    }
}

/// All faults of a run, in order.
pub(crate) fn plan(hosts: Hosts, seed: u64, length: u64) -> Vec<Planned> {
    let mut plan = Vec::new();
    long_lane(hosts, &mut Rng::new(seed, 1), length, &mut plan);
    let long = plan.len();
    short_lane(hosts, &mut Rng::new(seed, 2), length, &mut plan, long);
    plan.sort_by_key(|planned| planned.at);
    plan
}

fn long_lane(hosts: Hosts, rng: &mut Rng, length: u64, plan: &mut Vec<Planned>) {
    let mut at = 500;
    loop {
        // Processes 0 and 1 are never killed: their memory is compared with the baseline.
        let (kind, process, lasts) = match rng.below(10) {
            0..2 => (Kind::Kill, rng.between(2, 3), rng.between(100, 1000)),
            2..4 => (Kind::Partition, rng.below(4), rng.between(11_000, 13_000)),
            4..6 => (Kind::Sleep, rng.below(4), rng.between(10_500, 16_000)),
            6..8 => (Kind::Host, rng.below(4), rng.between(200, 1500)),
            _ => (Kind::Remake, rng.below(4), rng.between(0, 1500)),
        };
        let process = process as usize;
        let planned = Planned {
            at,
            length: lasts,
            kind,
            host: hosts.of(process).start,
            process: Some(process),
            other: (process + rng.between(1, 3) as usize) % PROCESSES,
            pairs: Pairs::default(),
        };
        if planned.until() > length {
            return;
        }
        plan.push(planned);
        at = planned.until() + rng.between(200, 2000);
    }
}

fn short_lane(hosts: Hosts, rng: &mut Rng, length: u64, plan: &mut Vec<Planned>, long: usize) {
    let (mut at, mut redis) = (700, 5000);
    while at + 5000 < length {
        let planned = short(hosts, rng, at, at >= redis);
        at = planned.at + planned.length + rng.between(150, 500);
        let (begins, until) = (planned.at, planned.until());
        // Never two faults on one process at a time.
        let clash = plan[..long].iter().any(|other| {
            let theirs = (0..PROCESSES).any(|it| planned.is_on(it) && other.is_on(it));
            theirs && other.at < until && begins < other.until()
        });
        if clash {
            at = begins + 50;
            continue;
        }
        if planned.process.is_none() {
            redis = until + REDIS_REST_MS;
        }
        plan.push(planned);
    }
}

fn short(hosts: Hosts, rng: &mut Rng, at: u64, redis: bool) -> Planned {
    let host = rng.below(hosts.count() as u64) as usize;
    let process = hosts.home(host);
    let (kind, length) = match rng.below(if redis { 22 } else { 16 }) {
        0..3 => (Kind::Loss, rng.between(500, 2500)),
        3..5 => (Kind::Delay, rng.between(500, 2500)),
        5..7 => (Kind::Doubling, rng.between(500, 1500)),
        7..9 => (Kind::Blink, rng.between(300, 2000)),
        9..11 => (Kind::Nap, rng.between(300, 4500)),
        11..13 => (Kind::Listener, rng.between(50, 500)),
        13..16 => (Kind::Drops, rng.between(300, 1000)),
        16..18 => (Kind::RedisEmptied, 100),
        18..20 => (Kind::RedisStopped, rng.between(500, 3500)),
        _ => (Kind::RedisRestarted, rng.between(100, 1500)),
    };
    let hosts = hosts.of(process);
    let is_redis = matches!(
        kind,
        Kind::RedisEmptied | Kind::RedisStopped | Kind::RedisRestarted
    );
    Planned {
        at,
        length,
        kind,
        host: match kind {
            Kind::Listener => hosts.end - 1,
            Kind::Drops => hosts.start,
            _ => host,
        },
        process: (!is_redis).then_some(process),
        other: (process + rng.between(1, 3) as usize) % PROCESSES,
        pairs: Pairs::default(),
    }
}
