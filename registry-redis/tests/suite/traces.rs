//! The live trace in Redis: its key, how batches are pushed, and what outages do to it.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use virtnet_core::{Cause, Registry, TracePosition, Traces};
use virtnet_registry_redis::{RedisOptions, RedisRegistry};
use virtnet_testkit::redis::{Cluster, RedisServer};

use crate::calls::*;
use crate::document_calls::BY_PUSH;

const KEY: &str = "virtnet:{n}::trace";

fn traces(registry: &RedisRegistry) -> &dyn Traces {
    registry.traces().unwrap()
}

/// How often the server has run `XRANGE`.
fn reads(server: &RedisServer) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]).remove(0);
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_xrange:calls="));
    let calls = line.and_then(|line| line.split(',').next());
    calls.map_or(0, |calls| calls.parse().expect("a number"))
}

#[tokio::test]
async fn it_is_one_key_that_expires() {
    let server = RedisServer::start();
    let registry = join(&server, "n").await;
    let first = traces(&registry).append("α").await.unwrap();
    traces(&registry).append("β").await.unwrap();
    assert_eq!(server.keys(), [KEY]);
    let left: u64 = server.command(&["PTTL", KEY])[0]
        .trim_start_matches(':')
        .parse()
        .unwrap();
    let hour = 60 * 60 * 1000;
    assert!((hour - 60_000..=hour).contains(&left), "{left}");
    let entries = server.command(&["XRANGE", KEY, "-", "+", "COUNT", "1"]);
    let id = first.to_string();
    assert_eq!(entries, [&*id, "text", "α", "bytes", "2"]);
    registry.close().await.unwrap();
    assert_eq!(server.keys(), [KEY], "what was recorded stays");
    // An entry of somebody else is named.
    let registry = join(&server, "n").await;
    server.command(&["DEL", KEY]);
    server.command(&["XADD", KEY, "5-1", "other", "x"]);
    let err = traces(&registry).read(TracePosition::default()).await;
    let err = err.unwrap_err();
    assert_eq!(err.cause(), Cause::Protocol);
    let text = chain(&err);
    assert!(text.contains(KEY) && text.contains("\"5-1\""), "{text}");
    registry.close().await.unwrap();
}

#[tokio::test]
async fn who_waits_is_pushed_to_and_asks_nobody_meanwhile() {
    let server = RedisServer::start();
    let (writer, reader) = (join(&server, "n").await, join(&server, "n").await);
    let mut after = TracePosition::default();
    for round in 0..10 {
        let before = reads(&server);
        let waiting = traces(&reader).next(after);
        let append = async {
            eventually("it has read", || reads(&server) > before).await;
            let before = reads(&server);
            writer.announce(&format!("a{round}"), "1").await.unwrap();
            let documents = writer.documents().unwrap();
            documents.put("t/a", "x", None).await.unwrap();
            assert_eq!(reads(&server), before, "it asks nobody");
            traces(&writer).append("x").await.unwrap()
        };
        let (woken, at) = tokio::join!(timeout(BY_PUSH, waiting), append);
        assert_eq!(
            woken.expect("it is pushed").unwrap(),
            [(at, "x".to_owned())]
        );
        after = at;
    }
    writer.close().await.unwrap();
    reader.close().await.unwrap();
}

#[tokio::test]
async fn without_pushes_it_is_read_again_and_again() {
    let server = RedisServer::start();
    let mut options = RedisOptions::default();
    options.remember = Duration::ZERO;
    let registry = join_with(&server.url(), "n", options).await;
    let waiting = traces(&registry).next(TracePosition::default());
    let append = async {
        eventually("it reads again", || reads(&server) > 2).await;
        traces(&registry).append("x").await.unwrap()
    };
    let (woken, _) = tokio::join!(timeout(BY_PUSH, waiting), append);
    assert_eq!(woken.unwrap().unwrap().len(), 1);
    registry.close().await.unwrap();
}

#[tokio::test]
async fn after_a_flush_another_trace_begins() {
    let server = RedisServer::start();
    let registry = join(&server, "n").await;
    let mut last = TracePosition::default();
    for text in ["a", "b", "c"] {
        last = traces(&registry).append(text).await.unwrap();
    }
    let waiting = traces(&registry).next(last);
    let before = reads(&server);
    let flush = async {
        eventually("it has read", || reads(&server) > before).await;
        server.command(&["FLUSHALL"]);
        traces(&registry).append("d").await.unwrap()
    };
    let (woken, at) = tokio::join!(timeout(BY_PUSH, waiting), flush);
    assert_eq!(woken.unwrap().unwrap(), [(at, "d".to_owned())]);
    assert!(at.stream > last.stream && at.number == 1, "{last} {at}");
    assert!(!last.is_followed_by(at));
    registry.close().await.unwrap();
}

#[tokio::test]
async fn after_a_restart_of_the_server_batches_are_read() {
    let mut server = RedisServer::start();
    let registry = join_with(&server.url(), "n", deadline(500)).await;
    let last = traces(&registry).append("a").await.unwrap();
    server.kill();
    let down = timeout(BOUND, traces(&registry).next(last)).await;
    let down = down.expect("it notices").unwrap_err();
    assert_eq!(down.cause(), Cause::RegistryDown, "{}", chain(&down));
    let down = traces(&registry).append("b").await.unwrap_err();
    assert_eq!(down.cause(), Cause::RegistryDown, "{}", chain(&down));
    server.restart();
    let other = join(&server, "n").await;
    let at = traces(&other).append("c").await.unwrap();
    let until = Instant::now() + BOUND;
    let batches = loop {
        match timeout(BOUND, traces(&registry).next(last)).await.unwrap() {
            Ok(batches) => break batches,
            Err(err) => assert!(Instant::now() < until, "{}", chain(&err)),
        }
        sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(batches, [(at, "c".to_owned())]);
    registry.close().await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_cluster_keeps_a_networks_trace_on_one_node() {
    let cluster = Cluster::start().await;
    for network in ["n", "pipet", "x{y}z"] {
        let [one, other] = [
            join_url(&cluster.url(), network).await,
            join_url(&cluster.url(), network).await,
        ];
        let first = traces(&one).append("a").await.unwrap();
        let (next, at) = tokio::join!(
            timeout(BY_PUSH, traces(&other).next(first)),
            traces(&one).append("b")
        );
        let next = next.expect("it is pushed").unwrap();
        assert_eq!(next, [(at.unwrap(), "b".to_owned())]);
        traces(&one).clear().await.unwrap();
        one.close().await.unwrap();
        other.close().await.unwrap();
    }
}
