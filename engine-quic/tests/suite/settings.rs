//! The counters of an engine, and the buffer sizes that the kernel granted.
//!
//! Owns no limit: limits are tested where they apply.

use crate::common::Net;
use virtnet_engine_quic::{Counters, Tuning};

#[tokio::test]
async fn counters_are_those_that_were_given() {
    let (net, counters) = (Net::new("net"), Counters::default());
    let mut tuning = Tuning::default();
    tuning.socket_buffer = 100_000;
    let config = net.config().tuning(tuning).counters(counters.clone());
    let (given, of_given) = net.join_with(config.clone());
    let (alike, of_alike) = net.join_with(config);
    let (other, of_other) = net.join_with(net.config());
    assert_eq!(counters.socket_buffers(), None);
    let host = given.new_host("α").await.unwrap();
    let granted = counters.socket_buffers().unwrap();
    assert_eq!(granted.asked, 100_000);
    // Every system grants that much.
    assert!(
        granted.receive >= 100_000 && granted.send >= 100_000,
        "{granted:?}"
    );

    let dialer = other.new_host("β").await.unwrap();
    dialer.dial("α:1").await.unwrap_err();
    for (counters, asked) in [
        (of_given, 100_000),
        (of_alike, 100_000),
        (of_other, 4 << 20),
    ] {
        assert_eq!(
            counters.socket_buffers().map(|granted| granted.asked),
            Some(asked)
        );
    }
    drop(host);
    for subnet in [given, alike, other] {
        subnet.close().await.unwrap();
    }
}
