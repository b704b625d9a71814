//! Tests of a subnetwork's limits, and of its counts of refused dials by reason.
//!
//! Owns the limits of core. Never tests an engine's limits.

use std::sync::Arc;

use crate::support::{Script, accept_over, addr};
use tokio::io::{empty, sink};
use virtnet_core::memory::MemoryHub;
use virtnet_core::{Cause, Failure, Limits, Notifier, Refused, SubNetwork};

fn limited(change: impl FnOnce(&mut Limits)) -> (SubNetwork, Notifier) {
    let mut limits = Limits::default();
    change(&mut limits);
    let (mut given, registry) = (None, Arc::new(MemoryHub::new().registry()));
    let subnet = SubNetwork::with_limits("pipet", limits, registry, |notifier| {
        given = Some(notifier);
        Script::default()
    });
    (subnet.unwrap(), given.unwrap())
}

async fn dial(notifier: &Notifier, dst: &str) -> Result<(), Failure> {
    let accept = notifier.vnet_accept(&addr("γ:1"), &addr(dst)).await;
    accept.map(drop)
}

fn refused(change: impl FnOnce(&mut Refused)) -> Refused {
    let mut refused = Refused::default();
    change(&mut refused);
    refused
}

#[tokio::test]
async fn no_more_hosts_are_made_than_the_limit() {
    let (subnet, _) = limited(|limits| limits.hosts = 2);
    let _alpha = subnet.new_host("α").await.unwrap();
    // A host that could not be made does not count, a closed one does.
    subnet.new_host("").await.unwrap_err();
    let taken = subnet.new_host("α").await.unwrap_err();
    assert_eq!(taken.cause(), Cause::HostAlreadyRegistered);
    subnet.new_host("β").await.unwrap().close();
    let err = subnet.new_host("γ").await.unwrap_err();
    assert_eq!(
        err.to_string(),
        "virtnet \"pipet\": new host \"γ\": this subnetwork already has 2 hosts, its limit (closed hosts count too)"
    );
    assert_eq!(err.cause(), Cause::Other);
    subnet.close().await.unwrap();
}

#[tokio::test]
async fn a_backlog_of_its_own() {
    let (subnet, notifier) = limited(|limits| limits.backlog = 2);
    let alpha = subnet.new_host("α").await.unwrap();
    let listener = Arc::new(alpha.listen(":1").unwrap());
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let notifier = notifier.clone();
        waiting.spawn(async move { dial(&notifier, "α:1").await });
    }
    while listener.pending() < 2 {
        tokio::task::yield_now().await;
    }
    let over = dial(&notifier, "α:1").await.unwrap_err();
    assert_eq!(over.cause(), Cause::ConnectionRefused);
    assert_eq!(
        subnet.stats().refused,
        refused(|refused| refused.backlog_full = 1)
    );

    listener.close();
    while let Some(ended) = waiting.join_next().await {
        assert_eq!(
            ended.unwrap().unwrap_err().cause(),
            Cause::ConnectionRefused
        );
    }
    let counted = refused(|refused| {
        refused.backlog_full = 1;
        refused.went_down = 2;
    });
    assert_eq!(subnet.stats().refused, counted);
}

#[tokio::test]
async fn without_a_backlog_only_who_is_awaited_comes_in() {
    let (subnet, notifier) = limited(|limits| limits.backlog = 0);
    let alpha = subnet.new_host("α").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    dial(&notifier, "α:1").await.unwrap_err();
    // The accept starts first.
    let conn = accept_over(&notifier, &listener, empty(), sink()).await;
    assert_eq!(conn.peer_addr(), "γ:1");
    assert_eq!(
        subnet.stats().refused,
        refused(|refused| refused.backlog_full = 1)
    );
}

#[tokio::test]
async fn each_refusal_is_counted_by_its_reason() {
    let (subnet, notifier) = limited(|_| {});
    let alpha = subnet.new_host("α").await.unwrap();
    assert_eq!(subnet.stats().refused, Refused::default());
    for (dst, cause) in [
        ("β:1", Cause::NoSuchHost),
        ("α:1", Cause::ConnectionRefused),
        ("α:0", Cause::ConnectionRefused),
    ] {
        let err = dial(&notifier, dst).await.unwrap_err();
        assert_eq!(err.cause(), cause, "{dst}");
    }
    let counted = |went_down| {
        refused(|refused| {
            refused.no_such_host = 1;
            refused.nothing_listened = 2;
            refused.went_down = went_down;
        })
    };
    assert_eq!(subnet.stats().refused, counted(0));

    let listener = alpha.listen("").unwrap();
    let (waited, ()) = tokio::join!(dial(&notifier, "α:1"), async {
        while listener.pending() == 0 {
            tokio::task::yield_now().await;
        }
        alpha.close();
    });
    assert_eq!(waited.unwrap_err().cause(), Cause::ConnectionRefused);
    assert_eq!(subnet.stats().refused, counted(1));
    // A closed host keeps its name, but has no listeners.
    dial(&notifier, "α:1").await.unwrap_err();
    assert_eq!(subnet.stats().refused.nothing_listened, 3);
}

#[tokio::test]
async fn a_dial_for_which_there_is_no_port_is_counted() {
    let (subnet, notifier) = limited(|_| {});
    let alpha = subnet.new_host("α").await.unwrap();
    let listener = alpha.listen("").unwrap();
    let _all: Vec<_> = (2..=u16::MAX).map(|_| alpha.listen("").unwrap()).collect();
    // Either may come first: the other finds it in the queue.
    for accept_first in [true, false] {
        let (dialed, accepted) = if accept_first {
            let (accepted, dialed) = tokio::join!(listener.accept(), dial(&notifier, "α:1"));
            (dialed, accepted)
        } else {
            tokio::join!(dial(&notifier, "α:1"), listener.accept())
        };
        assert_eq!(dialed.unwrap_err().cause(), Cause::ConnectionRefused);
        assert_eq!(accepted.unwrap_err().cause(), Cause::NoFreePort);
    }
    assert_eq!(
        subnet.stats().refused,
        refused(|refused| refused.no_port = 2)
    );
}
