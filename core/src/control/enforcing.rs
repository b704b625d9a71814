//! What of the shared plan is in force at one member.
//!
//! Owns the member's view of the plan: leases by its own clock, parts that it cannot enforce, and the
//! table. Never reads or writes a document.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use crate::control::BoxFuture;
use crate::control::board;
use crate::control::member_doc::Count;
use crate::faults::PlanError;
use crate::rules::plan::{Part, SharedPlan};
use crate::rules::table::{Active, FaultTable};

/// How many parts that left a member remembers, to say which of their rules matched something.
const REMEMBERED: usize = 32;

/// How many healed parts a member remembers, so that they do not come back.
const HEALED: usize = 256;

/// The time after which a silent peer counts as lost, where no engine says so.
pub(crate) const SILENCE: Duration = Duration::from_secs(10);

/// The subnetwork of a member: it has dials and connections meet the rules.
pub(crate) trait Enforcer: Send + Sync {
    /// Enforces `table` from now on, or says which rules it cannot enforce: then nothing has changed.
    fn enforce(&self, table: &Arc<FaultTable>) -> Result<(), Vec<Refused>>;

    /// Asks the host `to` for a sign of life, on behalf of `from`, a host of the subnetwork. Takes no port
    /// of either. True if it gave one, or if no such host is there; ends within some seconds.
    fn ping(&self, from: &str, to: &str) -> BoxFuture<bool>;

    /// After so much silence a peer counts as lost.
    fn silence(&self) -> Duration;
}

/// A rule that a subnetwork cannot enforce: its text, and why.
pub(crate) struct Refused {
    pub(crate) rule: String,
    pub(crate) why: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.why)
    }
}

/// A member's view of the plan.
#[derive(Default)]
pub(crate) struct Enforcing {
    known: SharedPlan,
    /// The document, as it was read or written last.
    text: Option<String>,
    /// The last beat of each part, and when it was seen.
    beats: HashMap<String, (u64, Instant)>,
    table: Arc<FaultTable>,
    /// The parts of which the table was made.
    in_force: Vec<String>,
    refused: Vec<(String, String)>,
    gone: VecDeque<(String, Vec<usize>)>,
    /// The parts that a plan had, and a later one had not.
    healed: VecDeque<String>,
}

/// What a plan's document was to a member that read it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Adopted {
    /// It is known.
    Known,
    /// It is taken over.
    New,
    /// It is not, as it is behind what is known: it has to be [amended](Enforcing::amend).
    Behind,
}

impl Enforcing {
    pub(crate) fn known(&self) -> &SharedPlan {
        &self.known
    }

    pub(crate) fn table(&self) -> &FaultTable {
        &self.table
    }

    /// The parts that it cannot enforce, and why.
    pub(crate) fn refused(&self) -> &[(String, String)] {
        &self.refused
    }

    /// The parts that were healed last, with the places of the rules that matched something.
    pub(crate) fn gone(&self) -> Vec<(String, Vec<usize>)> {
        self.gone.iter().cloned().collect()
    }

    /// What each rule has done, if anything.
    pub(crate) fn counts(&self) -> Vec<Count> {
        let counts = self.table.rules().iter().map(|active| {
            let (part, place) = active.place();
            Count {
                part: part.to_owned(),
                place,
                matched: active.counts.matched.load(Relaxed),
                hit: active.counts.hit.load(Relaxed),
            }
        });
        counts
            .filter(|count| count.matched > 0 || count.hit > 0)
            .collect()
    }

    /// Whether a plan that was read with a change is not older than the one that is known: another read
    /// may have overtaken it.
    pub(crate) fn is_fresh(&self, plan: Option<&str>) -> bool {
        let Some(plan) = plan else {
            return self.known.parts.is_empty();
        };
        let plan = plan.parse::<SharedPlan>();
        plan.is_ok_and(|plan| plan.version >= self.known.version)
    }

    /// Takes over the plan's document, unless that would undo something.
    pub(crate) fn adopt(&mut self, text: &str, now: Instant) -> Result<Adopted, PlanError> {
        if self.text.as_deref() == Some(text) {
            return Ok(Adopted::Known);
        }
        let shared: SharedPlan = text.parse()?;
        let mut amended = shared.clone();
        self.amend(&mut amended);
        if amended != shared {
            return Ok(Adopted::Behind);
        }
        for part in &self.known.parts {
            if !shared.has(&part.id) {
                self.healed.push_back(part.id.clone());
            }
        }
        while self.healed.len() > HEALED {
            self.healed.pop_front();
        }
        self.beats.retain(|id, _| shared.has(id));
        for part in &shared.parts {
            let beat = self
                .beats
                .entry(part.id.clone())
                .or_insert((part.beat, now));
            if beat.0 != part.beat {
                *beat = (part.beat, now);
            }
        }
        self.refused.retain(|(id, _)| shared.has(id));
        self.known = shared;
        self.text = Some(text.to_owned());
        Ok(Adopted::New)
    }

    /// Has a plan that was read say what is known here, too. It does so already, unless documents vanished and
    /// somebody wrote the plan again that did not know all of it: a healed part is no part of it then, and
    /// a part that it should have is.
    pub(crate) fn amend(&self, shared: &mut SharedPlan) {
        let known = &self.known;
        // Only versions that follow the known one can have healed one of its parts.
        let follows = match shared.version.cmp(&known.version) {
            Ordering::Greater => true,
            Ordering::Equal => shared.has_parts_of(known) && known.has_parts_of(shared),
            Ordering::Less => false,
        };
        let (read, before) = (shared.version, shared.parts.len());
        shared.parts.retain(|part| !self.healed.contains(&part.id));
        let mut differs = shared.parts.len() < before;
        for part in &known.parts {
            match shared.parts.iter_mut().find(|there| there.id == part.id) {
                Some(there) => there.beat = there.beat.max(part.beat),
                None if follows => {}
                None => differs |= board::push(shared, part),
            }
        }
        if read < known.version && known.has_parts_of(shared) {
            // It is what is known again, and was acknowledged as such.
            let place = |part: &Part| known.parts.iter().position(|there| there.id == part.id);
            shared.parts.sort_by_key(place);
            shared.version = known.version;
        } else if differs || read < known.version {
            shared.version = read.max(known.version) + 1;
        }
    }

    /// When the lease of `part` is over, by this member's clock.
    fn over(&self, part: &Part) -> Option<Instant> {
        let (_, seen) = self.beats.get(&part.id)?;
        seen.checked_add(part.lease?)
    }

    /// When the next lease is over that is not over now.
    pub(crate) fn next_over(&self, now: Instant, grace: Duration) -> Option<Instant> {
        let parts = self.known.parts.iter();
        let over = parts.filter_map(|part| self.over(part));
        let times = over.flat_map(|over| [Some(over), over.checked_add(grace)]);
        times.flatten().filter(|time| *time > now).min()
    }

    /// The parts whose leases have been over for `grace`.
    pub(crate) fn overdue(&self, now: Instant, grace: Duration) -> Vec<String> {
        let over = |part: &&Part| self.over(part).is_some_and(|over| over + grace <= now);
        let parts = self.known.parts.iter().filter(over);
        parts.map(|part| part.id.clone()).collect()
    }

    /// Has `enforcer` enforce what is in force now. Returns the rules that are not any more.
    pub(crate) fn enforce(&mut self, enforcer: &dyn Enforcer, now: Instant) -> Vec<Arc<Active>> {
        loop {
            let parts = self.known.parts.iter();
            let parts: Vec<_> = parts
                .filter(|part| self.over(part).is_none_or(|over| now < over))
                .filter(|part| !self.refused.iter().any(|(id, _)| *id == part.id))
                .collect();
            let ids: Vec<_> = parts.iter().map(|part| part.id.clone()).collect();
            let same = ids == self.in_force && self.table.version() == self.known.version;
            if same {
                return Vec::new();
            }
            let shared = SharedPlan {
                version: self.known.version,
                parts: parts.into_iter().cloned().collect(),
            };
            let table = Arc::new(FaultTable::new(&shared, &self.table, now));
            match enforcer.enforce(&table) {
                Ok(()) => return self.swap(table, ids),
                Err(refused) => self.refuse(&shared, &refused),
            }
        }
    }

    /// Leaves out the parts that have a rule among `refused`, of which there is at least one.
    fn refuse(&mut self, shared: &SharedPlan, refused: &[Refused]) {
        let before = self.refused.len();
        for part in &shared.parts {
            let texts: Vec<_> = part.plan.rules().iter().map(ToString::to_string).collect();
            let why = refused
                .iter()
                .filter(|refused| texts.contains(&refused.rule));
            let why: Vec<_> = why.map(ToString::to_string).collect();
            if !why.is_empty() {
                self.refused.push((part.id.clone(), why.join("; ")));
            }
        }
        if self.refused.len() == before {
            let why: Vec<_> = refused.iter().map(ToString::to_string).collect();
            let all = shared
                .parts
                .iter()
                .map(|part| (part.id.clone(), why.join("; ")));
            self.refused.extend(all);
        }
    }

    fn swap(&mut self, table: Arc<FaultTable>, in_force: Vec<String>) -> Vec<Arc<Active>> {
        let before = std::mem::replace(&mut self.table, table);
        let stays = |active: &Arc<Active>| {
            self.table
                .rules()
                .iter()
                .any(|now| Arc::ptr_eq(now, active))
        };
        let left = before.rules().iter().filter(|active| !stays(active));
        let left: Vec<_> = left.cloned().collect();
        let over = std::mem::replace(&mut self.in_force, in_force).into_iter();
        for part in over.filter(|part| !self.in_force.contains(part)) {
            let matched = left.iter().filter(|active| active.place().0 == part);
            let matched = matched.filter(|active| active.counts.matched.load(Relaxed) > 0);
            let matched = matched.map(|active| active.place().1).collect();
            self.gone.push_back((part, matched));
        }
        while self.gone.len() > REMEMBERED {
            self.gone.pop_front();
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Refuses rules that lose, and remembers what was enforced.
    #[derive(Default)]
    struct NoDatagrams(Mutex<Vec<Vec<String>>>);

    impl Enforcer for NoDatagrams {
        fn enforce(&self, table: &Arc<FaultTable>) -> Result<(), Vec<Refused>> {
            let rules = table.rules().iter().map(|active| active.rule.to_string());
            let (refused, enforced): (Vec<_>, Vec<_>) =
                rules.partition(|rule| rule.starts_with("lose"));
            if refused.is_empty() {
                self.0.lock().unwrap().push(enforced);
                return Ok(());
            }
            let refused = refused.into_iter();
            let why = "no datagrams".to_owned();
            Err(refused
                .map(|rule| Refused {
                    rule,
                    why: why.clone(),
                })
                .collect())
        }

        fn ping(&self, _: &str, _: &str) -> BoxFuture<bool> {
            Box::pin(std::future::pending())
        }

        fn silence(&self) -> Duration {
            SILENCE
        }
    }

    fn document(version: u64, parts: &str) -> String {
        format!("virtnet fault plan, form 1\nversion {version}\n{parts}")
    }

    #[test]
    fn a_part_that_cannot_be_enforced_does_not_hold_up_the_others() {
        let (mut member, subnet, now) =
            (Enforcing::default(), NoDatagrams::default(), Instant::now());
        let lossy = "part a until healed\nlose α -> β 10%\n";
        let text = document(1, &format!("{lossy}part b until healed\ncut α -> β\n"));
        assert_eq!(member.adopt(&text, now), Ok(Adopted::New));
        assert_eq!(member.adopt(&text, now), Ok(Adopted::Known));
        assert!(member.enforce(&subnet, now).is_empty());
        assert_eq!(*subnet.0.lock().unwrap(), [["cut α -> β"]]);
        assert_eq!(member.table().version(), 1);
        let why = r#""lose α -> β 10%": no datagrams"#.to_owned();
        assert_eq!(member.refused(), [("a".to_owned(), why)]);

        member.adopt(&document(2, lossy), now).unwrap();
        let left = member.enforce(&subnet, now);
        assert_eq!(left[0].rule.to_string(), "cut α -> β");
        assert_eq!(member.gone(), [("b".to_owned(), Vec::new())]);
        member.adopt(&document(3, ""), now).unwrap();
        member.enforce(&subnet, now);
        assert_eq!((member.table().version(), member.refused().len()), (3, 0));
    }

    #[test]
    fn a_lease_without_a_beat_ends_by_the_members_clock() {
        let (mut member, subnet, now) =
            (Enforcing::default(), NoDatagrams::default(), Instant::now());
        let second = Duration::from_secs(1);
        let with_beat = |beat| document(1, &format!("part a lease 1000 beat {beat}\ncut α -> β\n"));
        member.adopt(&with_beat(1), now).unwrap();
        member.enforce(&subnet, now);
        assert_eq!(member.next_over(now, second), Some(now + second));
        // A beat, just in time.
        member.adopt(&with_beat(2), now + second).unwrap();
        assert!(member.enforce(&subnet, now + second).is_empty());
        let over = now + 2 * second;
        assert_eq!(member.enforce(&subnet, over).len(), 1);
        assert_eq!(subnet.0.lock().unwrap().last().unwrap().len(), 0);
        assert!(member.overdue(over, second).is_empty());
        assert_eq!(member.next_over(over, second), Some(over + second));
        assert_eq!(member.overdue(over + second, second), ["a"]);
        // The holder was only slow.
        member.adopt(&with_beat(3), over).unwrap();
        member.enforce(&subnet, over);
        assert_eq!(subnet.0.lock().unwrap().last().unwrap().len(), 1);
    }
}
