//! Announcements that are cancelled half-way, and calls that run during a close: no name
//! stays taken, and no call hangs.

use std::pin::pin;
use std::sync::Arc;

use virtnet_core::{Cause, Registry};
use virtnet_registry_redis::RedisRegistry;
use virtnet_testkit::redis::{Proxy, RedisServer, free_port};

use crate::calls::*;

const ADDR: &str = "10.0.0.2:4433";
const KEY: &str = "virtnet:{n}:a";

/// Polls an announcement `n` times for every n that does not finish it, and
/// does something after each; returns how many such n there are.
async fn at_every_poll<F>(server: &RedisServer, after: impl Fn(RedisRegistry, bool) -> F) -> usize
where
    F: Future<Output = ()>,
{
    for polls in 0.. {
        let registry = join(server, "n").await;
        let done = {
            let mut announce = pin!(registry.announce("a", ADDR));
            poll_at_most(polls, announce.as_mut()).await.is_some()
        };
        after(registry, done).await;
        server.command(&["DEL", KEY]);
        if done {
            return polls;
        }
    }
    unreachable!("an announcement ends");
}

#[tokio::test]
async fn an_announcement_dropped_at_any_poll_frees_the_name() {
    let server = RedisServer::start();
    let server = &server;
    let polls = at_every_poll(server, |registry, done| async move {
        if done {
            return registry.close().await.unwrap();
        }
        // Frees itself, in the background: this waits for what the dropped call
        // sent, as the query goes over the same connection after it.
        let _ = registry.query("a").await;
        eventually("the name is free", || server.get(KEY).is_none()).await;
        registry.announce("a", "again").await.unwrap();
        assert_eq!(registry.query("a").await.unwrap(), "again");
        registry.close().await.unwrap();
        assert_eq!(server.get(KEY), None);
    })
    .await;
    assert!(
        polls >= 2,
        "an announcement waits for the server: {polls} polls"
    );
}

#[tokio::test]
async fn an_announcement_dropped_between_being_applied_and_answered_frees_the_name() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let registry = join_url(&proxy.url(), "n").await;
    for closed in [false, true] {
        proxy.hold_answers(true);
        let mut announce = registry.announce("a", ADDR);
        assert!(poll_at_most(1, announce.as_mut()).await.is_none());
        eventually("the server has the name", || server.get(KEY).is_some()).await;
        drop(announce);
        proxy.hold_answers(false);
        if closed {
            registry.close().await.unwrap();
            assert_eq!(server.get(KEY), None);
        } else {
            eventually("the name is free", || server.get(KEY).is_none()).await;
        }
    }
}

#[tokio::test]
async fn an_announcement_dropped_at_any_poll_is_freed_by_close() {
    let server = RedisServer::start();
    let server = &server;
    at_every_poll(server, |registry, _| async move {
        registry.close().await.unwrap();
        assert_eq!(server.get(KEY), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_announcement_that_meets_a_close_leaves_nothing() {
    let server = RedisServer::start();
    for round in 0..200 {
        let registry = Arc::new(join(&server, "n").await);
        let announcer = Arc::clone(&registry);
        let announce = tokio::spawn(async move { announcer.announce("a", ADDR).await });
        for _ in 0..round % 7 {
            tokio::task::yield_now().await;
        }
        registry.close().await.unwrap();
        assert_eq!(server.get(KEY), None, "round {round}");
        if let Err(err) = announce.await.unwrap() {
            assert_eq!(err.cause(), Cause::RegistryDown);
        }
        assert_eq!(server.get(KEY), None, "round {round}");
    }
}

#[tokio::test]
async fn an_announcement_whose_answer_was_lost_is_repeated_and_succeeds() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let registry = join_url(&proxy.url(), "n").await;
    let neighbour = join(&server, "n").await;

    proxy.cut_at_next_answer();
    registry.announce("a", ADDR).await.unwrap();
    assert_eq!(proxy.cuts(), 1, "the first answer was lost");
    let value = server.get(KEY).unwrap();
    assert!(value.starts_with(ADDR) && value.ends_with("#1"), "{value}");

    // Another's name is refused in the same place.
    neighbour.announce("b", ADDR).await.unwrap();
    proxy.cut_at_next_answer();
    let err = registry.announce("b", ADDR).await.unwrap_err();
    assert_eq!(
        (err.cause(), proxy.cuts()),
        (Cause::HostAlreadyRegistered, 2)
    );
    // And the own one is not announced a second time.
    let err = registry.announce("a", ADDR).await.unwrap_err();
    assert_eq!(err.cause(), Cause::HostAlreadyRegistered);
    registry.close().await.unwrap();
    neighbour.close().await.unwrap();
}

#[tokio::test]
async fn an_announcement_that_timed_out_but_was_applied_is_freed_and_can_be_retried() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let registry = RedisRegistry::connect(&proxy.url(), "n", deadline(300))
        .await
        .unwrap();

    proxy.hold_answers(true);
    let err = registry.announce("a", ADDR).await.unwrap_err();
    assert_eq!(err.cause(), Cause::RegistryDown);
    assert!(
        chain(&err).ends_with("<- no answer within 300ms"),
        "{}",
        chain(&err)
    );
    proxy.hold_answers(false);
    registry.announce("a", "10.0.0.2:1").await.unwrap();
    assert_eq!(registry.query("a").await.unwrap(), "10.0.0.2:1");
    figure("announce timed out but applied", "the retry succeeds");

    proxy.hold_answers(true);
    registry.announce("b", ADDR).await.unwrap_err();
    proxy.hold_answers(false);
    eventually("the other name is free", || server.keys() == [KEY]).await;
    registry.close().await.unwrap();
    assert_eq!(server.keys(), [""; 0]);
}

#[tokio::test]
async fn an_announcement_that_was_applied_and_refused_when_repeated_is_freed() {
    let (server, replica) = (RedisServer::start(), RedisServer::start());
    replica.command(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]);
    let proxy = Proxy::start(server.port()).await;
    let registry = join_url(&proxy.url(), "n").await;
    proxy.cut_at_next_answer();
    proxy.redirect(replica.port());
    let err = registry.announce("a", ADDR).await.unwrap_err();
    assert_eq!((err.cause(), proxy.cuts()), (Cause::RegistryDown, 1));
    assert!(server.get(KEY).is_some(), "the first was applied");

    proxy.redirect(server.port());
    registry.close().await.unwrap();
    assert_eq!(server.get(KEY), None);
}

#[tokio::test]
async fn close_ends_blocked_calls_and_itself_within_its_bound() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let before = tasks();
    let registry = Arc::new(join_url(&proxy.url(), "n").await);
    registry.announce("kept", ADDR).await.unwrap();
    proxy.hold_answers(true);
    let blocked = Arc::clone(&registry);
    let mut query = Box::pin(async move { blocked.query("kept").await });
    assert!(poll_at_most(1, query.as_mut()).await.is_none());
    let query = tokio::spawn(query);

    let begin = std::time::Instant::now();
    let err = registry.close().await.unwrap_err();
    assert!(
        begin.elapsed() < 2 * deadline(2000).deadline,
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(err.cause(), Cause::RegistryDown);
    assert!(
        chain(&err).contains("registry is down; not freed: \"kept\" <- no answer"),
        "{}",
        chain(&err)
    );
    let err = query.await.unwrap().unwrap_err();
    assert!(chain(&err).ends_with("<- it was closed"), "{}", chain(&err));
    // What failed is over: closing again does nothing.
    registry.close().await.unwrap();
    drop(proxy);
    eventually("all tasks ended", || tasks() <= before).await;
}

#[tokio::test]
async fn a_dropped_close_is_gone_on_with() {
    let server = RedisServer::start();
    for polls in 0.. {
        let registry = join(&server, "n").await;
        registry.announce("a", ADDR).await.unwrap();
        let mut close = Box::pin(registry.close());
        let done = poll_at_most(polls, close.as_mut()).await.is_some();
        drop(close);
        registry.close().await.unwrap();
        assert_eq!(server.get(KEY), None, "after {polls} polls");
        if done {
            return;
        }
    }
}
