//! The shared plan among the registry's documents: how it is read and replaced.
//!
//! Owns the keys, how long the plan's document lives, and the version numbers. Never knows who
//! holds a part.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use crate::control::background::all;
use crate::control::error::FaultError;
use crate::control::member_doc::{self, MemberDoc, members};
use crate::faults::{Plan, PlanError};
use crate::rules::plan::{MAX_RULES, Part, SharedPlan};
use crate::{Cause, Documents, Failure, MAX_DOCUMENT, Registry};

/// The key of the plan, and the topic of all that members watch.
pub(crate) const PLAN: &str = "plan";

/// The key of the last request for counts. It belongs to the plan's topic.
pub(crate) const ASK: &str = "plan/ask";

/// How long a plan without parts stays, so that members that are late see that it was healed.
const REMEMBERED: Duration = Duration::from_secs(60);

/// The longest text of a plan: a registry that wraps another may add a line.
const MAX_TEXT: usize = MAX_DOCUMENT - 128;

/// How often a plan is read again because others replaced it in between. Of those who replace it at
/// the same time one succeeds each time.
const TRIES: usize = 1_000;

/// A change number that no topic has: the wait for another one returns at once.
pub(crate) const NO_NUMBER: u64 = u64::MAX;

pub(crate) type FaultsResult<T> = Result<T, FaultError>;

/// An id that nobody else has, of hex digits.
pub(crate) fn random_id() -> String {
    // Its keys are random in each process, and differ from value to value.
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}", random() ^ random().rotate_left(32))
}

/// The documents of a registry, if it has them.
pub(crate) fn documents(registry: &dyn Registry) -> Result<&dyn Documents, FaultError> {
    registry.documents().ok_or(FaultError::NoDocuments)
}

pub(crate) async fn read_members(docs: &dyn Documents) -> Result<Vec<MemberDoc>, FaultError> {
    Ok(members(docs.list(member_doc::TOPIC).await?))
}

/// Reads again what those of `members` say whose ids are in `late`. Those that have expired meanwhile are
/// left out.
pub(crate) async fn read_late(
    docs: &dyn Documents,
    members: &mut Vec<MemberDoc>,
    late: &[String],
) -> FaultsResult<()> {
    let mut reads = Vec::new();
    for id in late {
        reads.push(async move { docs.get(&member_doc::key(id, 0)).await });
    }
    let texts: Result<Vec<_>, _> = all(reads).await.into_iter().collect();
    say_again(members, late.iter().zip(texts?));
    Ok(())
}

/// Takes over what some members say now, by their ids. Those that have expired are left out.
pub(crate) fn say_again<'a>(
    members: &mut Vec<MemberDoc>,
    texts: impl Iterator<Item = (&'a String, Option<String>)>,
) {
    for (id, text) in texts {
        let at = members.iter().position(|member| member.id == *id);
        let Some(at) = at else { continue };
        match text {
            Some(text) => {
                let mut now = member_doc::state(id, &text);
                now.hosts = std::mem::take(&mut members[at].hosts);
                members[at] = now;
            }
            None => drop(members.swap_remove(at)),
        }
    }
}

/// The change number of the members' documents.
pub(crate) async fn members_number(docs: &dyn Documents) -> Result<u64, FaultError> {
    Ok(docs.changed(member_doc::TOPIC, NO_NUMBER).await?)
}

/// How long the plan's document lives without being written again: it does not outlive its
/// holders for long.
pub(crate) fn lifetime(shared: &SharedPlan) -> Option<Duration> {
    let leases = shared.parts.iter().map(|part| part.lease);
    let longest = leases.collect::<Option<Vec<_>>>()?.into_iter().max();
    Some(longest.unwrap_or_default() + REMEMBERED)
}

/// The plan as a member knows it.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) plan: SharedPlan,
    /// Its document, if it was read.
    pub(crate) text: Option<String>,
}

/// Replaces the plan by what `change` makes of it, and returns it with the result of `change`. It is not
/// written if nothing changed. The first try takes it as `known`, which saves a read; also
/// if it vanished, `change` gets what is known.
pub(crate) async fn update<T>(
    docs: &dyn Documents,
    known: &Known,
    mut change: impl FnMut(&mut SharedPlan) -> T,
) -> FaultsResult<(SharedPlan, T)> {
    for tried in 0..TRIES {
        let guess = known.text.clone().filter(|_| tried == 0);
        let is_read = guess.is_none();
        let text = match guess {
            Some(guess) => Some(guess),
            None => docs.get(PLAN).await?,
        };
        let mut shared = match &text {
            Some(text) => text.parse::<SharedPlan>()?,
            None => after_loss(docs, &known.plan).await?,
        };
        let before = shared.clone();
        let result = change(&mut shared);
        if shared != before {
            let (new, lifetime) = match check(&shared) {
                Ok(new) => (new, lifetime(&shared)),
                Err(_) if !is_read => continue,
                Err(why) => return Err(why.into()),
            };
            if docs.replace(PLAN, text.as_deref(), &new, lifetime).await? {
                return Ok((shared, result));
            }
        } else if is_read {
            return Ok((shared, result));
        }
    }
    let text = format!("the plan changed {TRIES} times while it was replaced");
    Err(FaultError::Registry(Failure::wrap(Cause::Other, text)))
}

/// The plan with which to go on where there is none: with a version above all that were
/// acknowledged, so that no old acknowledgement counts.
async fn after_loss(docs: &dyn Documents, known: &SharedPlan) -> Result<SharedPlan, FaultError> {
    let versions = read_members(docs).await?.into_iter();
    let version = versions.map(|member| member.version.max(member.recovered));
    let mut shared = known.clone();
    shared.version = version.chain([known.version]).max().unwrap_or_default();
    Ok(shared)
}

/// The text of a plan that is within its limits.
fn check(shared: &SharedPlan) -> Result<String, PlanError> {
    if shared.rules() > MAX_RULES {
        return Err(PlanError::TooMany(shared.rules()));
    }
    let text = shared.to_string();
    match text.len() > MAX_TEXT {
        true => Err(PlanError::Document(format!(
            "expected at most {MAX_TEXT} bytes of text, got {}",
            text.len()
        ))),
        false => Ok(text),
    }
}

/// Adds a part that a plan had before, if there is room. Returns whether there was.
pub(crate) fn push(shared: &mut SharedPlan, part: &Part) -> bool {
    shared.parts.push(part.clone());
    let fits = check(shared);
    if let Err(why) = &fits {
        tracing::warn!(%why, part = part.id, "faults are lost, as others have taken their room");
        shared.parts.pop();
    }
    fits.is_ok()
}

/// Adds a part to the plan, which gets the next version.
pub(crate) fn add(shared: &mut SharedPlan, part: &Part) {
    if !shared.has(&part.id) {
        shared.parts.push(part.clone());
        shared.version += 1;
    }
}

/// Removes parts from the plan, and returns them. The plan gets the next version, if there were any.
pub(crate) fn remove(shared: &mut SharedPlan, which: &dyn Fn(&Part) -> bool) -> Vec<Part> {
    let parts = std::mem::take(&mut shared.parts);
    let (removed, left): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| which(part));
    shared.parts = left;
    shared.version += u64::from(!removed.is_empty());
    removed
}

/// Whether some rule of `plan` has `host` at one of its ends.
pub(crate) fn concerns(plan: &Plan, host: &str) -> bool {
    let mut rules = plan.rules().iter();
    rules.any(|rule| rule.from.matches(host) || rule.to.matches(host))
}
