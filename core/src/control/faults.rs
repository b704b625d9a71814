//! The user's handle on the faults of a network.
//!
//! Owns [`Faults`]. Never enforces a rule: the subnetworks do.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::Registry;
use crate::context::Context;
use crate::control::apply::{Limit, apply};
use crate::control::board::{FaultsResult, random_id};
use crate::control::error::FaultError;
use crate::control::guard::{FaultGuard, Healed};
use crate::control::heal::heal;
use crate::control::state::Control;
use crate::control::status::{Status, status};
use crate::faults::{Plan, Rule, Step};
use crate::rules::plan::Part;

/// The default time limit of each operation.
const WITHIN: Duration = Duration::from_secs(5);

/// The default lease of a guard, and the shortest one.
const LEASE: Duration = Duration::from_secs(10);
const SHORTEST_LEASE: Duration = Duration::from_millis(300);

/// Sets and heals faults between the hosts of a network, wherever the hosts are:
/// [`SubNetwork::faults`](crate::SubNetwork::faults), or [`Faults::of`] without a subnetwork.
///
/// The network has one plan of faults, to which everybody who sets faults contributes a part. The
/// registry shares it. Setting a plan returns when every subnetwork that has a host of one of its rules
/// enforces it; a subnetwork that makes a host later has the plan before anybody has that host.
/// Rules of several parts are in force together.
///
/// The registry itself, and what subnetworks tell each other over it, is never under a fault. When the
/// registry is down or its documents vanish, all subnetworks go on enforcing what they know, until
/// its lease is over.
///
/// ```
/// use std::time::Duration;
/// use virtnet_core::faults::Rule;
/// use virtnet_core::pipe::PipeNetwork;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = PipeNetwork::new("pipet")?;
/// let (here, there) = (network.subnetwork(), network.subnetwork());
/// let alpha = here.new_host("α").await?;
/// let beta = there.new_host("β").await?;
///
/// let faults = here.faults().within(Duration::from_secs(3));
/// let guard = faults.apply(Rule::refuse("α", "β")).await?;
/// let status = faults.status().await?;
/// assert_eq!(status.rules[0].rule, Rule::refuse("α", "β"));
/// assert!(status.members.iter().all(|member| member.current));
///
/// guard.heal().await?;
/// assert!(faults.status().await?.rules.is_empty());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Faults {
    control: Arc<Control>,
    /// Of the subnetwork, whose close ends all operations.
    context: Option<Arc<Context>>,
    /// The subnetwork, or the end of the task.
    _owner: Arc<dyn Any + Send + Sync>,
    within: Duration,
    lease: Duration,
}

/// Ends the task of a control that has no subnetwork.
struct Finish(Arc<Control>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.finish();
    }
}

impl Faults {
    /// For a program without hosts on the network of `registry`, which it closes itself.
    ///
    /// Starts one task, which renews and heals what is held. It ends when all clones and guards are
    /// dropped, and what their drop heals is healed.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn of(registry: Arc<dyn Registry>) -> Faults {
        let control = Arc::new(Control::new(registry));
        let task = Arc::clone(&control);
        tokio::spawn(async move { task.run(None).await });
        let finish = Arc::new(Finish(Arc::clone(&control)));
        Faults::new(control, None, finish)
    }

    pub(crate) fn new(
        control: Arc<Control>,
        context: Option<Arc<Context>>,
        owner: Arc<dyn Any + Send + Sync>,
    ) -> Faults {
        Faults {
            control,
            context,
            _owner: owner,
            within: WITHIN,
            lease: LEASE,
        }
    }

    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// Sets the time limit of each operation of this handle. The default is 5 s.
    pub fn within(mut self, within: Duration) -> Faults {
        self.within = within;
        self
    }

    /// Sets the lease of later guards: so long after their process has died, all members heal what they
    /// held. The default is 10 s, the least is 300 ms. A process renews its leases three times as
    /// often; one that is stopped for longer loses them.
    pub fn lease(mut self, lease: Duration) -> Faults {
        self.lease = lease.max(SHORTEST_LEASE);
        self
    }

    /// Adds a rule or a plan to the network's plan, as long as the guard lives. Returns when every subnetwork that
    /// has a host of one of its rules enforces it.
    ///
    /// # Errors
    ///
    /// [`FaultError::Plan`], [`FaultError::NoDocuments`], [`FaultError::Registry`],
    /// [`FaultError::Refused`], [`FaultError::Down`]: then nothing is set, or it is healed in the
    /// background. [`FaultError::NotAcknowledged`] names the hosts of subnetworks that did not
    /// answer. The plan is then set on the others, until its lease is over or it is
    /// [healed](Faults::heal).
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the plan may be set already: it is then healed in the
    /// background, or if that fails, when its lease is over.
    pub async fn apply(&self, plan: impl Into<Plan>) -> Result<FaultGuard, FaultError> {
        let part = self.part(plan.into(), Some(self.lease));
        let mut guard = FaultGuard::new(self, &part.id);
        match self.apply_part(part, Control::hold).await {
            Ok(()) => Ok(guard),
            Err(why) => {
                if !matches!(why, FaultError::Registry(_) | FaultError::Down(_)) {
                    guard.disarm();
                }
                Err(why)
            }
        }
    }

    /// Adds a rule or a plan to the network's plan as [`apply`](Faults::apply) does, but for
    /// `time`: it is healed after that, also if this process has died. A time of less than 300 ms is taken
    /// as that.
    ///
    /// # Errors
    ///
    /// Those of [`apply`](Faults::apply).
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the plan may be set already. It stays so for its time.
    pub async fn apply_for(&self, plan: impl Into<Plan>, time: Duration) -> Result<(), FaultError> {
        let part = self.part(plan.into(), Some(time.max(SHORTEST_LEASE)));
        self.apply_part(part, Control::hold_for).await
    }

    /// Adds a rule or a plan to the network's plan as [`apply`](Faults::apply) does, but it stays until it is
    /// [healed](Faults::heal), also after all processes have ended.
    ///
    /// # Errors
    ///
    /// Those of [`apply`](Faults::apply).
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the plan may be set already. It stays so.
    pub async fn apply_until_healed(&self, plan: impl Into<Plan>) -> Result<(), FaultError> {
        let part = self.part(plan.into(), None);
        self.apply_part(part, |_, _| ()).await
    }

    /// Sets the steps of a [random plan](crate::faults::random_plan), or of a schedule of your own, one after the
    /// other. A step only changes what it adds and what it takes away. Returns when the last one is in
    /// force; what that has set is healed in the background, so end with an empty plan.
    ///
    /// # Errors
    ///
    /// Those of [`apply`](Faults::apply) and of [`FaultGuard::heal`]; the steps end there, and what
    /// they have set is healed in the background.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, what the steps have set is healed in the background.
    ///
    /// ```
    /// use std::time::Duration;
    /// use virtnet_core::faults::{Kind, RandomOptions, random_plan};
    /// use virtnet_core::pipe::PipeNetwork;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let net = PipeNetwork::new("pipet")?.subnetwork();
    /// let (_alpha, _beta) = (net.new_host("α").await?, net.new_host("β").await?);
    /// let options = RandomOptions::new().kinds(&Kind::WITHOUT_DATAGRAMS).faults(3);
    /// let steps = random_plan(7, &["α", "β"], &options.pause(Duration::from_millis(10)));
    /// net.faults().follow(&steps).await?;
    /// assert!(net.faults().status().await?.rules.is_empty());
    /// # Ok(()) }
    /// ```
    pub async fn follow(&self, steps: &[Step]) -> Result<(), FaultError> {
        // What is in force, as guards of the rules that came together.
        let mut held: Vec<(FaultGuard, usize)> = Vec::new();
        let mut before: &[Rule] = &[];
        for step in steps {
            sleep(step.after).await;
            tracing::debug!(%step, "a step of faults");
            let now = step.plan.rules();
            let same = before
                .iter()
                .zip(now)
                .take_while(|(one, other)| one == other);
            let same = same.count();
            let mut kept = before.len();
            while kept > same
                && let Some((guard, rules)) = held.pop()
            {
                kept -= rules;
                guard.heal().await?;
            }
            if now.len() > kept {
                let added = now[kept..].iter().cloned();
                let plan = added.fold(Plan::new().seed(step.plan.seeded()), Plan::with);
                held.push((self.apply(plan).await?, now.len() - kept));
            }
            before = now;
        }
        Ok(())
    }

    /// Heals everything, whoever set it. Returns when all subnetworks concerned have acknowledged
    /// that, and each healed pair of hosts has answered. If nothing is set, it waits until what was healed
    /// before is.
    ///
    /// Rules that never matched anything are returned, and logged as warnings.
    ///
    /// # Errors
    ///
    /// Those of [`FaultGuard::heal`], and [`FaultError::NoDocuments`].
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the plan may be healed already, or not.
    pub async fn heal(&self) -> Result<Healed, FaultError> {
        self.heal_parts(|_| true).await
    }

    /// Heals what was set between two hosts, in either direction: the parts of the plan whose rules are all
    /// between these names. Each `apply` is one part. Like [`heal`](Faults::heal) otherwise.
    ///
    /// # Errors
    ///
    /// Those of [`heal`](Faults::heal).
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the plan may be healed already, or not.
    pub async fn heal_between(&self, one: &str, other: &str) -> Result<Healed, FaultError> {
        let (one, other) = (one.to_owned(), other.to_owned());
        let between = move |rule: &Rule| {
            let ends = (rule.from(), rule.to());
            ends == (&*one, &*other) || ends == (&*other, &*one)
        };
        self.heal_parts(move |part| part.plan.rules().iter().all(&between))
            .await
    }

    /// Waits until all that was healed before, by whomever, is acknowledged by all subnetworks, and all healed
    /// pairs of hosts answer; at most for `timeout`. Pairs that are cut or held still are not asked.
    ///
    /// # Errors
    ///
    /// Those of [`FaultGuard::heal`], and [`FaultError::NoDocuments`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn recovered(&self, timeout: Duration) -> Result<(), FaultError> {
        let faults = self.clone().within(timeout);
        faults.heal_parts(|_| false).await.map(drop)
    }

    /// What is set now, what it has done so far, and who enforces it.
    ///
    /// # Errors
    ///
    /// [`FaultError::NoDocuments`], [`FaultError::Registry`], [`FaultError::Down`];
    /// [`FaultError::Plan`] if another version of this program has written the plan. It is no error if a
    /// member does not answer: its status says so.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn status(&self) -> Result<Status, FaultError> {
        let (control, limit) = (Arc::clone(&self.control), Limit::new(self.within));
        self.run(async move { status(&control, limit).await }).await
    }

    fn part(&self, plan: Plan, lease: Option<Duration>) -> Part {
        Part {
            id: random_id(),
            lease,
            beat: 0,
            plan,
        }
    }

    async fn apply_part(
        &self,
        part: Part,
        hold: impl FnOnce(&Control, &Part) + Send + 'static,
    ) -> Result<(), FaultError> {
        let (control, limit) = (Arc::clone(&self.control), Limit::new(self.within));
        let rules = part.plan.rules().len();
        tracing::debug!(part = part.id, rules, "setting a plan of faults");
        self.run(async move { apply(&control, &part, limit, || hold(&control, &part)).await })
            .await
    }

    pub(crate) async fn heal_parts(
        &self,
        which: impl Fn(&Part) -> bool + Send + Sync + 'static,
    ) -> Result<Healed, FaultError> {
        let (control, limit) = (Arc::clone(&self.control), Limit::new(self.within));
        self.run(async move { heal(&control, limit, &which).await })
            .await
    }

    /// Runs an operation until it is done or the subnetwork is down.
    async fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = FaultsResult<T>> + Send + 'static,
    ) -> FaultsResult<T> {
        let Some(context) = &self.context else {
            return call.await;
        };
        let called = context.run(async move { Ok(call.await) }).await;
        called.unwrap_or_else(|why| Err(FaultError::Down(why)))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("within", &self.within)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
