//! Documents that vanish, and come back as somebody knew them earlier: nothing changes.
//!
//! Owns these tests. Never lets a lease run out.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use virtnet_core::Documents;
use virtnet_core::faults::{Faults, MAX_RULES, Rule};

use super::net::{Member, Net};
use super::{SOON, rules, until};

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

#[tokio::test]
async fn a_holder_without_hosts_writes_its_part_again() {
    let net = Net::default();
    let faults = Faults::of(Arc::new(net.hub.registry())).lease(SOON);
    let guard = faults.apply(Rule::cut("α", "β")).await.unwrap();
    for _ in 0..3 {
        net.flush().await;
        until(async || net.hub.registry().get("plan").await.unwrap().is_some()).await;
        assert_eq!(rules(&faults.status().await.unwrap()), ["cut α -> β"]);
    }
    // Nobody acknowledged anything, so versions began anew; healing works all the same.
    guard.heal().await.unwrap();
    assert_eq!(faults.status().await.unwrap().rules, []);
}

/// The plan's document.
async fn plan(net: &Net) -> String {
    net.hub.registry().get("plan").await.unwrap().unwrap()
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// Has the plan's document be `text`, as whoever writes it first after a loss may. Waits until the pairs that are
/// cut are `expected`; meanwhile nobody enforces anything else.
async fn goes_back_to(net: &Net, members: [&Member; 2], text: &str, expected: Pairs<'_>) {
    let given = members.map(|member| member.record.given());
    let (docs, now) = (net.hub.registry(), plan(net).await);
    assert_ne!(now, text);
    assert!(docs.replace("plan", Some(&now), text, None).await.unwrap());
    let faults = members[0].subnet.faults();
    until(async || {
        let status = faults.status().await.unwrap();
        let mut seen = rules(&status);
        seen.sort_unstable();
        let cuts = expected
            .iter()
            .map(|(from, to)| format!("cut {from} -> {to}"));
        seen == cuts.collect::<Vec<_>>() && status.members.iter().all(|member| member.current)
    })
    .await;
    for (member, given) in members.into_iter().zip(given) {
        for table in member.record.since(given) {
            let pairs = HOSTS.iter().flat_map(|from| HOSTS.map(|to| (*from, to)));
            let cut = pairs.filter(|(from, to)| table.link(from, to).is_some());
            assert_eq!(cut.collect::<Vec<_>>(), expected);
        }
    }
}

const HOSTS: [&str; 4] = ["α", "β", "γ", "δ"];

#[tokio::test]
async fn a_plan_that_was_healed_never_comes_back() {
    let net = Net::default();
    let (here, there) = (net.member(&["α"]).await, net.member(&["β"]).await);
    let faults = here.subnet.faults();
    let first = faults.apply(Rule::cut("α", "β")).await.unwrap();
    let with_first = plan(&net).await;
    let second = faults.apply(Rule::cut("β", "α")).await.unwrap();
    let with_both = plan(&net).await;
    first.heal().await.unwrap();
    // Somebody who had stopped meanwhile writes what it knew, or what it makes of that.
    let later = with_both.replace("version 2\n", "version 9\n");
    let same = with_first.replace("version 1\n", "version 10\n");
    for text in [&with_first, &with_both, &later, &same] {
        goes_back_to(&net, [&here, &there], text, &[("β", "α")]).await;
    }
    second.heal().await.unwrap();
    goes_back_to(&net, [&here, &there], &with_both, &[]).await;
}

#[tokio::test]
async fn a_plan_that_was_set_last_is_not_lost() {
    let net = Net::default();
    let (here, there) = (net.member(&["α"]).await, net.member(&["β"]).await);
    let members = [&here, &there];
    let faults = here.subnet.faults();
    let _first = faults.apply(Rule::cut("α", "β")).await.unwrap();
    let with_first = plan(&net).await;
    let _second = faults.apply(Rule::cut("β", "α")).await.unwrap();
    goes_back_to(&net, members, &with_first, &[("α", "β"), ("β", "α")]).await;
    // Whoever knows nothing begins anew.
    let anew = |version: u64, rule: &str| {
        format!(
            "virtnet fault plan, form 1\nversion {version}\npart {version} until healed\n{rule}\n"
        )
    };
    let with_third = [("α", "β"), ("β", "α"), ("γ", "α")];
    goes_back_to(&net, members, &anew(1, "cut γ -> α"), &with_third).await;
    // Also if it comes to the same number.
    assert!(plan(&net).await.contains("version 3\n"));
    let all = [("α", "β"), ("β", "α"), ("γ", "α"), ("δ", "α")];
    goes_back_to(&net, members, &anew(3, "cut δ -> α"), &all).await;
    faults.heal().await.unwrap();
    assert_eq!(rules(&faults.status().await.unwrap()), [""; 0]);
}

#[tokio::test]
async fn where_there_is_no_room_for_both_plans_the_new_one_is_followed() {
    let net = Net::default();
    let (here, there) = (net.member(&["α"]).await, net.member(&["β"]).await);
    let faults = here.subnet.faults();
    let guard = faults.apply(Rule::cut("α", "β")).await.unwrap();
    let rules = "cut γ -> δ\n".repeat(MAX_RULES);
    let full = format!("virtnet fault plan, form 1\nversion 1\npart 1 until healed\n{rules}");
    net.hub.registry().put("plan", &full, None).await.unwrap();
    for member in [&here, &there] {
        until(async || member.record.cuts("γ", "δ")).await;
        assert!(!member.record.cuts("α", "β"));
    }
    guard.heal().await.unwrap();
    faults.heal().await.unwrap();
    until(async || !here.record.cuts("γ", "δ")).await;
}

/// All documents as they are now.
async fn documents(net: &Net) -> Vec<(String, String)> {
    let docs = net.hub.registry();
    let mut all = docs.list("plan").await.unwrap();
    all.extend(docs.list("member").await.unwrap());
    all
}

/// A server takes over that lags: the documents are as they were. The member cannot read its plan yet.
async fn goes_back(net: &Net, member: &Member, before: &[(String, String)]) {
    member.registry.blind.store(true, SeqCst);
    let docs = net.hub.registry();
    for (key, text) in before {
        docs.put(key, text, None).await.unwrap();
    }
}

/// Somebody who knows of nothing, and has no hosts.
fn stranger(net: &Net) -> Faults {
    Faults::of(Arc::new(net.hub.registry())).lease(Duration::from_secs(60))
}

#[tokio::test]
async fn an_acknowledgement_of_a_plan_that_went_back_is_none_of_the_next() {
    let net = Net::default();
    let here = net.member(&["α"]).await;
    let faults = stranger(&net);
    let _first = faults.apply(Rule::cut("α", "β")).await.unwrap();
    let before = documents(&net).await;
    let _second = faults.apply(Rule::cut("β", "α")).await.unwrap();
    goes_back(&net, &here, &before).await;
    let applied = async {
        let guard = stranger(&net).apply(Rule::cut("γ", "α")).await.unwrap();
        assert!(here.record.cuts("γ", "α"), "it is not enforced yet");
        guard
    };
    let comes_back = async {
        until(async || plan(&net).await.contains("cut γ -> α")).await;
        // It says first that it is there.
        let said = |documents: Vec<_>| documents != before[1..];
        until(async || said(net.members().await)).await;
        here.registry.blind.store(false, SeqCst);
    };
    let (_third, ()) = tokio::join!(applied, comes_back);
    let cuts = [("α", "β"), ("β", "α"), ("γ", "α")];
    assert!(cuts.iter().all(|(from, to)| here.record.cuts(from, to)));
}

#[tokio::test]
async fn what_is_healed_while_the_plan_went_back_is_healed() {
    for both in [true, false] {
        let net = Net::default();
        let here = net.member(&["α"]).await;
        let faults = stranger(&net);
        faults
            .apply_until_healed(Rule::cut("α", "β"))
            .await
            .unwrap();
        let before = documents(&net).await;
        faults
            .apply_until_healed(Rule::cut("β", "α"))
            .await
            .unwrap();
        goes_back(&net, &here, &before).await;
        let healed = async {
            let faults = stranger(&net);
            match both {
                true => faults.heal().await.unwrap(),
                false => faults.heal_between("α", "β").await.unwrap(),
            };
            assert!(!here.record.cuts("α", "β"), "it is still enforced");
        };
        let comes_back = async {
            until(async || !plan(&net).await.contains("cut α -> β")).await;
            here.registry.blind.store(false, SeqCst);
        };
        tokio::join!(healed, comes_back);
        assert_eq!(rules(&faults.status().await.unwrap()), [""; 0]);
    }
}

#[tokio::test]
async fn a_holder_renews_its_part_also_where_the_plan_went_back() {
    let net = Net::default();
    let first = stranger(&net);
    first.apply_until_healed(Rule::cut("α", "β")).await.unwrap();
    let before = plan(&net).await;
    let holder = stranger(&net).lease(SOON);
    let guard = holder.apply(Rule::cut("β", "α")).await.unwrap();
    net.hub.registry().put("plan", &before, None).await.unwrap();
    until(async || plan(&net).await.contains("cut β -> α")).await;
    guard.heal().await.unwrap();
    assert_eq!(rules(&first.status().await.unwrap()), ["cut α -> β"]);
}
