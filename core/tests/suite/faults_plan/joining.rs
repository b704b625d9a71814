//! Hosts that join while a plan is set.
//!
//! Owns these tests. Never looks at a lease.

use std::sync::Arc;

use virtnet_core::Cause;
use virtnet_core::faults::{Faults, Rule};

use super::net::Net;
use super::until;

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
