//! Dials under fault rules: what leaves the dialer, what comes back, and what a listener sees.
//!
//! Owns [`DialGate`], which also counts a dial for the rules that ask for its number. Never talks to
//! an engine.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use crate::context::fault_counts::Did;
use crate::context::rules::{InForce, Rules};
use crate::rules::rule::{Fault, Rule, Scope};
use crate::rules::table::Active;
use crate::{Addr, Cause, Failure};

/// How long a dial over a cut takes if the engine has no limit for dials.
const CUT_DIAL: Duration = Duration::from_secs(3);

/// One dial, as fault rules see it.
pub(crate) struct DialGate {
    rules: Arc<Rules>,
    src: Addr,
    dst: Addr,
    /// Its number for each rule that counts dials.
    numbers: Vec<(Arc<Active>, u64)>,
}

/// What the rules say about a dial now.
enum Verdict {
    Passes,
    Refused(Arc<Active>),
    Cut(Arc<Active>),
    Held(Arc<Active>),
}

/// Which part of a dial asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is about to leave.
    Leaves,
    /// It waits for the other side.
    UnderWay,
    /// The answer is there.
    Returns,
}

impl DialGate {
    pub(crate) fn new(rules: &Arc<Rules>, src: &Addr, dst: &Addr) -> DialGate {
        DialGate {
            rules: Arc::clone(rules),
            src: src.clone(),
            dst: dst.clone(),
            numbers: Vec::new(),
        }
    }

    /// There are rules, or there were.
    pub(crate) fn has_rules(&self) -> bool {
        self.rules.generation() > 0
    }

    /// Waits until the dial may leave. `limit` is all the time that it has, and until when; a dial
    /// that is held has it from when it is released. Returns whether it was held.
    pub(crate) async fn leave(
        &mut self,
        limit: Option<(Duration, Instant)>,
    ) -> Result<bool, Failure> {
        let within = limit.map_or(CUT_DIAL, |(within, _)| within);
        let deadline = || Instant::now().checked_add(within);
        let (mut held, mut by) = (false, limit.map(|(_, by)| by).or_else(deadline));
        while let Some(in_force) = self.rules.in_force() {
            self.count(&in_force);
            match self.verdict(&in_force, Stage::Leaves) {
                Verdict::Passes => break,
                Verdict::Refused(rule) => return Err(self.refused(&rule)),
                Verdict::Held(rule) => {
                    if !held {
                        self.did(Did::HoldDial, &rule);
                    }
                    held = true;
                    self.rules.wait(&in_force, rule.until()).await;
                    by = deadline();
                }
                Verdict::Cut(rule) => {
                    if self.rules.wait_by(&in_force, rule.until(), by).await {
                        return Err(self.cut(&rule, within));
                    }
                }
            }
        }
        Ok(held)
    }

    /// Runs the engine's part of a dial that has left.
    pub(crate) async fn under_way<T>(
        &self,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut silent = None;
        let dialed = tokio::select! {
            biased;
            dialed = call => dialed,
            why = self.silence(&mut silent) => return Err(why),
        };
        if self.has_rules() {
            // Boxed, as the next one: a dial without rules must not be larger for it.
            Box::pin(self.returns(&mut silent)).await?;
        }
        dialed
    }

    /// Ends once the dial was cut for as long as a connection may be silent.
    async fn silence(&self, silent: &mut Option<Instant>) -> Failure {
        loop {
            let Some(in_force) = self.rules.in_force() else {
                self.rules.changed(0).await;
                continue;
            };
            match self.verdict(&in_force, Stage::UnderWay) {
                Verdict::Cut(rule) => {
                    let silence = self.is_silent(&in_force, &rule, silent);
                    if let Err(why) = Box::pin(silence).await {
                        return why;
                    }
                }
                _ => {
                    *silent = None;
                    self.rules.changed(in_force.generation).await;
                }
            }
        }
    }

    /// Waits until the answer may come back.
    async fn returns(&self, silent: &mut Option<Instant>) -> Result<(), Failure> {
        let mut held = false;
        while let Some(in_force) = self.rules.in_force() {
            match self.verdict(&in_force, Stage::Returns) {
                Verdict::Cut(rule) => self.is_silent(&in_force, &rule, silent).await?,
                Verdict::Held(rule) => {
                    if !held {
                        self.did(Did::HoldDial, &rule);
                    }
                    (held, *silent) = (true, None);
                    self.rules.wait(&in_force, rule.until()).await;
                }
                Verdict::Passes | Verdict::Refused(_) => break,
            }
        }
        Ok(())
    }

    /// Waits until the rules change, or until the dial was silent for too long.
    async fn is_silent(
        &self,
        in_force: &InForce,
        rule: &Active,
        silent: &mut Option<Instant>,
    ) -> Result<(), Failure> {
        let since = *silent.get_or_insert_with(Instant::now);
        let by = since.checked_add(in_force.idle);
        match self.rules.wait_by(in_force, rule.until(), by).await {
            true => Err(self.cut(rule, in_force.idle)),
            false => Ok(()),
        }
    }

    /// What the rules say to a dial at this stage.
    fn verdict(&self, in_force: &InForce, stage: Stage) -> Verdict {
        let now = Instant::now();
        let ports = (self.src.port(), self.dst.port());
        let concerns = |rule: &Active| rule.is_in_force(now) && self.is_its_turn(rule, stage);
        let there = in_force.of(&self.src, &self.dst);
        let there = there.filter(|rule| is_on_dials(rule, ports) && concerns(rule));
        let there: Vec<_> = there.collect();
        let back = in_force.of(&self.dst, &self.src);
        // Dials are counted at their dialer.
        let counts = |rule: &Active| rule.rule.dials.is_some();
        let back =
            back.filter(|rule| is_on_answers(rule, ports) && !counts(rule) && concerns(rule));
        let back: Vec<_> = back.collect();
        let first = |rules: &[Arc<Active>], fault: Fault| {
            let mut rules = rules.iter();
            rules.find(|rule| rule.rule.fault == fault).cloned()
        };
        let refused = || first(&there, Fault::Refuse).map(Verdict::Refused);
        let cut_there = || first(&there, Fault::Cut).map(Verdict::Cut);
        let cut_back = || first(&back, Fault::Cut).map(Verdict::Cut);
        let held = |rules| first(rules, Fault::Hold).map(Verdict::Held);
        let verdict = match stage {
            Stage::Leaves => refused()
                .or_else(cut_there)
                .or_else(cut_back)
                .or_else(|| held(&there)),
            Stage::UnderWay => cut_there().or_else(cut_back),
            // What has left has arrived.
            Stage::Returns => cut_back().or_else(|| held(&back)),
        };
        verdict.unwrap_or(Verdict::Passes)
    }

    /// Whether the rule is for every dial, or for one with the number of this one.
    fn is_its_turn(&self, rule: &Active, stage: Stage) -> bool {
        let Some((first, last)) = rule.rule.dials else {
            return true;
        };
        let mut numbers = self.numbers.iter();
        let number = numbers.find(|(counted, _)| std::ptr::eq(&**counted, rule));
        stage == Stage::Leaves && number.is_some_and(|(_, number)| (first..=last).contains(number))
    }

    /// Counts the dial for each rule on dials of its pair, once.
    fn count(&mut self, in_force: &InForce) {
        for rule in in_force.of(&self.src, &self.dst) {
            let counted = |(counted, _): &(Arc<Active>, u64)| Arc::ptr_eq(counted, &rule);
            let ports = (self.src.port(), self.dst.port());
            if is_on_dials(&rule, ports) && !self.numbers.iter().any(counted) {
                rule.counts.matched();
                let pair = rule.pair(self.src.host(), self.dst.host());
                let number = pair.nth.fetch_add(1, Relaxed) + 1;
                self.numbers.push((rule, number));
            }
        }
    }

    fn did(&self, did: Did, rule: &Active) {
        rule.counts.hit();
        self.rules.counts.add(did, 1);
        tracing::debug!(rule = rule.text(), ?did, "fault");
    }

    fn refused(&self, rule: &Active) -> Failure {
        self.did(Did::RefuseDial, rule);
        refused(rule)
    }

    fn cut(&self, rule: &Active, within: Duration) -> Failure {
        self.did(Did::CutDial, rule);
        let (host, rule) = (self.dst.host(), rule.text());
        let text = format!("no answer from host {host:?} within {within:?}: fault rule {rule:?}");
        Failure::wrap(Cause::TimedOut, text)
    }
}

/// Waits until an incoming dial may be offered to a listener. Dials that a rule counts are the
/// dialer's.
pub(crate) async fn arrives(rules: &Rules, src: &Addr, dst: &Addr) -> Result<(), Failure> {
    while let Some(in_force) = rules.in_force() {
        let now = Instant::now();
        let concerning = in_force.of(src, dst).filter(|rule| {
            let is_on_it = is_on_dials(rule, (src.port(), dst.port()));
            is_on_it && rule.rule.dials.is_none() && rule.is_in_force(now)
        });
        let concerning: Vec<_> = concerning.collect();
        let mut all = concerning.iter();
        if let Some(rule) = all.find(|rule| rule.rule.fault == Fault::Refuse) {
            rule.counts.matched();
            rule.counts.hit();
            rules.counts.add(Did::RefuseDial, 1);
            tracing::debug!(rule = rule.text(), "refused by a fault rule");
            return Err(refused(rule));
        }
        let Some(rule) = concerning.first() else {
            break;
        };
        rules.wait(&in_force, rule.until()).await;
    }
    Ok(())
}

fn refused(rule: &Active) -> Failure {
    let sentence = format!("fault rule {:?} refuses the dial", rule.text());
    Failure::explain(Cause::ConnectionRefused, sentence)
}

/// Whether the rule is for what leaves with a dial between these ports: the dialing one, and the dialed one.
fn is_on_dials(active: &Active, (src, dialed): (u16, u16)) -> bool {
    is_on(&active.rule, dialed, (src, dialed))
}

/// Whether the rule is for the answer to a dial between these ports.
fn is_on_answers(active: &Active, (src, dialed): (u16, u16)) -> bool {
    is_on(&active.rule, dialed, (dialed, src))
}

/// Whether the rule is for a dial to the port `dialed`, in the direction `from` one port `to` the other.
fn is_on(rule: &Rule, dialed: u16, (from, to): (u16, u16)) -> bool {
    let scope = match rule.scope {
        Scope::All => true,
        Scope::Port(port) => port == dialed,
        Scope::Conn(one, other) => (one, other) == (from, to),
    };
    let fault = matches!(rule.fault, Fault::Cut | Fault::Hold | Fault::Refuse);
    scope && fault && rule.after == 0
}
