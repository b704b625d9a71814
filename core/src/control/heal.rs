//! Healing: removing parts of the plan, until no member concerned enforces them and healed pairs answer.
//!
//! Owns the warning about rules that never matched anything. Never sends anything to a host: the members
//! of its pairs do.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::control::apply::Limit;
use crate::control::board::{self, FaultsResult, PLAN, concerns, documents, members_number};
use crate::control::error::FaultError;
use crate::control::guard::Healed;
use crate::control::member_doc::MemberDoc;
use crate::control::recovery::SHOWN;
use crate::control::state::Control;
use crate::faults::pairs::Pair;
use crate::rules::plan::{Part, SharedPlan};

/// The time limit of healing in the background.
const WITHIN: Duration = Duration::from_secs(5);

/// The pause after a failure in the background.
const PAUSE: Duration = Duration::from_secs(1);

/// Removes the parts for which `which` holds, and waits until all members concerned have
/// acknowledged and their healed pairs answer. If there are no such parts, it waits for what was healed before.
pub(crate) async fn heal(
    control: &Control,
    limit: Limit,
    which: &(dyn Fn(&Part) -> bool + Sync),
) -> FaultsResult<Healed> {
    let docs = documents(&*control.registry)?;
    let mut wait = Wait::default();
    let acknowledged = loop {
        let known = control.known();
        let remove = board::update(docs, &known, |shared| board::remove(shared, which));
        let remove = async { tokio::try_join!(members_number(docs), remove) };
        let (number, (shared, removed)) = limit.call("take the plan", remove).await?;
        wait.version = shared.version;
        wait.add(removed);
        let watch = limit.watch(docs, number, |members| wait.look(members));
        match watch.await? {
            Some(version) if version > shared.version => {
                let read = async { Ok(docs.get(PLAN).await?) };
                let plan = limit.call("take the plan", read).await?;
                let plan = plan.map_or(Ok(SharedPlan::default()), |text| text.parse())?;
                if !wait.is_back(&plan) {
                    break Some(());
                }
            }
            acknowledged => break acknowledged.map(drop),
        }
    };
    let within = limit.within;
    match acknowledged {
        Some(()) => Ok(wait.healed()),
        None if !wait.late.is_empty() => {
            let hosts = wait.late;
            Err(FaultError::NotAcknowledged { within, hosts })
        }
        None => {
            let pairs = wait.silent;
            Err(FaultError::NotRecovered { within, pairs })
        }
    }
}

/// The wait for members after parts were removed.
#[derive(Default)]
struct Wait {
    version: u64,
    removed: Vec<Part>,
    /// The hosts of members that have not acknowledged, sorted.
    late: Vec<String>,
    /// Pairs that do not answer.
    silent: Vec<Pair>,
    /// The rules that matched something, by part and place.
    matched: HashSet<(String, usize)>,
}

impl Wait {
    fn add(&mut self, removed: Vec<Part>) {
        let is_new = |part: &Part| !self.removed.iter().any(|there| there.id == part.id);
        let new: Vec<_> = removed.into_iter().filter(is_new).collect();
        self.removed.extend(new);
    }

    /// Whether the plan had gone back when parts were removed, and a member that knew more has put one back.
    fn is_back(&self, plan: &SharedPlan) -> bool {
        self.removed.iter().any(|part| plan.has(&part.id))
    }

    fn concerned(&self, host: &str) -> bool {
        let mut removed = self.removed.iter();
        self.removed.is_empty() || removed.any(|part| concerns(&part.plan, host))
    }

    /// Whether the wait is for this pair of a member. Only if the member's list may be cut off, a pair
    /// counts that is of no concern.
    fn counts(&self, member: &MemberDoc, (from, to): &Pair) -> bool {
        member.silent.len() >= SHOWN || self.concerned(from) && self.concerned(to)
    }

    /// The highest version that a member enforces, once all members concerned have acknowledged.
    fn look(&mut self, members: &[MemberDoc]) -> ControlFlow<u64, Vec<String>> {
        let concerned = |member: &&MemberDoc| member.hosts.iter().any(|host| self.concerned(host));
        let concerned: Vec<_> = members.iter().filter(concerned).collect();
        let mut again = Vec::new();
        let (mut late, mut silent) = (Vec::new(), Vec::new());
        for member in concerned {
            let before = late.len() + silent.len();
            if member.version < self.version {
                let hosts = member.hosts.iter().filter(|host| self.concerned(host));
                late.extend(hosts.cloned());
            }
            if member.recovered < self.version {
                let pairs = member.silent.iter();
                silent.extend(pairs.filter(|pair| self.counts(member, pair)).cloned());
            }
            if late.len() + silent.len() > before {
                again.push(member.id.clone());
            }
        }
        late.sort_unstable();
        for (part, places) in members.iter().flat_map(|member| &member.gone) {
            let matched = places.iter().map(|place| (part.clone(), *place));
            self.matched.extend(matched);
        }
        (self.late, self.silent) = (late, silent);
        let versions = members.iter().map(|member| member.version);
        match again.is_empty() {
            true => ControlFlow::Break(versions.max().unwrap_or_default()),
            false => ControlFlow::Continue(again),
        }
    }

    /// Tells which rules never matched anything. A process that has ended took its counts with it.
    fn healed(self) -> Healed {
        let mut healed = Healed::default();
        for part in self.removed {
            for (place, rule) in part.plan.rules().iter().enumerate() {
                if !self.matched.contains(&(part.id.clone(), place)) {
                    tracing::warn!(%rule, "no running process says that this fault rule matched anything");
                    healed.unmatched.push(rule.clone());
                }
            }
        }
        healed
    }
}

/// Heals `parts`, whose guards were dropped or whose leases are over.
pub(crate) async fn heal_in_background(control: Arc<Control>, parts: &[String]) {
    let which = |part: &Part| parts.contains(&part.id);
    if let Err(why) = heal(&control, Limit::new(WITHIN), &which).await {
        tracing::warn!(%why, "healing in the background");
        sleep(PAUSE).await;
    }
}
