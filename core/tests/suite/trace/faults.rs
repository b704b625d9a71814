//! What is recorded of faults: when rules are in force, and what they have done.
//!
//! Owns the expected lines. Never checks what a rule does.

use std::time::Duration;

use virtnet_core::faults::Rule;

use super::recording::{lines, two_hosts};

/// Rules come in force before they do anything, and their counts are told when they go.
#[tokio::test]
async fn faults_are_recorded_where_they_are_in_force() {
    let (subnet, _alpha, beta) = two_hosts().await;
    let faults = subnet.faults();
    let guard = faults.apply(Rule::refuse("β", "α")).await.unwrap();
    beta.dial("α:1").await.unwrap_err();
    let gamma = subnet.new_host("γ").await.unwrap();
    guard.heal().await.unwrap();
    gamma.close();
    let record = subnet.trace();
    let of = |name: &str| -> Vec<_> {
        let lines = lines(&record).into_iter();
        lines.filter(|line| line.starts_with(name)).collect()
    };
    assert_eq!(
        of("β"),
        [
            "β made",
            "β faults 1: 1 rules",
            "β:1 -> α:1 dialing",
            "β:1 -> α:1 failed: connection refused",
            "β faults 2: 0 rules",
            r#"β fault "refuse β -> α" matched 1, hit 1"#,
        ]
    );
    assert_eq!(
        of("α"),
        [
            "α made",
            "α faults 1: 1 rules",
            "α faults 2: 0 rules",
            r#"α fault "refuse β -> α" matched 1, hit 1"#,
        ]
    );
    assert_eq!(
        of("γ"),
        [
            "γ made",
            "γ faults 1: 1 rules",
            "γ faults 2: 0 rules",
            "γ closed"
        ]
    );
    subnet.close().await.unwrap();
}

/// A rule that is in force when its host ends is counted then.
#[tokio::test]
async fn faults_are_counted_when_the_host_ends() {
    let (subnet, _alpha, beta) = two_hosts().await;
    let faults = subnet.faults().within(Duration::from_secs(10));
    let guard = faults.apply(Rule::refuse("β", "α")).await.unwrap();
    beta.close();
    let last = lines(&subnet.trace()).pop().unwrap();
    assert_eq!(last, r#"β fault "refuse β -> α" matched 0, hit 0"#);
    drop(guard);
    subnet.close().await.unwrap();
}
