//! Random rules of faults, beside the faults of processes, paths and Redis.
//!
//! Owns when they are set and healed. The seed decides which; never judges what they excuse.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use virtnet::Config;
use virtnet::faults::{FaultGuard, Kind as RuleKind, RandomOptions, Rule, Step, random_plan};
use virtnet::quic::SecretError;

use crate::faults::World;
use crate::hosts::{Hosts, PROCESSES, Pairs};
use crate::plan::{Kind, Planned, Rules};

/// All kinds but corruption: every byte is checked.
const KINDS: [RuleKind; 9] = [
    RuleKind::Cut,
    RuleKind::Hold,
    RuleKind::Refuse,
    RuleKind::Reset,
    RuleKind::Delay,
    RuleKind::Rate,
    RuleKind::Lose,
    RuleKind::Duplicate,
    RuleKind::Reorder,
];
const PAUSE: Duration = Duration::from_millis(2500);
/// Two steps for each fault, of a little more than half a pause each.
const PER_FAULT_MS: u64 = 2750;
/// Of a plan that not all have acknowledged: so long after its holder has let go of it, it is healed.
const LEASE: Duration = Duration::from_secs(4);
/// Within this time all is healed at the end: a killed process is waited for, and Redis may be down.
const HEALED: Duration = Duration::from_secs(40);

/// Sets and heals rules for `length` milliseconds.
pub(crate) async fn carry_out(seed: u64, length: u64, world: &Arc<World>) -> Result<(), String> {
    let until = Instant::now() + Duration::from_millis(length);
    let secret = world.orders.secret.parse();
    let secret = secret.map_err(|err: SecretError| err.to_string())?;
    let config = Config::new("soak")
        .registry(&*world.orders.url)
        .secret(secret);
    let faults = config.observer().faults().await;
    let faults = faults.map_err(|err| err.to_string())?.lease(LEASE);
    let count = usize::try_from(length / PER_FAULT_MS).unwrap_or(usize::MAX);
    let options = RandomOptions::new()
        .kinds(&KINDS)
        .faults(count)
        .pause(PAUSE);
    let (hosts, judge) = (world.orders.hosts, &world.orders.judge);
    let mut held: Option<(FaultGuard, Vec<usize>)> = None;
    for step in random_plan(seed, hosts.names(), &options) {
        sleep(step.after).await;
        if Instant::now() >= until {
            break;
        }
        let next = match step.plan.rules() {
            [] => None,
            _ => {
                let numbers: Vec<_> = planned(hosts, &step).map(|it| judge.begins(it)).collect();
                // Fails while a process is dead or stopped, or Redis is. Then some enforce it.
                match faults.apply(step.plan).await {
                    Ok(guard) => Some((guard, numbers)),
                    Err(_) => {
                        judge.end_after(&numbers, LEASE);
                        None
                    }
                }
            }
        };
        if let Some((guard, numbers)) = std::mem::replace(&mut held, next) {
            let late = guard.heal().await.is_err();
            judge.end_after(&numbers, if late { LEASE } else { Duration::ZERO });
        }
    }
    let last = held.map(|(guard, numbers)| {
        drop(guard);
        numbers
    });
    let until = Instant::now() + HEALED;
    while let Err(err) = faults.heal().await {
        if Instant::now() > until {
            judge.violation(format!("the rules cannot be healed: {err}"));
            break;
        }
        sleep(PAUSE / 10).await;
    }
    judge.end_after(&last.unwrap_or_default(), Duration::ZERO);
    Ok(())
}

/// The step as faults: one for each kind of effect, on the pairs of its rules.
fn planned(hosts: Hosts, step: &Step) -> impl Iterator<Item = Planned> {
    let mut pairs = [Pairs::default(); Rules::ALL.len()];
    for rule in step.plan.rules() {
        if let (Some(from), Some(to)) = (hosts.number(rule.from()), hosts.number(rule.to())) {
            pairs[effect(rule) as usize].insert(from, to);
        }
    }
    let planned = Rules::ALL.into_iter().zip(pairs);
    planned
        .filter(|(_, pairs)| !pairs.is_empty())
        .map(|(rules, pairs)| Planned {
            at: 0,
            length: 0,
            kind: Kind::Rules(rules),
            host: 0,
            process: None,
            other: PROCESSES,
            pairs,
        })
}

/// What a rule may do to connections and dials.
fn effect(rule: &Rule) -> Rules {
    match rule.to_string().split(' ').next() {
        Some("cut") => Rules::Cut,
        Some("hold") => Rules::Hold,
        Some("refuse") => Rules::Refuse,
        Some("reset") => Rules::Reset,
        _ => Rules::Shape,
    }
}
