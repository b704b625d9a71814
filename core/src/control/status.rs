//! What is set on a network, what it has done so far, and who enforces it.
//!
//! Owns [`Status`], and the request to all members for their counts. Never changes the plan.

use std::fmt;
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::control::apply::Limit;
use crate::control::board::{ASK, FaultsResult, PLAN, documents, members_number, read_members};
use crate::control::member_doc::MemberDoc;
use crate::control::state::Control;
use crate::faults::Rule;
use crate::rules::plan::SharedPlan;

/// How long a request for counts stays.
const ASKED: Duration = Duration::from_secs(10);

/// The rules that are set on a network, and the subnetworks that enforce them ([`Faults::status`]).
///
/// [`Faults::status`]: crate::faults::Faults::status
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// Grows with each change of the rules; 0 if there never were any.
    pub version: u64,
    /// The rules, those of one holder together.
    pub rules: Vec<RuleStatus>,
    /// The subnetworks that have hosts.
    pub members: Vec<MemberStatus>,
}

/// A rule that is set, and what it did so far at all members together.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RuleStatus {
    /// The rule.
    pub rule: Rule,
    /// The part of the plan to which it belongs: hex digits. One guard holds one part.
    pub holder: String,
    /// How long it stays without a sign of its holder; `None`: until it is healed.
    pub lease: Option<Duration>,
    /// Datagrams, dials, connections or bytes that it was asked about.
    pub matched: u64,
    /// Those to which it did something.
    pub hit: u64,
}

/// A subnetwork with hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberStatus {
    /// Hex digits.
    pub id: String,
    /// Its hosts, sorted.
    pub hosts: Vec<String>,
    /// It enforces the current version.
    pub current: bool,
    /// All healed pairs of its hosts have answered.
    pub recovered: bool,
    /// It answered when it was asked what its rules have done. If not, its counts are missing.
    pub answered: bool,
    /// The rules that it cannot enforce, and why.
    pub refused: Vec<String>,
}

/// Asks all members, and returns what they say in time.
pub(crate) async fn status(control: &Control, limit: Limit) -> FaultsResult<Status> {
    let docs = documents(&*control.registry)?;
    let read = async { Ok(docs.get(PLAN).await?) };
    let plan = limit.call("show the plan", read).await?;
    let plan = plan.map_or(Ok(SharedPlan::default()), |text| text.parse())?;
    let mut members = Vec::new();
    let mut asked = String::new();
    if plan.parts.is_empty() {
        members = limit.call("list the members", read_members(docs)).await?;
    } else {
        asked = request(control);
        let ask = async {
            let number = members_number(docs).await?;
            docs.put(ASK, &asked, Some(ASKED)).await?;
            Ok(number)
        };
        let number = limit.call("take a request", ask).await?;
        limit
            .watch(docs, number, |seen| {
                members = seen.to_vec();
                let late = seen.iter().filter(|member| member.asked < asked);
                let late: Vec<_> = late.map(|member| member.id.clone()).collect();
                match late.is_empty() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(late),
                }
            })
            .await?;
    }
    Ok(Status {
        version: plan.version,
        rules: rules(&plan, &members),
        members: members
            .iter()
            .map(|member| of(member, &plan, &asked))
            .collect(),
    })
}

/// A request that is larger than earlier ones: of two that ask at the same time, both are answered.
fn request(control: &Control) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!("{:020}-{}", now.as_micros(), control.id)
}

fn rules(plan: &SharedPlan, members: &[MemberDoc]) -> Vec<RuleStatus> {
    let mut rules = Vec::new();
    for part in &plan.parts {
        for (place, rule) in part.plan.rules().iter().enumerate() {
            let counts = members.iter().flat_map(|member| &member.counts);
            let counts = counts.filter(|count| count.part == part.id && count.place == place);
            let sum = counts.fold((0, 0), |(matched, hit), count| {
                (matched + count.matched, hit + count.hit)
            });
            rules.push(RuleStatus {
                rule: rule.clone(),
                holder: part.id.clone(),
                lease: part.lease,
                matched: sum.0,
                hit: sum.1,
            });
        }
    }
    rules
}

fn of(member: &MemberDoc, plan: &SharedPlan, asked: &str) -> MemberStatus {
    let mut hosts = member.hosts.clone();
    hosts.sort_unstable();
    MemberStatus {
        id: member.id.clone(),
        hosts,
        current: member.version >= plan.version,
        recovered: member.recovered >= plan.version,
        answered: *member.asked >= *asked,
        refused: member.refused.iter().map(|(_, why)| why.clone()).collect(),
    }
}

impl fmt::Display for Status {
    /// One line for each rule, then one for each subnetwork that does not enforce all of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rule in &self.rules {
            writeln!(
                f,
                "{}: matched {}, hit {}",
                rule.rule, rule.matched, rule.hit
            )?;
        }
        for member in &self.members {
            let hosts = member.hosts.join(", ");
            for why in &member.refused {
                writeln!(f, "the subnetwork of {hosts} cannot enforce {why}")?;
            }
            if !member.current {
                writeln!(f, "the subnetwork of {hosts} has not acknowledged yet")?;
            } else if !member.recovered {
                writeln!(f, "some healed hosts do not answer {hosts} yet")?;
            }
        }
        Ok(())
    }
}
