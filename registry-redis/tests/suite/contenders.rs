//! Many processes that want one name at the same moment.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Barrier;
use virtnet_core::{Cause, Registry};
use virtnet_registry_redis::RedisRegistry;
use virtnet_testkit::redis::RedisServer;

use crate::calls::*;

const ADDR: &str = "10.0.0.2:4433";

/// Lets all contenders announce one name at once; returns who won.
async fn contend(contenders: &[Arc<RedisRegistry>], name: &str) -> Vec<usize> {
    let start = Arc::new(Barrier::new(contenders.len()));
    let mut calls = Vec::new();
    for registry in contenders {
        let (registry, start, name) = (Arc::clone(registry), Arc::clone(&start), name.to_owned());
        calls.push(tokio::spawn(async move {
            start.wait().await;
            registry.announce(&name, ADDR).await
        }));
    }
    let mut winners = Vec::new();
    for (n, call) in calls.into_iter().enumerate() {
        match call.await.unwrap() {
            Ok(()) => winners.push(n),
            Err(err) => assert_eq!(err.cause(), Cause::HostAlreadyRegistered, "{}", chain(&err)),
        }
    }
    winners
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_contenders_exactly_one_wins() {
    const CONTENDERS: usize = 100;
    const ROUNDS: usize = 1_000;
    let server = RedisServer::start();
    let mut contenders = Vec::new();
    for _ in 0..CONTENDERS {
        contenders.push(Arc::new(join(&server, "n").await));
    }
    // Some twice: not only as processes, but as tasks of one.
    contenders.extend_from_within(..CONTENDERS / 10);
    let begin = Instant::now();
    for round in 0..ROUNDS {
        let winners = contend(&contenders, &format!("h{round}")).await;
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
    }
    let took = begin.elapsed();
    assert_eq!(server.keys().len(), ROUNDS);
    for registry in contenders {
        registry.close().await.unwrap();
    }
    assert_eq!(server.keys(), [""; 0]);
    let what = format!("{ROUNDS} rounds of {CONTENDERS}, one winner in each, in {took:.1?}");
    figure("contenders", &what);
}
