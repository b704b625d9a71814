//! The rights that a user needs: those in the documentation are enough, and each one is
//! necessary.

use std::time::Duration;

use virtnet_core::{
    Cause, MAX_TRACE_BATCH, MAX_TRACE_SIZE, Registry, RegistryError, TracePosition,
};
use virtnet_registry_redis::{RedisOptions, RedisRegistry};
use virtnet_testkit::redis::RedisServer;

use crate::calls::*;

const ADDR: &str = "10.0.0.2:4433";
const PASSWORD: &str = "hunter2";

/// Without these nobody joins.
const TO_JOIN: [&str; 12] = [
    "+eval",
    "+get",
    "+set",
    "+del",
    "+pexpire",
    "+pttl",
    "+time",
    "+zadd",
    "+zrem",
    "+zremrangebyscore",
    "+client|tracking",
    "+client|caching",
];
const TO_LIST: [&str; 2] = ["+zscan", "+mget"];
const TO_TRACE: [&str; 4] = ["+xadd", "+xrange", "+xrevrange", "+xdel"];
const TO_BE_WARNED: &str = "+info";

fn let_user(server: &RedisServer, rules: &[&str]) {
    let set = ["ACL", "SETUSER", "pipet", "reset", "on", ">hunter2"];
    assert_eq!(server.command(&[&set[..], rules].concat()), ["+OK"]);
}

fn url(server: &RedisServer) -> String {
    format!("redis://pipet:{PASSWORD}@127.0.0.1:{}", server.port())
}

fn all() -> Vec<&'static str> {
    let mut all = vec!["~virtnet:{pipet}:*"];
    all.extend(TO_JOIN);
    all.extend(TO_LIST);
    all.extend(TO_TRACE);
    all.push(TO_BE_WARNED);
    all
}

async fn connect(server: &RedisServer) -> Result<RedisRegistry, RegistryError> {
    let mut options = RedisOptions::default();
    // Short, so that renewing is part of the test.
    options.lease = Duration::from_millis(1_000);
    options.renewal = Duration::from_millis(20);
    options.deadline = Duration::from_millis(800);
    RedisRegistry::connect(&url(server), "pipet", options).await
}

fn assert_refused(err: &RegistryError, what: &str) {
    let text = chain(err);
    println!("{what}: {text}");
    assert_eq!(err.cause(), Cause::PermissionDenied, "{what}: {text}");
    let speaks_of_rights = ["no permissions", "can't run", "can't access"];
    assert!(
        speaks_of_rights.iter().any(|words| text.contains(words)),
        "{what}: {text}"
    );
    assert!(!text.contains(PASSWORD), "{text}");
}

/// How often the server has run a command that is part of a renewal.
fn renewals(server: &RedisServer) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]).remove(0);
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_zadd:calls="));
    let calls = line.and_then(|line| line.split(',').next());
    calls.map_or(0, |calls| calls.parse().expect("a number"))
}

#[test]
fn the_documentation_names_these_rights() {
    let documentation = include_str!("../../src/lib.rs").replace("\n//!", " ");
    let words: Vec<_> = documentation.split_whitespace().collect();
    let line = ["ACL", "SETUSER", "pipet", "on", ">password", "resetkeys"];
    let at = words.windows(line.len()).position(|words| words == line);
    let rules = &words[at.expect("there is an example") + line.len()..];
    let rules: Vec<_> = rules.iter().take_while(|word| **word != "```").collect();
    let mut expected = all();
    expected.insert(1, "-@all");
    assert_eq!(rules, expected.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn the_rights_that_are_named_are_enough() {
    let server = RedisServer::start();
    let_user(&server, &all());
    let registry = connect(&server)
        .await
        .unwrap_or_else(|err| panic!("{}", chain(&err)));
    registry.announce("a", ADDR).await.unwrap();
    assert_eq!(registry.query("a").await.unwrap(), ADDR);
    assert_eq!(registry.query("a").await.unwrap(), ADDR);
    assert_eq!(registry.requery("a", ADDR).await.unwrap(), None);
    assert_eq!(registry.hosts().await.unwrap().len(), 1);
    let traces = registry.traces().unwrap();
    let first = traces.append("x").await.unwrap();
    assert_eq!(
        traces.next(TracePosition::default()).await.unwrap().len(),
        1
    );
    assert_eq!(traces.last().await.unwrap(), first);
    traces.clear().await.unwrap();
    let before = renewals(&server);
    eventually("it is renewed", || renewals(&server) > before + 3).await;
    assert!(registry.holds("a"));
    registry.close().await.unwrap();
    assert_eq!(server.keys(), [""; 0]);
    // Nothing was tried in vain.
    assert_eq!(server.command(&["ACL", "LOG"]), [""; 0]);
}

#[tokio::test]
async fn one_right_less_is_noticed_at_join() {
    let server = RedisServer::start();
    for missing in TO_JOIN {
        let rules: Vec<_> = all().into_iter().filter(|rule| *rule != missing).collect();
        let_user(&server, &rules);
        let err = connect(&server).await.expect_err(missing);
        assert_refused(&err, missing);
        assert_eq!(server.keys(), [""; 0], "{missing}");
    }
    let mut rules = all();
    rules[0] = "~virtnet:{other}:*";
    let_user(&server, &rules);
    assert_refused(&connect(&server).await.expect_err("keys"), "keys");
}

/// Connects with all rights but one, and announces a host.
async fn announced_without(server: &RedisServer, missing: &str) -> RedisRegistry {
    let rules: Vec<_> = all().into_iter().filter(|rule| *rule != missing).collect();
    let_user(server, &rules);
    let connected = connect(server).await;
    let registry = connected.unwrap_or_else(|err| panic!("{}", chain(&err)));
    registry.announce("a", ADDR).await.unwrap();
    registry
}

#[tokio::test]
async fn without_the_rights_to_list_all_else_works() {
    let server = RedisServer::start();
    for missing in TO_LIST {
        let registry = announced_without(&server, missing).await;
        assert_eq!(registry.query("a").await.unwrap(), ADDR);
        assert_refused(&registry.hosts().await.unwrap_err(), missing);
        registry.close().await.unwrap();
    }
}

#[tokio::test]
async fn without_the_rights_to_trace_all_else_works() {
    let server = RedisServer::start();
    for missing in TO_TRACE {
        let registry = announced_without(&server, missing).await;
        let traces = registry.traces().unwrap();
        // As many as need the right to drop the oldest.
        let batch = "x".repeat(MAX_TRACE_BATCH);
        let append = async || {
            for _ in 0..=MAX_TRACE_SIZE / MAX_TRACE_BATCH {
                traces.append(&batch).await?;
            }
            traces.read(TracePosition::default()).await.map(drop)
        };
        assert_refused(&append().await.unwrap_err(), missing);
        traces.clear().await.unwrap();
        registry.close().await.unwrap();
    }
}

#[tokio::test]
async fn rights_that_are_taken_away_are_no_outage() {
    let server = RedisServer::start();
    let_user(&server, &all());
    let registry = connect(&server).await.unwrap();
    registry.announce("a", ADDR).await.unwrap();
    server.command(&["ACL", "SETUSER", "pipet", "-get"]);
    for err in [
        registry.announce("b", ADDR).await.unwrap_err(),
        registry.query("b").await.unwrap_err(),
        registry.close().await.unwrap_err(),
    ] {
        assert_refused(&err, err.op());
    }
}
