//! The ends of plans: healed, dropped, out of time, left behind.
//!
//! Owns these tests. Never refuses a plan.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Builder;
use virtnet_core::faults::{FaultError, Faults, Rule};
use virtnet_core::{Cause, Dials, Documents};

use super::net::Net;
use super::{BOUND, SOON, rules, until};

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

/// As a killed process: its plan ends by its lease, and its hosts are listed for a while.
#[tokio::test(start_paused = true)]
async fn a_subnetwork_that_crashes_heals_nothing() {
    let net = Net::default();
    let here = net.member(&["α"]).await;
    let there = net.member(&["β"]).await;
    let faults = there.subnet.faults();
    let guard = faults.apply(Rule::cut("α", "β")).await.unwrap();
    let released = faults.apply(Rule::cut("β", "α")).await.unwrap();
    there.subnet.crash().await.unwrap();
    drop(released);
    let err = guard.heal().await.unwrap_err();
    assert!(matches!(err, FaultError::Down(_)), "{err}");
    assert_eq!(net.members().await.len(), 2);
    let left = rules(&here.subnet.faults().status().await.unwrap());
    assert_eq!(left, ["cut α -> β", "cut β -> α"]);
    let err = here.subnet.faults().apply(Rule::hold("α", "β")).await;
    let hosts = vec!["β".to_owned()];
    assert!(
        matches!(&err, Err(FaultError::NotAcknowledged { hosts: late, .. }) if *late == hosts),
        "{err:?}"
    );
    until(async || !here.record.cuts("α", "β") && net.members().await.len() == 1).await;
    // A subnetwork that closes has nothing to heal later.
    let last = net.member(&["γ"]).await;
    let _guard = last.subnet.faults().apply(Rule::cut("γ", "α")).await;
    last.subnet.close().await.unwrap();
    assert_eq!(net.members().await.len(), 1);
    let faults = here.subnet.faults();
    until(async || faults.status().await.unwrap().rules.is_empty()).await;
}

#[tokio::test]
async fn a_lease_is_renewed_as_long_as_the_guard_lives() {
    let net = Net::default();
    let here = net.member(&["α"]).await;
    let registry = Arc::new(net.hub.registry());
    // Long enough for a slow machine to renew it in time.
    let faults = Faults::of(registry).lease(Duration::from_secs(2));
    let guard = faults.apply(Rule::cut("α", "β")).await.unwrap();
    let given = here.record.given();
    let beat = async || {
        let plan = net.hub.registry().get("plan").await.unwrap().unwrap();
        let beat = plan
            .lines()
            .find_map(|line| Some(line.split_once(" beat ")?.1.parse::<u64>()));
        beat.unwrap().unwrap()
    };
    // Four thirds of it.
    until(async || beat().await >= 4).await;
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
        assert_eq!(stats.dials, Dials::default());
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
