//! Setting a plan, until all members concerned enforce it.
//!
//! Owns the waits for what members write. Never renews a part.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::Documents;
use crate::control::board::{
    self, FaultsResult, concerns, documents, members_number, read_late, read_members, say_again,
};
use crate::control::error::{FaultError, Refusal};
use crate::control::member_doc::{self, MemberDoc};
use crate::control::state::Control;
use crate::rules::plan::Part;

/// A member that is gone is noticed when its document has expired, which is no change.
const LOOK: Duration = Duration::from_millis(500);

/// The pause after a failure of the registry.
const PAUSE: Duration = Duration::from_millis(50);

/// A time limit, for all steps of one operation.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) within: Duration,
    by: Instant,
}

impl Limit {
    pub(crate) fn new(within: Duration) -> Limit {
        let now = Instant::now();
        let day = Duration::from_secs(24 * 60 * 60);
        Limit {
            within,
            by: now + within.min(day),
        }
    }

    /// The result of a call that takes part in `what`, if it comes in time.
    pub(crate) async fn call<T>(
        self,
        what: &str,
        call: impl Future<Output = FaultsResult<T>>,
    ) -> FaultsResult<T> {
        let called = timeout_at(self.by, call).await;
        called.unwrap_or_else(|_| Err(FaultError::slow(what, self.within)))
    }

    /// Shows what the members say to `look` until it has seen enough; `None` if that does not happen in
    /// time. As long as it has not, it returns the ids of those that it has to see again.
    ///
    /// The documents have changed after `number`. Members that come later are not shown: they
    /// have read the plan after they were listed, and so after whoever waits here has written it.
    pub(crate) async fn watch<T>(
        self,
        docs: &dyn Documents,
        mut number: u64,
        mut look: impl FnMut(&[MemberDoc]) -> ControlFlow<T, Vec<String>>,
    ) -> FaultsResult<Option<T>> {
        let list = self.call("list the members", read_members(docs));
        let mut members = list.await?;
        loop {
            let late = match look(&members) {
                ControlFlow::Break(seen) => return Ok(Some(seen)),
                ControlFlow::Continue(late) => late,
            };
            let keys: Vec<_> = late.iter().map(|id| member_doc::key(id, 0)).collect();
            let keys: Vec<_> = keys.iter().map(String::as_str).collect();
            let change = docs.changed_documents(member_doc::TOPIC, number, &keys);
            let looked = match timeout_at(self.next_look(), change).await {
                Ok(Ok((now, texts))) => {
                    number = now;
                    say_again(&mut members, late.iter().zip(texts));
                    Ok(())
                }
                Ok(Err(why)) => Err(why.into()),
                Err(_) if Instant::now() >= self.by => return Ok(None),
                // A document that expires changes no number.
                Err(_) => {
                    let read = read_late(docs, &mut members, &late);
                    self.call("list the members", read).await
                }
            };
            match looked {
                Ok(()) => {}
                Err(why) if Instant::now() >= self.by => return Err(why),
                Err(_) => sleep(PAUSE).await,
            }
            if Instant::now() >= self.by {
                return Ok(None);
            }
        }
    }

    fn next_look(self) -> Instant {
        (Instant::now() + LOOK).min(self.by)
    }
}

/// Adds `part` to the plan, calls `set`, and waits until all members that have a host of one of its rules
/// enforce it.
pub(crate) async fn apply(
    control: &Control,
    part: &Part,
    limit: Limit,
    set: impl FnOnce(),
) -> FaultsResult<()> {
    part.plan.check()?;
    let docs = documents(&*control.registry)?;
    let known = control.known();
    let add = board::update(docs, &known, |shared| board::add(shared, part));
    let add = async { tokio::try_join!(members_number(docs), add) };
    let (number, (shared, ())) = limit.call("take the plan", add).await?;
    set();
    control.remember(&shared);
    let mut late = Vec::new();
    let acknowledged = limit.watch(docs, number, |members| {
        let concerned: Vec<_> = members
            .iter()
            .filter_map(|member| Some((member, hosts_of(member, part)?)))
            .collect();
        let refusals = concerned.iter().filter_map(|(member, hosts)| {
            let refused = member.refused.iter().find(|(id, _)| *id == part.id)?;
            let (hosts, why) = (hosts.clone(), refused.1.clone());
            Some(Refusal { hosts, why })
        });
        let refusals: Vec<_> = refusals.collect();
        if !refusals.is_empty() {
            return ControlFlow::Break(Err(FaultError::Refused(refusals)));
        }
        let behind = concerned
            .into_iter()
            .filter(|(member, _)| member.version < shared.version);
        let (behind, hosts): (Vec<_>, Vec<_>) = behind.unzip();
        late = hosts.into_iter().flatten().collect();
        match behind.is_empty() {
            true => ControlFlow::Break(Ok(())),
            false => ControlFlow::Continue(behind.iter().map(|member| member.id.clone()).collect()),
        }
    });
    match acknowledged.await? {
        Some(Ok(())) => Ok(()),
        Some(Err(refused)) => {
            let remove = |shared: &mut _| board::remove(shared, &|there| there.id == part.id);
            let known = control.known();
            let removed = board::update(docs, &known, remove);
            limit.call("take the plan back", removed).await?;
            Err(refused)
        }
        None => {
            late.sort_unstable();
            late.dedup();
            let within = limit.within;
            Err(FaultError::NotAcknowledged {
                within,
                hosts: late,
            })
        }
    }
}

/// The hosts of a member that are at an end of a rule, sorted; `None` if no host is.
fn hosts_of(member: &MemberDoc, part: &Part) -> Option<Vec<String>> {
    let hosts = member
        .hosts
        .iter()
        .filter(|host| concerns(&part.plan, host));
    let mut hosts: Vec<_> = hosts.cloned().collect();
    hosts.sort_unstable();
    (!hosts.is_empty()).then_some(hosts)
}
