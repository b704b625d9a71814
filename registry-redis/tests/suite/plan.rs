//! Plans of faults over a real server: acknowledged by all, in force after a flush of the
//! server, and gone afterwards.
//!
//! Owns subnetworks of in-memory pipes over this registry. Never looks at traffic.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use virtnet_core::faults::{Faults, Rule};
use virtnet_core::pipe::{PipeEngine, Switchboard};
use virtnet_core::{Cause, Host, SubNetwork};
use virtnet_testkit::redis::RedisServer;

use crate::calls::*;

async fn member(server: &RedisServer, switchboard: &Switchboard, host: &str) -> (SubNetwork, Host) {
    let registry = Arc::new(join(server, "n").await);
    let engine = |notifier| PipeEngine::new(switchboard, notifier);
    let subnet = SubNetwork::new("n", registry, engine).unwrap();
    let host = subnet.new_host(host).await.unwrap();
    (subnet, host)
}

async fn refused_by_a_rule(host: &Host, to: &str) -> bool {
    let dial = async {
        loop {
            let err = host.dial(to).await.unwrap_err();
            // After a flush the names are announced again, in a moment.
            if err.cause() != Cause::NoSuchHost {
                return err;
            }
        }
    };
    let err = timeout(BOUND, dial).await.unwrap();
    assert_eq!(err.cause(), Cause::ConnectionRefused);
    format!("{err:?}").contains("fault rule")
}

#[tokio::test]
async fn a_plan_outlives_a_flush_and_leaves_with_its_guard() {
    let server = RedisServer::start();
    let switchboard = Switchboard::new();
    let (a, alpha) = member(&server, &switchboard, "α").await;
    let (b, beta) = member(&server, &switchboard, "β").await;
    assert!(!refused_by_a_rule(&alpha, "β:1").await);

    let faults = Faults::of(Arc::new(join(&server, "n").await));
    let guard = faults.apply(Rule::refuse("α", "β")).await.unwrap();
    assert!(refused_by_a_rule(&alpha, "β:1").await);
    assert!(!refused_by_a_rule(&beta, "α:1").await);

    server.command(&["FLUSHALL"]);
    assert!(refused_by_a_rule(&alpha, "β:1").await);
    let again = async {
        while faults.status().await.unwrap().members.len() < 2 {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(BOUND, again).await.unwrap();
    let status = faults.status().await.unwrap();
    assert_eq!(status.rules.len(), 1);
    assert!(
        status
            .members
            .iter()
            .all(|member| member.current && member.answered),
        "{status}"
    );
    let (c, gamma) = member(&server, &switchboard, "γ").await;
    assert!(refused_by_a_rule(&alpha, "β:1").await);
    drop(gamma);

    guard.heal().await.unwrap();
    assert!(!refused_by_a_rule(&alpha, "β:1").await);
    drop((alpha, beta));
    for subnet in [a, b, c] {
        subnet.close().await.unwrap();
    }
    // The healed plan, for a minute, and its index and number.
    let keys = server.command(&["KEYS", "*"]);
    assert!(keys.iter().all(|key| !key.contains("member")), "{keys:?}");
}
