//! Leases: how they are renewed, restored, lost and freed while Redis is up.

mod moving;

use std::time::{Duration, Instant};

use virtnet_core::{Cause, Lost, Registry};
use virtnet_registry_redis::{RedisOptions, RedisRegistry};
use virtnet_testkit::redis::{Proxy, RedisServer};

use crate::calls::*;

const ADDR: &str = "10.0.0.2:4433";
const KEY: &str = "virtnet:{n}:a";

/// What "within five seconds" may take on a busy machine.
const HEALED: Duration = Duration::from_secs(7);

fn left(server: &RedisServer, key: &str) -> i64 {
    server.command(&["PTTL", key])[0][1..].parse().unwrap()
}

async fn next_lost(registry: &RedisRegistry) -> Lost {
    let lost = tokio::time::timeout(BOUND, registry.lost()).await;
    lost.expect("the loss is reported")
}

#[tokio::test]
async fn what_is_being_closed_holds_nothing() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let registry = join_url(&proxy.url(), "n").await;
    registry.announce("a", ADDR).await.unwrap();
    proxy.hold_answers(true);
    let mut close = registry.close();
    assert!(poll_at_most(1, close.as_mut()).await.is_none());
    assert!(!registry.holds("a"), "it may be free from now on");
    proxy.hold_answers(false);
    close.await.unwrap();
    assert_eq!(server.get(KEY), None);
}

#[tokio::test]
async fn terms_by_which_no_name_could_be_held_are_refused_at_join() {
    let server = RedisServer::start();
    for options in [timing(50, 10, 10), timing(5000, 4000, 2000)] {
        let joined = RedisRegistry::connect(&server.url(), "n", options).await;
        let err = joined.unwrap_err();
        assert_eq!((err.op(), err.cause()), ("connect", Cause::Other));
        assert!(err.to_string().contains("lease"), "{err}");
    }
}

#[tokio::test]
async fn a_name_is_leased_and_kept_for_as_long_as_it_is_renewed() {
    let server = RedisServer::start();
    let registry = join(&server, "n").await;
    registry.announce("a", ADDR).await.unwrap();
    assert!((14_000..=15_000).contains(&left(&server, KEY)));
    registry.close().await.unwrap();

    let registry = join_with(&server.url(), "n", timing(2_000, 100, 1_000)).await;
    registry.announce("a", ADDR).await.unwrap();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(3_000) {
        assert!(server.get(KEY).is_some() && registry.holds("a"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!registry.holds("b") && !registry.holds(""));
    registry.close().await.unwrap();
    assert!(!registry.holds("a"), "it was closed");
    assert_eq!(server.keys(), [""; 0]);
}

/// Lets a server lose everything; returns how long it took to restore it.
async fn healed(remember: Duration, forget: impl FnOnce(&mut RedisServer)) -> Duration {
    let mut server = RedisServer::start();
    let mut options = RedisOptions::default();
    options.remember = remember;
    let registry = join_with(&server.url(), "n", options).await;
    let names: Vec<_> = (0..50).map(|n| format!("h{n}")).collect();
    for name in &names {
        registry.announce(name, ADDR).await.unwrap();
    }
    let value = server.get("virtnet:{n}:h7");
    let begin = Instant::now();
    forget(&mut server);
    let other = join(&server, "n").await;
    if let Err(missing) = other.query("h7").await {
        assert_eq!(missing.cause(), Cause::NoSuchHost);
    }
    eventually("all names are back", || server.keys().len() == 50).await;
    let took = begin.elapsed();
    assert!(took < HEALED, "{took:?}");
    assert_eq!(
        server.get("virtnet:{n}:h7"),
        value,
        "it is the same owner's"
    );
    assert_eq!(other.query("h7").await.unwrap(), ADDR);
    assert!(names.iter().all(|name| registry.holds(name)));
    assert!(poll_at_most(1, registry.lost().as_mut()).await.is_none());
    for registry in [other, registry] {
        registry.close().await.unwrap();
    }
    assert_eq!(server.keys(), [""; 0]);
    took
}

#[tokio::test]
async fn a_server_that_forgot_everything_is_told_again() {
    // With pushes, which report a flush; and without.
    for remember in [Duration::from_secs(5), Duration::ZERO] {
        let flushed = healed(remember, |server| drop(server.command(&["FLUSHALL"]))).await;
        let restarted = healed(remember, RedisServer::restart).await;
        // Heard of, it does not wait for the next renewal.
        assert!(remember.is_zero() || flushed.max(restarted) < Duration::from_secs(3));
        let pushes = if remember.is_zero() {
            "no pushes"
        } else {
            "pushes"
        };
        let row = format!("FLUSHALL, restarted empty ({pushes})");
        let what = format!("50 names healed after {flushed:.1?}, {restarted:.1?} [5 s]");
        figure(&row, &what);
    }
}

/// A flush of another database, or of an empty one, is reported too, and costs a renewal.
#[tokio::test]
async fn a_flush_that_is_not_ours_costs_nothing_but_a_renewal() {
    let server = RedisServer::start();
    let registry = join_with(&server.url(), "n", timing(60_000, 30_000, 2_000)).await;
    registry.announce("a", ADDR).await.unwrap();
    let value = server.get(KEY);
    server.commands(&[&["PEXPIRE", KEY, "30000"], &["SELECT", "5"], &["FLUSHDB"]]);
    eventually("it is renewed", || left(&server, KEY) > 40_000).await;
    assert!(registry.holds("a"));
    assert_eq!(server.get(KEY), value);
    assert_eq!(registry.query("a").await.unwrap(), ADDR);
    registry.close().await.unwrap();
}

#[tokio::test]
async fn a_name_that_another_took_is_lost_and_left_alone() {
    let server = RedisServer::start();
    let registry = join_with(&server.url(), "n", timing(15_000, 50, 2_000)).await;
    let other = join(&server, "n").await;
    for name in ["a", "b", "kept"] {
        registry.announce(name, ADDR).await.unwrap();
    }
    // Deleted and taken in one step, so that no renewal comes between.
    let theirs = format!("10.9.9.9:1 owner={}#1", "0".repeat(32));
    for key in [KEY, "virtnet:{n}:b"] {
        server.command(&["SET", key, &theirs, "PX", "60000"]);
    }
    // A call that is dropped takes nothing with it.
    assert!(poll_at_most(1, registry.lost().as_mut()).await.is_none());
    let mut lost = [next_lost(&registry).await, next_lost(&registry).await];
    lost.sort_by(|one, other| one.hostname.cmp(&other.hostname));
    for (lost, name) in lost.iter().zip(["a", "b"]) {
        assert_eq!(lost.hostname, name);
        assert_eq!(lost.reason.cause(), Cause::HostAlreadyRegistered);
        let reason = lost.reason.to_string();
        assert!(reason.contains("at \"10.9.9.9:1\""), "{reason}");
        assert!(!registry.holds(name));
    }
    assert!(registry.holds("kept"));
    let before = left(&server, KEY);
    let stats = || server.command(&["INFO", "commandstats"]).remove(0);
    let renewals = || {
        let stats = stats();
        let eval = stats.lines().find(|line| line.starts_with("cmdstat_eval:"));
        let calls = eval.and_then(|line| line.split(['=', ',']).nth(1));
        calls.map_or(0, |calls| calls.parse::<u64>().unwrap())
    };
    let then = renewals();
    eventually("it goes on renewing", || renewals() > then + 3).await;
    assert!(
        left(&server, KEY) <= before,
        "another's lease is not extended"
    );
    registry.close().await.unwrap();
    assert_eq!(server.get(KEY).as_ref(), Some(&theirs), "nor freed");
    assert_eq!(server.keys(), [KEY, "virtnet:{n}:b"]);
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_lost_name_can_be_announced_again_once_it_is_free() {
    let server = RedisServer::start();
    let registry = join_with(&server.url(), "n", timing(15_000, 20, 2_000)).await;
    registry.announce("a", ADDR).await.unwrap();
    server.command(&["SET", KEY, "by hand"]);
    let lost = next_lost(&registry).await;
    assert!(lost.reason.to_string().contains("no registry wrote"));
    assert!(
        poll_at_most(1, registry.lost().as_mut()).await.is_none(),
        "it is reported once"
    );
    let err = registry.announce("a", ADDR).await.unwrap_err();
    assert_eq!(err.cause(), Cause::HostAlreadyRegistered);
    server.command(&["DEL", KEY]);
    registry.announce("a", ADDR).await.unwrap();
    assert!(registry.holds("a"));
    registry.close().await.unwrap();
    assert_eq!(server.keys(), [""; 0]);
}

#[tokio::test]
async fn a_clean_close_frees_names_at_once_those_under_renewal_too() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let mut longest = Duration::ZERO;
    for round in 0..20 {
        let registry = join_with(&proxy.url(), "n", timing(2_000, 10, 500)).await;
        for name in 0..100 {
            registry.announce(&format!("h{name}"), ADDR).await.unwrap();
        }
        if round % 2 == 0 {
            // A renewal is on its way now, whose answer will not come.
            proxy.hold_answers(true);
            tokio::time::sleep(Duration::from_millis(15)).await;
            proxy.hold_answers(false);
        }
        let begin = Instant::now();
        registry.close().await.unwrap();
        longest = longest.max(begin.elapsed());
        assert_eq!(server.keys(), [""; 0], "round {round}");
    }
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    let what = format!("100 names free after {longest:.1?} at the most, in 20 rounds [100 ms]");
    figure("clean close", &what);
}

#[tokio::test]
async fn a_host_restarted_on_a_new_port_is_found_there() {
    let server = RedisServer::start();
    let dialer = join(&server, "n").await;
    let mut longest = Duration::ZERO;
    for port in 1..50 {
        let place = format!("10.0.0.2:{port}");
        let registry = join(&server, "n").await;
        registry.announce("a", &place).await.unwrap();
        let begin = Instant::now();
        while dialer.query("a").await.ok() != Some(place.clone()) {
            assert!(begin.elapsed() < BOUND);
        }
        longest = longest.max(begin.elapsed());
        registry.close().await.unwrap();
    }
    dialer.close().await.unwrap();
    let what = format!("found on the new port after {longest:.1?} at the most, in 49 restarts");
    figure("restarted after a clean close", &what);
}

#[tokio::test]
async fn a_policy_that_may_drop_names_is_warned_of_at_join() {
    for (policy, is_warned) in [
        ("noeviction", false),
        ("volatile-lru", true),
        ("allkeys-lfu", true),
    ] {
        let server = RedisServer::start_with(&["--maxmemory-policy", policy]);
        let registry = join(&server, "n").await;
        let warnings = registry.warnings();
        let names_it = warnings.iter().any(|warning| warning.contains(policy));
        assert_eq!(names_it, is_warned, "{warnings:?}");
        figure("eviction policy", &format!("{policy}: {warnings:?}"));
        registry.close().await.unwrap();
    }
    // Who may not ask is not warned, and joins.
    let server = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    server.command(&["ACL", "SETUSER", "default", "-info"]);
    let joined = RedisRegistry::connect(&server.url(), "n", RedisOptions::default()).await;
    assert!(joined.unwrap().warnings().is_empty());
}
