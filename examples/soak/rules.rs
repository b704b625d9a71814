//! Random rules of faults, beside the faults of processes, paths and Redis.
//!
//! Owns when they are set and healed. The seed decides which; never judges what they excuse.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use virtnet::Config;
use virtnet::faults::{FaultGuard, Kind as RuleKind, RandomOptions, Step, random_plan};

use crate::faults::World;
use crate::plan::{Kind, Planned};
use crate::wire::{HOSTS, PROCESSES};

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
    let config = Config::new("soak").registry(&*world.orders.url);
    let faults = config.observer().faults().await;
    let faults = faults.map_err(|err| err.to_string())?.lease(LEASE);
    let count = usize::try_from(length / PER_FAULT_MS).unwrap_or(usize::MAX);
    let options = RandomOptions::new()
        .kinds(&KINDS)
        .faults(count)
        .pause(PAUSE);
    let judge = &world.orders.judge;
    let mut held: Option<(FaultGuard, usize)> = None;
    for step in random_plan(seed, &HOSTS, &options) {
        sleep(step.after).await;
        if Instant::now() >= until {
            break;
        }
        let next = match step.plan.rules() {
            [] => None,
            _ => {
                let number = judge.begins(planned(&step));
                // Fails while a process is dead or stopped, or Redis is. Then some enforce it.
                match faults.apply(step.plan).await {
                    Ok(guard) => Some((guard, number)),
                    Err(_) => {
                        judge.ends_after(number, LEASE);
                        None
                    }
                }
            }
        };
        if let Some((guard, number)) = std::mem::replace(&mut held, next) {
            let late = guard.heal().await.is_err();
            judge.ends_after(number, if late { LEASE } else { Duration::ZERO });
        }
    }
    let last = held.map(|(guard, number)| {
        drop(guard);
        number
    });
    let until = Instant::now() + HEALED;
    while let Err(err) = faults.heal().await {
        if Instant::now() > until {
            judge.violation(format!("the rules cannot be healed: {err}"));
            break;
        }
        sleep(PAUSE / 10).await;
    }
    if let Some(number) = last {
        judge.ends_after(number, Duration::ZERO);
    }
    Ok(())
}

/// The step as a fault: of the pairs of its rules.
fn planned(step: &Step) -> Planned {
    let number = |name: &str| HOSTS.iter().position(|host| *host == name);
    let mut pairs = 0;
    for rule in step.plan.rules() {
        if let (Some(from), Some(to)) = (number(rule.from()), number(rule.to())) {
            pairs |= Planned::pair(from, to);
        }
    }
    Planned {
        at: 0,
        length: 0,
        kind: Kind::Rules,
        host: 0,
        process: None,
        other: PROCESSES,
        pairs,
    }
}
