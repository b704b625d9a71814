//! Setting plans: who has acknowledged when, who refuses, who is named.
//!
//! Owns these tests. Never ends a lease.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Builder;
use virtnet_core::faults::{FaultError, Faults, Plan, Rule};
use virtnet_core::pipe::{PipeEngine, Switchboard};
use virtnet_core::{Cause, Documents, Registry, RegistryError, SubNetwork};

use super::net::Net;
use super::{BOUND, SOON, rules};

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
async fn what_rules_did_is_counted_and_told() {
    let net = Net::default();
    let (here, there) = (net.member(&["α"]).await, net.member(&["β"]).await);
    let faults = there.subnet.faults();
    let plan = Plan::from(Rule::refuse("α", "β")).with(Rule::refuse("α", "γ"));
    let guard = faults.apply(plan).await.unwrap();
    let err = here.hosts[0].dial("β:1").await.unwrap_err();
    assert_eq!(err.cause(), Cause::ConnectionRefused);
    // Asked at the same time, all members answer both.
    let others = here.subnet.faults();
    let (one, other) = tokio::join!(faults.status(), others.status());
    for status in [one.unwrap(), other.unwrap()] {
        let counts = status.rules.iter().map(|rule| (rule.matched, rule.hit));
        assert_eq!(counts.collect::<Vec<_>>(), [(1, 1), (0, 0)]);
        assert_eq!(
            status.to_string(),
            "refuse α -> β: matched 1, hit 1\nrefuse α -> γ: matched 0, hit 0\n"
        );
    }
    let healed = guard.heal().await.unwrap();
    assert_eq!(healed.unmatched, [Rule::refuse("α", "γ")]);
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

/// A reply that was overtaken by a later read brings no older plan back.
#[tokio::test]
async fn an_older_plan_never_comes_back() {
    let net = Net::default();
    let here = net.member(&["α"]).await;
    let faults = here.subnet.faults();
    let _first = faults.apply(Rule::cut("α", "β")).await.unwrap();
    let older = net.hub.registry().get("plan").await.unwrap();
    let second = faults.apply(Rule::cut("α", "γ")).await.unwrap();
    *here.registry.overtaken.lock().unwrap() = older;
    let _third = faults.apply(Rule::cut("α", "δ")).await.unwrap();
    assert!(
        here.registry.overtaken.lock().unwrap().is_none(),
        "it was read"
    );
    second.heal().await.unwrap();
    assert!(!here.record.cuts("α", "γ") && here.record.cuts("α", "δ"));
    let versions = here.record.versions();
    assert!(versions.is_sorted(), "{versions:?}");
}
