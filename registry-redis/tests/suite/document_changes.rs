//! Changes of documents in Redis: how they are pushed, and what outages and failovers do to those
//! who wait for them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use virtnet_core::{Cause, Registry};
use virtnet_registry_redis::RedisOptions;
use virtnet_testkit::redis::{Cluster, Proxy, RedisServer};

use crate::calls::*;
use crate::document_calls::*;

/// Without a cache, and so without pushes.
fn untracked() -> RedisOptions {
    let mut options = RedisOptions::default();
    options.remember = Duration::ZERO;
    options
}

#[tokio::test]
async fn who_waits_is_pushed_to_and_asks_nobody_meanwhile() {
    let server = RedisServer::start();
    let (writer, reader) = (join(&server, "n").await, Arc::new(join(&server, "n").await));
    let mut seen = 0;
    for round in 0..20 {
        let waiting = wait(&server, &reader, seen).await;
        let before = reads(&server);
        // Changes of names, and of other topics and networks, are none of its business.
        writer.announce(&format!("a{round}"), "1").await.unwrap();
        documents(&writer)
            .put("u/a", &round.to_string(), LONG)
            .await
            .unwrap();
        // Two of each script's.
        assert!(reads(&server) - before <= 3, "{round}");
        documents(&writer)
            .put("t/a", &round.to_string(), LONG)
            .await
            .unwrap();
        let woken = timeout(BY_PUSH, waiting).await;
        let number = woken.expect("it is pushed").unwrap().unwrap();
        assert_ne!(number, seen);
        seen = number;
    }
    // Its own writes are changes, too.
    let waiting = wait(&server, &reader, seen).await;
    documents(&reader).remove("t/a").await.unwrap();
    timeout(BY_PUSH, waiting)
        .await
        .expect("it is pushed")
        .unwrap()
        .unwrap();
    writer.close().await.unwrap();
    reader.close().await.unwrap();
}

#[tokio::test]
async fn a_flush_is_pushed() {
    let server = RedisServer::start();
    let registry = Arc::new(join(&server, "n").await);
    for command in ["FLUSHALL", "FLUSHDB"] {
        documents(&registry).put("t/a", "x", None).await.unwrap();
        let before = documents(&registry).changed("t", 0).await.unwrap();
        let waiting = wait(&server, &registry, before).await;
        server.command(&[command]);
        let woken = timeout(BY_PUSH, waiting).await;
        assert_eq!(woken.expect(command).unwrap().unwrap(), 0);
        assert_eq!(documents(&registry).list("t").await.unwrap(), []);
        // The number is one that was not there before.
        documents(&registry).put("t/a", "x", None).await.unwrap();
        assert!(documents(&registry).changed("t", 0).await.unwrap() > before);
    }
    documents(&registry).remove("t/a").await.unwrap();
    registry.close().await.unwrap();
}

#[tokio::test]
async fn after_a_restart_of_the_server_a_change_is_seen() {
    let mut server = RedisServer::start();
    let registry = join_with(&server.url(), "n", deadline(500)).await;
    let documents = documents(&registry);
    documents.put("t/a", "x", None).await.unwrap();
    let seen = documents.changed("t", 0).await.unwrap();
    // It comes back empty, and then has as many changes as before.
    server.kill();
    let down = timeout(BOUND, documents.changed("t", seen)).await;
    let down = down.expect("it notices").unwrap_err();
    assert_eq!(down.cause(), Cause::RegistryDown, "{}", chain(&down));
    server.restart();
    let other = join(&server, "n").await;
    other
        .documents()
        .unwrap()
        .put("t/a", "y", None)
        .await
        .unwrap();
    let until = Instant::now() + BOUND;
    let now = loop {
        let changed = timeout(BOUND, documents.changed("t", seen)).await;
        match changed.expect("the change is seen") {
            Ok(number) => break number,
            Err(err) => assert!(Instant::now() < until, "{}", chain(&err)),
        }
        sleep(Duration::from_millis(10)).await;
    };
    assert!(now > seen);
    assert_eq!(documents.get("t/a").await.unwrap().as_deref(), Some("y"));
    documents.remove("t/a").await.unwrap();
    registry.close().await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test]
async fn after_a_failover_a_change_is_seen() {
    let at_once = ["--repl-diskless-sync-delay", "0"];
    let (mut primary, replica) = (RedisServer::start_with(&at_once), RedisServer::start());
    replica.command(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]);
    let proxy = Proxy::start(primary.port()).await;
    let registry = Arc::new(join_url(&proxy.url(), "n").await);
    documents(&registry).put("t/a", "kept", None).await.unwrap();
    eventually("the replica has it", || replica.get(DOCUMENT).is_some()).await;
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    documents(&registry).put("t/a", "lost", None).await.unwrap();
    let seen = documents(&registry).changed("t", 0).await.unwrap();
    let waiting = wait(&primary, &registry, seen).await;
    proxy.redirect(replica.port());
    primary.kill();
    let woken = timeout(BY_PUSH, waiting).await;
    let number = woken.expect("it reads again").unwrap().unwrap();
    assert!(number != seen && number != 0, "the change that was lost");
    let text = documents(&registry).get("t/a").await.unwrap();
    assert_eq!(text.as_deref(), Some("kept"));
    documents(&registry).remove("t/a").await.unwrap();
    registry.close().await.unwrap();
}

#[tokio::test]
async fn without_pushes_the_number_is_read_again_and_again() {
    let server = RedisServer::start();
    let registry = Arc::new(join_with(&server.url(), "n", untracked()).await);
    let waiting = wait(&server, &registry, 0).await;
    let before = reads(&server);
    eventually("it reads again", || reads(&server) > before + 2).await;
    documents(&registry).put("t/a", "x", LONG).await.unwrap();
    let number = timeout(BY_PUSH, waiting).await.unwrap().unwrap().unwrap();
    let waiting = wait(&server, &registry, number).await;
    server.command(&["FLUSHALL"]);
    let flushed = timeout(BY_PUSH, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(flushed, 0);
    registry.close().await.unwrap();
    let stats = server.command(&["INFO", "commandstats"]).remove(0);
    assert!(!stats.contains("caching"), "{stats}");
}

#[tokio::test]
async fn a_cluster_keeps_a_networks_documents_on_one_node() {
    let cluster = Cluster::start().await;
    for network in ["n", "pipet", "x{y}z"] {
        let [one, other] = [
            join_url(&cluster.url(), network).await,
            join_url(&cluster.url(), network).await,
        ];
        let (writer, reader) = (documents(&one), documents(&other));
        writer.put("t/a", "x", LONG).await.unwrap();
        let seen = reader.changed("t", 0).await.unwrap();
        assert_eq!(reader.list("t").await.unwrap().len(), 1);
        let (woken, replaced) = tokio::join!(
            timeout(BY_PUSH, reader.changed("t", seen)),
            writer.replace("t/a", Some("x"), "y", LONG)
        );
        assert!(replaced.unwrap() && woken.expect("it is pushed").unwrap() != seen);
        assert_eq!(reader.get("t/a").await.unwrap().as_deref(), Some("y"));
        writer.remove("t/a").await.unwrap();
        one.close().await.unwrap();
        other.close().await.unwrap();
    }
}
