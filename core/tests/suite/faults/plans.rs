//! Plans that a member cannot enforce, and the counts of rules.
//!
//! Owns what is refused, and by which engine. Never shares a plan.

use std::sync::Arc;

use virtnet_core::conformance::enforce;
use virtnet_core::memory::MemoryHub;
use virtnet_core::{Cause, SubNetwork};

use crate::faults::net::{Net, works};
use crate::support;

#[tokio::test(start_paused = true)]
async fn what_has_no_datagrams_refuses_to_lose_them_and_keeps_its_rules() {
    let net = Net::new().await;
    net.set("refuse α -> β");
    for (kind, rest) in [
        ("lose", "10%"),
        ("duplicate", "10%"),
        ("reorder", "10% by 5ms"),
    ] {
        let rule = format!("{kind} α -> β {rest}");
        let plan = format!("cut β -> α\n{rule}").parse().unwrap();
        let err = enforce(&net.subnets[0], &plan).unwrap_err();
        assert_eq!(err, format!("{rule:?}: this engine has no datagrams"));
    }
    let err = net.alpha.dial("β:1").await.unwrap_err();
    assert_eq!(err.cause(), Cause::ConnectionRefused, "the rules of before");
    net.heal();
    works(net.connect().await).await;
}

/// An engine that knows nothing of rules.
#[tokio::test(start_paused = true)]
async fn any_engine_can_be_cut_and_held_but_not_delayed() {
    let script = support::Script::default();
    let registry = Arc::new(MemoryHub::new().registry());
    let subnet = SubNetwork::new("pipet", registry, |_| script.clone()).unwrap();
    let host = subnet.new_host("α").await.unwrap();
    let delay = "delay α -> β 50ms".parse().unwrap();
    let err = enforce(&subnet, &delay).unwrap_err();
    assert_eq!(err, "\"delay α -> β 50ms\": this engine cannot delay");
    let plan = "cut α -> α\nhold β -> α\nrate β -> α 1MB/s\ncorrupt β -> α 1%"
        .parse()
        .unwrap();
    enforce(&subnet, &plan).unwrap();
    let err = host.dial("α:1").await.unwrap_err();
    assert_eq!(err.cause(), Cause::TimedOut);
}
