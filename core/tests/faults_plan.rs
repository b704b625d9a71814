//! Tests of the plan of faults that a network shares: who enforces what, by when.
//!
//! Owns an engine that records which rules it was given, and a registry that fails when it is told to.
//! Never looks at traffic: other tests do.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};
use virtnet_core::faults::{FaultError, FaultTable, Faults, Plan, Rule, Status};
use virtnet_core::memory::{MemoryHub, MemoryRegistry};
use virtnet_core::pipe::{PipeEngine, Switchboard};
use virtnet_core::{
    Addr, ByteStream, Cause, Documents, Enforced, Engine, Failure, Registry, RegistryError,
    SubNetwork,
};

const SOON: Duration = Duration::from_millis(300);
const BOUND: Duration = Duration::from_secs(20);

/// The pipe engine, which says which rules are in force, and may be deaf.
struct Recorder {
    pipe: PipeEngine,
    record: Record,
}

#[derive(Clone, Default)]
struct Record {
    table: Arc<Mutex<Arc<FaultTable>>>,
    /// How often rules were given.
    given: Arc<Mutex<usize>>,
    /// Its dials never end.
    deaf: Arc<AtomicBool>,
}

impl Record {
    fn cuts(&self, from: &str, to: &str) -> bool {
        self.table.lock().unwrap().link(from, to).is_some()
    }

    fn given(&self) -> usize {
        *self.given.lock().unwrap()
    }
}

#[async_trait]
impl Engine for Recorder {
    async fn vnet_new_host(&self, hostname: &str, registry: &dyn Registry) -> Result<(), Failure> {
        self.pipe.vnet_new_host(hostname, registry).await
    }

    async fn vnet_dial(
        &self,
        src: &Addr,
        dst: &Addr,
        dst_hostdata: &str,
    ) -> Result<(ByteStream, Addr), Failure> {
        while self.record.deaf.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(5)).await;
        }
        self.pipe.vnet_dial(src, dst, dst_hostdata).await
    }

    fn vnet_enforce(&self, table: &Arc<FaultTable>) -> Enforced {
        *self.record.table.lock().unwrap() = Arc::clone(table);
        *self.record.given.lock().unwrap() += 1;
        Enforced::Delays
    }

    async fn close(&self) -> Result<(), Failure> {
        self.pipe.close().await
    }
}

/// A registry whose documents fail while it is down.
struct Fallible {
    memory: MemoryRegistry,
    down: AtomicBool,
    /// Names that were announced before the member's documents had them.
    unlisted: Mutex<Vec<String>>,
}

impl Fallible {
    fn new(hub: &MemoryHub) -> Arc<Fallible> {
        Arc::new(Fallible {
            memory: hub.registry(),
            down: AtomicBool::new(false),
            unlisted: Mutex::default(),
        })
    }

    fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), RegistryError> {
        let err = || RegistryError::new("fallible", "documents", &[], Cause::RegistryDown);
        match self.down.load(Ordering::SeqCst) {
            true => Err(err()),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Registry for Fallible {
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError> {
        let listed = self.memory.list("member").await?;
        let line = format!("host {hostname}");
        let listed = listed
            .iter()
            .any(|(_, text)| text.lines().any(|found| found == line));
        if !listed {
            self.unlisted.lock().unwrap().push(hostname.to_owned());
        }
        self.memory.announce(hostname, hostdata).await
    }

    async fn query(&self, hostname: &str) -> Result<String, RegistryError> {
        self.memory.query(hostname).await
    }

    fn documents(&self) -> Option<&dyn Documents> {
        Some(self)
    }

    async fn close(&self) -> Result<(), RegistryError> {
        Registry::close(&self.memory).await
    }
}

#[async_trait]
impl Documents for Fallible {
    async fn get(&self, key: &str) -> Result<Option<String>, RegistryError> {
        self.check()?;
        self.memory.get(key).await
    }

    async fn list(&self, topic: &str) -> Result<Vec<(String, String)>, RegistryError> {
        self.check()?;
        self.memory.list(topic).await
    }

    async fn put(
        &self,
        key: &str,
        text: &str,
        lifetime: Option<Duration>,
    ) -> Result<(), RegistryError> {
        self.check()?;
        self.memory.put(key, text, lifetime).await
    }

    async fn replace(
        &self,
        key: &str,
        old: Option<&str>,
        text: &str,
        lifetime: Option<Duration>,
    ) -> Result<bool, RegistryError> {
        self.check()?;
        // Others may come in between.
        tokio::task::yield_now().await;
        self.memory.replace(key, old, text, lifetime).await
    }

    async fn remove(&self, key: &str) -> Result<(), RegistryError> {
        self.check()?;
        self.memory.remove(key).await
    }

    async fn changed(&self, topic: &str, seen: u64) -> Result<u64, RegistryError> {
        self.check()?;
        self.memory.changed(topic, seen).await
    }
}

#[derive(Default)]
struct Net {
    hub: MemoryHub,
    switchboard: Switchboard,
}

struct Member {
    subnet: SubNetwork,
    registry: Arc<Fallible>,
    record: Record,
    hosts: Vec<virtnet_core::Host>,
}

impl Net {
    fn subnetwork(&self) -> Member {
        let (registry, record) = (Fallible::new(&self.hub), Record::default());
        let engine = |notifier| Recorder {
            pipe: PipeEngine::new(&self.switchboard, notifier),
            record: record.clone(),
        };
        let subnet = SubNetwork::new("pipet", Arc::clone(&registry) as _, engine).unwrap();
        Member {
            subnet,
            registry,
            record,
            hosts: Vec::new(),
        }
    }

    /// A subnetwork with these hosts.
    async fn member(&self, hosts: &[&str]) -> Member {
        let mut member = self.subnetwork();
        for host in hosts {
            member
                .hosts
                .push(member.subnet.new_host(host).await.unwrap());
        }
        member
    }

    /// All documents vanish.
    async fn flush(&self) {
        let docs = self.hub.registry();
        for topic in ["plan", "member"] {
            for (key, _) in docs.list(topic).await.unwrap() {
                docs.remove(&key).await.unwrap();
            }
        }
    }

    /// The members' documents.
    async fn members(&self) -> Vec<(String, String)> {
        self.hub.registry().list("member").await.unwrap()
    }
}

/// Waits until `condition` holds.
async fn until(condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(BOUND, wait).await.expect("it never came true");
}

fn rules(status: &Status) -> Vec<String> {
    status
        .rules
        .iter()
        .map(|rule| rule.rule.to_string())
        .collect()
}

#[tokio::test]
async fn a_plan_is_enforced_by_all_that_it_concerns_when_apply_returns() {
    let net = Net::default();
    let members = [
        net.member(&["α"]).await,
        net.member(&["β", "γ"]).await,
        net.member(&["δ"]).await,
    ];
    let faults = members[0].subnet.faults();
    let plan: Plan = [Rule::cut("α", "β"), Rule::cut("γ", "δ")]
        .into_iter()
        .collect();
    let guard = faults.apply(plan).await.unwrap();
    for member in &members {
        assert!(member.record.cuts("α", "β") && member.record.cuts("γ", "δ"));
        assert!(!member.record.cuts("β", "α"));
    }
    // Another holder's.
    let other = members[2]
        .subnet
        .faults()
        .apply(Rule::cut("β", "α"))
        .await
        .unwrap();
    let status = faults.status().await.unwrap();
    assert_eq!(rules(&status), ["cut α -> β", "cut γ -> δ", "cut β -> α"]);
    let hosts: Vec<_> = status
        .members
        .iter()
        .map(|member| member.hosts.join(" "))
        .collect();
    assert_eq!(
        BTreeSet::from_iter(hosts),
        BTreeSet::from(["α", "β γ", "δ"].map(String::from))
    );
    assert!(
        status
            .members
            .iter()
            .all(|member| member.current && member.answered)
    );

    let healed = guard.heal().await.unwrap();
    assert_eq!(healed.unmatched.len(), 2);
    assert!(members.iter().all(|member| !member.record.cuts("α", "β")));
    assert!(
        members[..2]
            .iter()
            .all(|member| member.record.cuts("β", "α"))
    );
    other.heal().await.unwrap();
    assert!(
        members[..2]
            .iter()
            .all(|member| !member.record.cuts("β", "α"))
    );
    assert_eq!(faults.status().await.unwrap().to_string(), "");
    faults.recovered(BOUND).await.unwrap();
    for member in members {
        member.subnet.close().await.unwrap();
    }
    assert_eq!(net.members().await, []);
}

#[tokio::test]
async fn a_member_that_joins_has_the_plan_before_it_has_the_host() {
    let net = Net::default();
    let faults = Faults::of(Arc::new(net.hub.registry()));
    faults
        .apply_until_healed(Rule::cut("α*", "*"))
        .await
        .unwrap();
    for round in 0..20 {
        let name = format!("α{round}");
        let member = net.member(&[&name]).await;
        assert!(member.record.cuts(&name, "β"), "{name}");
        assert_eq!(*member.registry.unlisted.lock().unwrap(), [""; 0]);
    }
    // While plans come and go, each host meets the one that was acknowledged before it.
    faults.heal().await.unwrap();
    for round in 0..20 {
        let rule = Rule::cut(&format!("γ{round}"), "δ");
        let member = net.subnetwork();
        let name = format!("γ{round}");
        let (guard, host) = tokio::join!(faults.apply(rule), member.subnet.new_host(&name));
        let (guard, host) = (guard.unwrap(), host.unwrap());
        assert!(member.record.cuts(&name, "δ"), "{name}");
        guard.heal().await.unwrap();
        assert!(!member.record.cuts(&name, "δ"), "{name}");
        drop(host);
    }
}

#[tokio::test]
async fn a_host_that_is_not_made_is_not_listed() {
    let net = Net::default();
    let (one, other) = (net.member(&["α"]).await, net.member(&["β"]).await);
    let taken = other.subnet.new_host("α").await.unwrap_err();
    assert_eq!(taken.cause(), Cause::HostAlreadyRegistered);
    let named = async || {
        let members = net.members().await;
        members
            .iter()
            .filter(|(_, text)| text.contains("host α\n"))
            .count()
    };
    until(async || named().await == 1).await;
    drop(one);
}

#[tokio::test]
async fn many_hosts_have_several_documents() {
    let net = Net::default();
    let names: Vec<_> = (0..150).map(|n| format!("h{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let member = net.member(&names).await;
    assert_eq!(net.members().await.len(), 3);
    let guard = member
        .subnet
        .faults()
        .apply(Rule::cut("h149", "h0"))
        .await
        .unwrap();
    assert!(member.record.cuts("h149", "h0"));
    let status = member.subnet.faults().status().await.unwrap();
    assert_eq!(status.members[0].hosts.len(), 150);
    guard.heal().await.unwrap();
    member.subnet.close().await.unwrap();
    assert_eq!(net.members().await, []);
}

#[tokio::test]
async fn a_member_that_does_not_answer_is_named() {
    let net = Net::default();
    let here = net.member(&["α"]).await;
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let there = std::thread::scope(|scope| {
        scope
            .spawn(|| runtime.block_on(net.member(&["β", "γ"])))
            .join()
            .unwrap()
    });
    // From now on, nobody runs its task.
    let faults = here.subnet.faults().within(SOON);
    let err = faults.apply(Rule::cut("α", "β")).await.unwrap_err();
    assert_eq!(
        err.to_string(),
        r#"faults: within 300ms there was no acknowledgement by the subnetworks of "β""#
    );
    assert_eq!(err.cause(), Cause::TimedOut);
    assert!(here.record.cuts("α", "β"));
    // Whom it does not concern is not waited for.
    let guard = faults.apply(Rule::cut("α", "δ")).await.unwrap();
    guard.heal().await.unwrap();
    let status = faults.status().await.unwrap();
    let late = status
        .members
        .iter()
        .find(|member| member.hosts == ["β", "γ"])
        .unwrap();
    assert!(!late.current && !late.answered);
    assert!(
        status
            .to_string()
            .contains("the subnetwork of β, γ has not acknowledged yet\n")
    );

    // It is there again, and catches up.
    let seen = there.record.clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = std::thread::spawn(move || runtime.block_on(stopped));
    faults.clone().within(BOUND).heal().await.unwrap();
    assert!(!seen.cuts("α", "β"));
    stop.send(()).unwrap();
    running.join().unwrap().unwrap();
    drop(there);
}

#[tokio::test]
async fn a_plan_that_a_member_cannot_enforce_is_not_set() {
    let net = Net::default();
    let (here, there) = (net.member(&["α"]).await, net.member(&["β"]).await);
    let faults = here.subnet.faults();
    let kept = faults.apply(Rule::cut("β", "α")).await.unwrap();
    let plan = Plan::from(Rule::cut("α", "β")).with(Rule::lose("α", "β", 0.1));
    let err = faults.apply(plan).await.unwrap_err();
    let FaultError::Refused(refusals) = &err else {
        panic!("{err}");
    };
    assert_eq!(
        refusals[0].why,
        r#""lose α -> β 10%": this engine has no datagrams"#
    );
    let text = err.to_string();
    assert!(
        text.starts_with("faults: the plan cannot be enforced by the subnetwork of "),
        "{text}"
    );
    assert_eq!(rules(&faults.status().await.unwrap()), ["cut β -> α"]);
    for member in [&here, &there] {
        assert!(member.record.cuts("β", "α"));
        assert!(!member.record.cuts("α", "β"));
    }
    kept.heal().await.unwrap();
}

#[tokio::test]
async fn a_plan_that_is_none_is_refused_before_anything_is_set() {
    let net = Net::default();
    let here = net.member(&["α"]).await;
    let faults = here.subnet.faults();
    let err = faults.apply(Rule::cut("", "β")).await.unwrap_err();
    assert!(matches!(err, FaultError::Plan(_)), "{err}");
    let many = std::iter::repeat_n(Rule::cut("α", "β"), 1_500);
    let guard = faults.apply(many.clone().collect::<Plan>()).await.unwrap();
    let err = faults.apply(many.collect::<Plan>()).await.unwrap_err();
    assert_eq!(
        err.to_string(),
        "faults: fault plan: expected at most 2048 rules, got 3000"
    );
    guard.heal().await.unwrap();
}

/// A registry without documents.
struct Bare;

#[async_trait]
impl Registry for Bare {
    async fn announce(&self, _: &str, _: &str) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn query(&self, _: &str) -> Result<String, RegistryError> {
        Ok(String::new())
    }

    async fn close(&self) -> Result<(), RegistryError> {
        Ok(())
    }
}

#[tokio::test]
async fn without_documents_there_are_hosts_but_no_faults() {
    let engine = |notifier| PipeEngine::new(&Switchboard::new(), notifier);
    let subnet = SubNetwork::new("pipet", Arc::new(Bare), engine).unwrap();
    subnet.new_host("α").await.unwrap();
    let faults = subnet.faults();
    let errs = [
        faults.apply(Rule::cut("α", "β")).await.unwrap_err(),
        faults.heal().await.unwrap_err(),
        faults.status().await.unwrap_err(),
        Faults::of(Arc::new(Bare)).heal().await.unwrap_err(),
    ];
    for err in errs {
        assert_eq!(err.to_string(), "faults: this registry cannot share a plan");
    }
    subnet.close().await.unwrap();
    let err = faults.heal().await.unwrap_err();
    assert_eq!(err.to_string(), "faults: network is down");
}

#[tokio::test]
async fn a_plan_whose_holder_died_ends_by_its_lease() {
    let net = Net::default();
    let here = net.member(&["α"]).await;
    let registry = Arc::new(net.hub.registry());
    let dies = move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let faults = Faults::of(registry).lease(SOON);
            let guard = faults.apply(Rule::cut("α", "β")).await.unwrap();
            // As if its process was killed.
            std::mem::forget(guard);
        });
    };
    tokio::task::spawn_blocking(dies).await.unwrap();
    until(async || !here.record.cuts("α", "β")).await;
    // The document, too.
    until(async || {
        here.subnet
            .faults()
            .status()
            .await
            .unwrap()
            .rules
            .is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_lease_is_renewed_as_long_as_the_guard_lives() {
    let net = Net::default();
    let here = net.member(&["α"]).await;
    let faults = Faults::of(Arc::new(net.hub.registry())).lease(SOON);
    let guard = faults.apply(Rule::cut("α", "β")).await.unwrap();
    let given = here.record.given();
    let beat = async || {
        let plan = net.hub.registry().get("plan").await.unwrap().unwrap();
        let beat = plan
            .lines()
            .find_map(|line| Some(line.split_once(" beat ")?.1.parse::<u64>()));
        beat.unwrap().unwrap()
    };
    // Twelve thirds of it.
    until(async || beat().await >= 12).await;
    assert!(here.record.cuts("α", "β"));
    // Nothing was swapped in between.
    assert_eq!(here.record.given(), given);
    drop(guard);
    until(async || !here.record.cuts("α", "β")).await;
}

#[tokio::test]
async fn a_lease_ends_while_the_registry_is_down() {
    let net = Net::default();
    let here = net.member(&["α"]).await;
    here.subnet
        .faults()
        .apply_for(Rule::cut("α", "β"), SOON)
        .await
        .unwrap();
    assert!(here.record.cuts("α", "β"));
    here.registry.set_down(true);
    until(async || !here.record.cuts("α", "β")).await;
    let err = here.subnet.faults().heal().await.unwrap_err();
    assert_eq!(err.cause(), Cause::RegistryDown);
    let down = here.subnet.new_host("β").await.unwrap_err();
    assert_eq!(down.cause(), Cause::RegistryDown);
    here.registry.set_down(false);
    here.subnet.new_host("β").await.unwrap();
    until(async || {
        here.subnet
            .faults()
            .status()
            .await
            .unwrap()
            .rules
            .is_empty()
    })
    .await;
}

#[tokio::test]
async fn documents_that_vanish_change_nothing() {
    let net = Net::default();
    let (here, there) = (net.member(&["α"]).await, net.member(&["β"]).await);
    let guard = here
        .subnet
        .faults()
        .apply(Rule::cut("α", "β"))
        .await
        .unwrap();
    there
        .subnet
        .faults()
        .apply_until_healed(Rule::cut("β", "α"))
        .await
        .unwrap();
    for round in 0..5 {
        let given = [&here, &there].map(|member| member.record.given());
        net.flush().await;
        until(async || net.members().await.len() >= 2).await;
        let status = here.subnet.faults().status().await.unwrap();
        assert_eq!(rules(&status), ["cut α -> β", "cut β -> α"]);
        assert_eq!([&here, &there].map(|member| member.record.given()), given);
        let name = format!("γ{round}");
        let joins = net.member(&[&name]).await;
        assert!(joins.record.cuts("α", "β"));
        joins.subnet.close().await.unwrap();
    }
    guard.heal().await.unwrap();
    here.subnet.faults().heal().await.unwrap();
    assert!(
        [&here, &there]
            .iter()
            .all(|member| !member.record.cuts("β", "α"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_set_plans_at_the_same_time_all_succeed() {
    let net = Net::default();
    let (here, there) = (net.member(&["α"]).await, net.member(&["β"]).await);
    let mut appliers = tokio::task::JoinSet::new();
    for n in 0..8_u64 {
        let subnet = if n % 2 == 0 { &here } else { &there };
        let faults = subnet.subnet.faults().within(BOUND);
        let records = [here.record.clone(), there.record.clone()];
        appliers.spawn(async move {
            for _ in 0..10 {
                let rule = Rule::cut(&format!("from{n}"), "β").after(0);
                let guard = faults.apply(rule.clone()).await.unwrap();
                assert!(records[1].cuts(&format!("from{n}"), "β"));
                guard.heal().await.unwrap();
                assert!(!records[1].cuts(&format!("from{n}"), "β"));
            }
        });
    }
    while let Some(done) = appliers.join_next().await {
        done.unwrap();
    }
    let status = here.subnet.faults().status().await.unwrap();
    assert_eq!((status.version, rules(&status).len()), (160, 0));
}

#[tokio::test]
async fn an_apply_that_is_dropped_at_any_poll_leaves_nothing() {
    let net = Net::default();
    let here = net.member(&["α"]).await;
    let faults = here.subnet.faults();
    for polls in 0.. {
        let done = {
            let mut apply = pin!(faults.apply(Rule::cut("α", "β")));
            let mut left = polls;
            poll_fn(|cx| match left {
                0 => Poll::Ready(false),
                _ => {
                    left -= 1;
                    apply
                        .as_mut()
                        .poll(cx)
                        .map(|applied| drop(applied.unwrap()))
                        .map(|()| true)
                }
            })
            .await
        };
        until(async || !here.record.cuts("α", "β")).await;
        until(async || faults.status().await.unwrap().rules.is_empty()).await;
        if done {
            assert!(polls > 2, "{polls}");
            break;
        }
    }
}

#[tokio::test]
async fn a_subnetwork_that_closes_heals_what_it_holds() {
    let net = Net::default();
    let (here, there) = (net.member(&["α"]).await, net.member(&["β"]).await);
    let guard = here
        .subnet
        .faults()
        .apply(Rule::cut("α", "β"))
        .await
        .unwrap();
    here.subnet.close().await.unwrap();
    until(async || !there.record.cuts("α", "β")).await;
    assert_eq!(net.members().await.len(), 1);
    let err = guard.heal().await.unwrap_err();
    assert_eq!(err.to_string(), "faults: network is down");
}

#[tokio::test]
async fn healed_pairs_answer_without_a_port() {
    let net = Net::default();
    let (here, there) = (net.member(&["α"]).await, net.member(&["β"]).await);
    let faults = here.subnet.faults();
    let guard = faults.apply(Rule::cut("α", "β")).await.unwrap();
    there.record.deaf.store(true, Ordering::SeqCst);
    let err = faults.clone().within(SOON).heal().await.unwrap_err();
    assert_eq!(
        err.to_string(),
        r#"faults: healed, but within 300ms there was no answer from "α" to "β""#
    );
    let err = faults.recovered(SOON).await.unwrap_err();
    assert!(matches!(err, FaultError::NotRecovered { .. }), "{err}");
    // No port is taken, and no dial was counted.
    assert_eq!(
        here.hosts[0].sockets().len() + there.hosts[0].sockets().len(),
        0
    );
    there.record.deaf.store(false, Ordering::SeqCst);
    faults.recovered(BOUND).await.unwrap();
    for member in [&here, &there] {
        let stats = member.subnet.stats();
        assert_eq!(stats.refused.nothing_listened, 0);
        assert_eq!(stats.dials, virtnet_core::Dials::default());
    }
    // A pair that is cut again is not asked.
    drop(guard);
    there.record.deaf.store(true, Ordering::SeqCst);
    let _first = faults.apply(Rule::cut("β", "α")).await.unwrap();
    let second = faults.apply(Rule::cut("β", "α")).await.unwrap();
    second.heal().await.unwrap();
    there.record.deaf.store(false, Ordering::SeqCst);
}

#[tokio::test]
async fn a_handle_without_a_subnetwork_leaves_no_task() {
    let net = Net::default();
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let faults = Faults::of(Arc::new(net.hub.registry()));
    let guard = faults.apply(Rule::cut("α", "β")).await.unwrap();
    drop(faults);
    drop(guard);
    until(async || tasks() == before).await;
    // The task has healed before it ended.
    let plan = net.hub.registry().get("plan").await.unwrap().unwrap();
    assert!(!plan.contains("cut"), "{plan}");
}
