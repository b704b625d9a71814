//! The task of a member: it writes the member's documents, watches the plan and enforces it, and
//! renews and heals what is held here.
//!
//! Owns that loop, and how it goes on after an outage of the registry. Never decides about traffic.

mod ordering;
mod reading;
mod watching;
mod writing;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::control::BoxFuture;
use crate::control::background::Background;
use crate::control::board::{self, FaultsResult, NO_NUMBER, PLAN};
use crate::control::enforcing::{Enforcer, Enforcing, SILENCE};
use crate::control::error::FaultError;
use crate::control::heal::heal_in_background;
use crate::control::member::watching::{WATCHED, Watch, at, changed};
use crate::control::member_doc::key;
use crate::control::recovery::Recovery;
use crate::control::state::Control;
use crate::faults::pairs::Pair;
use crate::rules::plan::SharedPlan;
use crate::{Cause, Documents};

/// The pause after the first failure; the next ones are longer, up to the longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The pause before a host is asked again that did not answer.
const PING_PAUSE: Duration = Duration::from_millis(20);

/// So long after the end of a lease, others than its holder remove its part from the plan.
const GRACE: Duration = Duration::from_millis(500);

/// How long a member that closes takes at most to heal what it holds, and to remove its documents.
const FAREWELL: Duration = Duration::from_secs(1);

/// What ran in the background.
enum Done {
    Healed(Vec<String>),
    Asked(Pair, bool),
    Settled,
}

/// The state of the task.
struct Member<'a> {
    control: &'a Arc<Control>,
    docs: &'a dyn Documents,
    enforcer: Option<&'a dyn Enforcer>,
    enforcing: Enforcing,
    recovery: Recovery,
    background: Background<Done>,
    /// The parts that are healed in the background.
    healing: HashSet<String>,
    /// The texts of its documents, as they were written last.
    written: Vec<Option<String>>,
    /// All documents are written again.
    all: bool,
    renewal: Instant,
    /// How long its documents live; they are written again three times in that time.
    lifetime: Duration,
    /// The plan is read again.
    read: bool,
    /// The plan and the request for counts, as they were read with the last change, or when hosts that
    /// join were listed.
    fresh: Option<[Option<String>; 2]>,
    asked: String,
    /// Up to this version of the plan, supervisors have seen to what it says about programs.
    settled: u64,
    /// The plan may have gone back to a lower version, which others take for the next ones: until it was read
    /// again, none is acknowledged.
    unsure: bool,
    /// A supervisor is waited for.
    settling: bool,
    /// The parts with rules that supervisors could not see to, and why.
    unsettled: Vec<(String, String)>,
    failures: u32,
    retry: Option<Instant>,
}

impl Control {
    /// The work of the task. It ends when the control is [finished](Control::finish), if it has no
    /// subnetwork; else it is dropped.
    pub(crate) async fn run(self: &Arc<Self>, enforcer: Option<&dyn Enforcer>) {
        let Some(docs) = self.registry.documents() else {
            return;
        };
        let mut member = Member {
            control: self,
            docs,
            enforcer,
            enforcing: Enforcing::default(),
            recovery: Recovery::default(),
            background: Background::new(),
            healing: HashSet::new(),
            written: Vec::new(),
            all: false,
            renewal: Instant::now(),
            lifetime: enforcer.map_or(SILENCE, |enforcer| enforcer.silence()) * 6 / 5,
            read: false,
            fresh: None,
            asked: String::new(),
            settled: 0,
            unsure: false,
            settling: false,
            unsettled: Vec::new(),
            failures: 0,
            retry: None,
        };
        let (mut watch, mut seen): (Watch<'_>, u64) = (None, NO_NUMBER);
        while !(self.is_finished() && member.background.len() == 0) {
            let turn = member.turn().await;
            member.note(&turn);
            if self.is_member() && watch.is_none() && member.retry.is_none() {
                watch = Some(docs.changed_documents(PLAN, seen, WATCHED));
            }
            let next = member.next();
            tokio::select! {
                () = self.wake.notified() => {}
                done = member.background.next() => member.done(done),
                () = at(next) => {}
                change = changed(&mut watch) => {
                    watch = None;
                    match change {
                        Ok((number, texts)) => {
                            (seen, member.read) = (number, true);
                            member.fresh = texts.try_into().ok();
                        }
                        Err(err) => {
                            seen = NO_NUMBER;
                            member.note(&Err(err.into()));
                        }
                    }
                }
            }
        }
    }

    /// Heals what a guard holds here, and removes the member's documents, before the registry is
    /// closed. Bounded. After a crash it leaves everything as it is.
    pub(crate) async fn farewell(&self) {
        let docs = self.registry.documents();
        let Some(docs) = docs.filter(|_| !self.has_crashed()) else {
            return;
        };
        let farewell = async {
            let held = self.held();
            if !held.is_empty() {
                let known = self.known();
                let heal = |shared: &mut _| board::remove(shared, &|part| held.contains(&part.id));
                board::update(docs, &known, heal).await?;
            }
            for chunk in 0..self.chunks() {
                docs.remove(&key(&self.id, chunk)).await?;
            }
            Ok::<_, FaultError>(())
        };
        match timeout(FAREWELL, farewell).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => tracing::debug!(%why, "a member's documents were left behind"),
            Err(_) => tracing::debug!("a member's documents were left behind: no time"),
        }
    }
}

impl Member<'_> {
    /// Does all that there is to do now.
    async fn turn(&mut self) -> FaultsResult<()> {
        let now = Instant::now();
        self.start_background(now);
        self.renew_parts(now).await?;
        if !self.control.is_member() {
            return Ok(());
        }
        if now >= self.renewal {
            (self.all, self.read) = (true, true);
        }
        let generation = self.write_hosts().await?;
        let joins = self.control.progress.borrow().ready < generation;
        if self.read || joins {
            if let Err(why) = self.read_plan().await {
                self.control
                    .progress
                    .send_modify(|progress| progress.unread = generation);
                return Err(why);
            }
            self.read = false;
        }
        self.enforce();
        self.unsure = false;
        self.write_state().await?;
        self.control
            .progress
            .send_modify(|progress| progress.ready = progress.ready.max(generation));
        Ok(())
    }

    /// Remembers whether the registry worked, and when to try again.
    fn note(&mut self, turn: &FaultsResult<()>) {
        let Err(why) = turn else {
            (self.failures, self.retry) = (0, None);
            return;
        };
        match self.failures {
            // The registry tells its own outages.
            0 if why.cause() == Cause::RegistryDown => {
                tracing::debug!(%why, "the plan of faults cannot be followed");
            }
            0 => tracing::warn!(%why, "the plan of faults cannot be followed"),
            _ => {}
        }
        // A lease ends without the registry, too.
        self.enforce();
        // What was written may be lost.
        (self.all, self.read, self.unsure) = (true, true, true);
        let pause = PAUSE * 2_u32.pow(self.failures.min(6));
        self.failures += 1;
        self.retry = Some(Instant::now() + pause.min(LONGEST_PAUSE));
    }

    /// When there is something to do next, unless something happens before.
    fn next(&self) -> Option<Instant> {
        let over = self.enforcing.next_over(Instant::now(), GRACE);
        let due = match self.retry {
            Some(retry) => Some(retry),
            None => {
                let renewal = self.control.is_member().then_some(self.renewal);
                [renewal, self.control.next_due()]
                    .into_iter()
                    .flatten()
                    .min()
            }
        };
        let order = self.next_order(Instant::now());
        [due, over, order].into_iter().flatten().min()
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Healed(parts) => self.healing.retain(|part| !parts.contains(part)),
            Done::Settled => {
                self.settling = false;
                self.settle();
            }
            Done::Asked(pair, answered) => {
                self.recovery.asked(pair, answered, self.enforcing.table());
            }
        }
    }

    /// Starts to heal what was released or is over, and to ask healed pairs.
    fn start_background(&mut self, now: Instant) {
        let mut released = self.control.take_released(now);
        released.extend(self.enforcing.overdue(now, GRACE));
        released.retain(|part| self.healing.insert(part.clone()));
        if !released.is_empty() {
            let control = Arc::clone(self.control);
            self.background.push(async move {
                heal_in_background(control, &released).await;
                Done::Healed(released)
            });
        }
        self.ask();
    }

    fn ask(&mut self) {
        let Some(enforcer) = self.enforcer else {
            return;
        };
        while let Some(pair) = self.recovery.next(self.background.len()) {
            let answer: BoxFuture<bool> = enforcer.ping(&pair.0, &pair.1);
            self.background.push(async move {
                let answered = answer.await;
                if !answered {
                    sleep(PING_PAUSE).await;
                }
                Done::Asked(pair, answered)
            });
        }
    }

    /// Gives the parts that are held here a new beat, if it is time.
    async fn renew_parts(&mut self, now: Instant) -> FaultsResult<()> {
        let due = self.control.due(now);
        if due.is_empty() {
            return Ok(());
        }
        let known = self.control.known();
        let (plan, renewed) = board::update(self.docs, &known, |shared| {
            put_back(shared, &known.plan, &due);
            let parts = shared.parts.iter_mut();
            let parts = parts.filter(|part| due.contains(&part.id));
            let renewed = parts.map(|part| {
                part.beat += 1;
                part.id.clone()
            });
            renewed.collect::<Vec<_>>()
        })
        .await?;
        self.control.remember(&plan);
        for part in &due {
            self.control.renewed(part, renewed.contains(part));
        }
        Ok(())
    }
}

/// Adds the parts of `known` that are `held` and missing where the plan went back: only a later version than
/// the known one can have healed them. The version stays, as a higher one would be taken for such a version, which
/// heals what only others know.
fn put_back(shared: &mut SharedPlan, known: &SharedPlan, held: &[String]) {
    if shared.version > known.version {
        return;
    }
    for part in known.parts.iter().filter(|part| held.contains(&part.id)) {
        if !shared.has(&part.id) {
            board::push(shared, part);
        }
    }
}
