//! Cached lookups: they cost no round trip, and stay correct.
//!
//! The server itself counts the commands that reach it.

use std::time::{Duration, Instant};

use virtnet_core::{Cause, Registry, RegistryError};
use virtnet_registry_redis::{RedisOptions, RedisRegistry};
use virtnet_testkit::redis::{Proxy, RedisServer};

use crate::calls::*;

const ADDR: &str = "10.0.0.2:4433";
const ELSEWHERE: &str = "10.0.0.3:4433";

/// How often the server was asked: once for each question. A server that counts all of
/// `CLIENT` together adds one for each connection.
fn questions(server: &RedisServer) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]).remove(0);
    let calls = |of: &str| {
        let of = format!("cmdstat_{of}:calls=");
        stats
            .lines()
            .find_map(|line| line.strip_prefix(&*of).map(str::to_owned))
    };
    let line = calls("client|caching").or_else(|| calls("client"));
    let line = line.as_deref();
    let calls = line.and_then(|line| line.split(',').next());
    calls.map_or(0, |calls| calls.parse().expect("a number"))
}

fn remembering(millis: u64) -> RedisOptions {
    let mut options = RedisOptions::default();
    options.remember = Duration::from_millis(millis);
    options
}

/// A registry that forgets so late that nothing here is due to time.
async fn join_to_remember(url: &str) -> RedisRegistry {
    join_network_to_remember(url, "n").await
}

/// The same, of a network that no other test of this process has: what is announced in one
/// registry is forgotten by all caches of the process, so that others would add questions.
async fn join_network_to_remember(url: &str, network: &str) -> RedisRegistry {
    let joined = RedisRegistry::connect(url, network, remembering(3_600_000)).await;
    joined.unwrap_or_else(|err| panic!("{}", chain(&err)))
}

fn no_such_host(answer: &Result<String, RegistryError>) -> bool {
    answer
        .as_ref()
        .is_err_and(|err| err.cause() == Cause::NoSuchHost)
}

#[tokio::test]
async fn the_second_query_asks_nobody() {
    let server = RedisServer::start();
    let (host, dialer) = (
        join(&server, "asked-once").await,
        join_network_to_remember(&server.url(), "asked-once").await,
    );
    host.announce("a", ADDR).await.unwrap();
    let before = questions(&server);
    for _ in 0..1_000 {
        assert_eq!(dialer.query("a").await.unwrap(), ADDR);
    }
    assert_eq!(questions(&server) - before, 1);

    // What is not there is asked for each time: it may come at any moment.
    for _ in 0..3 {
        assert!(no_such_host(&dialer.query("b").await));
    }
    assert_eq!(questions(&server) - before, 4);
    host.announce("b", ADDR).await.unwrap();
    assert_eq!(dialer.query("b").await.unwrap(), ADDR);

    // To be asked again, somebody must say that the answer led nowhere.
    assert_eq!(dialer.requery("a", ADDR).await.unwrap(), None);
    assert_eq!(questions(&server) - before, 6);
    let now = dialer.requery("a", ELSEWHERE).await.unwrap();
    assert_eq!(now.as_deref(), Some(ADDR));
    let err = dialer.requery("c", ADDR).await.unwrap_err();
    assert_eq!((err.op(), err.cause()), ("requery", Cause::NoSuchHost));
    host.close().await.unwrap();
    dialer.close().await.unwrap();
}

#[tokio::test]
async fn a_memory_switched_off_asks_each_time() {
    let server = RedisServer::start();
    let registry = RedisRegistry::connect(&server.url(), "n", remembering(0))
        .await
        .unwrap();
    registry.announce("a", ADDR).await.unwrap();
    for _ in 0..3 {
        assert_eq!(registry.query("a").await.unwrap(), ADDR);
    }
    assert_eq!(questions(&server), 0, "nothing is tracked");
    server.command(&["FLUSHALL"]);
    assert!(no_such_host(&registry.query("a").await));
    registry.close().await.unwrap();
}

#[tokio::test]
async fn a_host_that_moved_is_followed_at_once() {
    const ROUNDS: u32 = 500;
    let server = RedisServer::start();
    let dialer = join_to_remember(&server.url()).await;
    let mut stale = 0;
    for round in 0..ROUNDS {
        let place = format!("10.0.0.2:{round}");
        let host = join(&server, "n").await;
        host.announce("a", &place).await.unwrap();
        assert_eq!(dialer.query("a").await.unwrap(), place);
        // From memory, and nothing else.
        assert_eq!(dialer.query("a").await.unwrap(), place);
        host.close().await.unwrap();
        stale += u32::from(!no_such_host(&dialer.query("a").await));
    }
    println!("{stale} of {ROUNDS} queries were before the news of a close");
    assert_eq!(stale, 0);
    dialer.close().await.unwrap();
}

#[tokio::test]
async fn changes_by_others_are_heard_of() {
    let server = RedisServer::start();
    let dialer = join_to_remember(&server.url()).await;
    let value = |place: &str| format!("{place} owner={}#1", "0".repeat(32));
    let set = |place: &str| {
        assert_eq!(
            server.command(&["SET", "virtnet:{n}:a", &value(place)]),
            ["+OK"]
        );
    };
    let changes: [(&str, &[&str]); 4] = [
        ("flushed", &["FLUSHALL"]),
        ("flushed, one database", &["FLUSHDB"]),
        ("deleted", &["DEL", "virtnet:{n}:a"]),
        ("expired", &["PEXPIRE", "virtnet:{n}:a", "10"]),
    ];
    for (what, change) in changes {
        set(ADDR);
        assert_eq!(dialer.query("a").await.unwrap(), ADDR);
        let before = Instant::now();
        server.command(change);
        let until = Instant::now() + BOUND;
        // Without a pause: the push must be read even on this single thread.
        while !no_such_host(&dialer.query("a").await) {
            assert!(Instant::now() < until, "{what}");
        }
        println!("{what}: noticed within {:?}", before.elapsed());
    }
    set(ADDR);
    assert_eq!(dialer.query("a").await.unwrap(), ADDR);
    set(ELSEWHERE);
    let now = dialer.requery("a", ADDR).await.unwrap();
    assert_eq!(now.as_deref(), Some(ELSEWHERE));
    assert_eq!(dialer.query("a").await.unwrap(), ELSEWHERE);
    dialer.close().await.unwrap();
}

#[tokio::test]
async fn without_its_connection_nothing_is_remembered() {
    let mut server = RedisServer::start();
    let dialer = join_to_remember(&server.url()).await;
    let host = join(&server, "n").await;
    host.announce("a", ADDR).await.unwrap();
    assert_eq!(dialer.query("a").await.unwrap(), ADDR);

    // Cut by the server; the name goes while nobody could say so.
    let before = questions(&server);
    server.commands(&[
        &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"],
        &["DEL", "virtnet:{n}:a"],
    ]);
    let until = Instant::now() + BOUND;
    while !no_such_host(&dialer.query("a").await) {
        assert!(Instant::now() < until, "a lost connection is not noticed");
        // What is waited for is in the process under test, which tells nobody.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(questions(&server) > before);

    let host = join(&server, "n").await;
    host.announce("b", ADDR).await.unwrap();
    assert_eq!(dialer.query("b").await.unwrap(), ADDR);
    server.kill();
    let until = Instant::now() + BOUND;
    while dialer.query("b").await.is_ok() {
        assert!(
            Instant::now() < until,
            "a dead server's answers are repeated"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let err = dialer.query("b").await.unwrap_err();
    assert_eq!(err.cause(), Cause::RegistryDown);
    dialer.close().await.unwrap();
}

#[tokio::test]
async fn a_path_that_silently_went_dead_is_trusted_for_a_bounded_time() {
    const REMEMBER: u64 = 300;
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let dialer = RedisRegistry::connect(&proxy.url(), "n", remembering(REMEMBER))
        .await
        .unwrap();
    let host = join(&server, "n").await;
    host.announce("a", ADDR).await.unwrap();
    let asked = Instant::now();
    assert_eq!(dialer.query("a").await.unwrap(), ADDR);
    let answered = Instant::now();

    // No answer and no push comes through any more.
    proxy.freeze_connections();
    host.close().await.unwrap();
    let mut last = asked;
    let err = loop {
        let begin = Instant::now();
        match dialer.query("a").await {
            Ok(answer) => assert_eq!(answer, ADDR),
            Err(err) => break err,
        }
        last = begin;
        assert!(asked.elapsed() < BOUND, "it is trusted for ever");
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert_eq!(err.cause(), Cause::RegistryDown, "{}", chain(&err));
    let trusted = last.duration_since(answered);
    println!("trusted for {trusted:?} of {REMEMBER} ms");
    assert!(trusted <= Duration::from_millis(REMEMBER), "{trusted:?}");
    // The call that took too long was the last on that connection.
    assert!(no_such_host(&dialer.query("a").await));
    dialer.close().await.unwrap();
}

#[tokio::test]
async fn a_flood_of_names_is_answered_and_forgotten() {
    const NAMES: usize = 10_000;
    let server = RedisServer::start();
    let dialer = join_network_to_remember(&server.url(), "flood").await;
    let value = format!("{ADDR} owner={}#1", "0".repeat(32));
    let keys: Vec<_> = (0..NAMES)
        .map(|n| format!("virtnet:{{flood}}:h{n}"))
        .collect();
    let sets: Vec<_> = keys.iter().map(|key| ["SET", key, &value]).collect();
    let sets: Vec<&[&str]> = sets.iter().map(|set| &set[..]).collect();
    server.commands(&sets);
    let before = questions(&server);
    for n in 0..NAMES {
        assert_eq!(dialer.query(&format!("h{n}")).await.unwrap(), ADDR);
    }
    let asked = || questions(&server) - before;
    assert_eq!(asked(), NAMES as u64);
    // The latest are known, the earliest are not: no more than so many are kept.
    assert_eq!(
        dialer.query(&format!("h{}", NAMES - 1)).await.unwrap(),
        ADDR
    );
    assert_eq!(asked(), NAMES as u64);
    assert_eq!(dialer.query("h0").await.unwrap(), ADDR);
    assert_eq!(asked(), NAMES as u64 + 1);
    dialer.close().await.unwrap();
}
