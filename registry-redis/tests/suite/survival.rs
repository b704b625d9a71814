//! Outages while names are held: what is lost, which process holds a name, and how soon all
//! works again.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use virtnet_core::{Cause, Lost, Registry};
use virtnet_registry_redis::{RedisOptions, RedisRegistry};
use virtnet_testkit::redis::{Proxy, RedisServer, free_port};

use crate::calls::*;

const ADDR: &str = "10.0.0.2:4433";
const KEY: &str = "virtnet:{n}:a";

/// What "within two seconds" and "within five" may take on a busy machine.
const DOWN: Duration = Duration::from_secs(4);
const BACK: Duration = Duration::from_secs(7);

/// Renewed often, but for the rest as by default.
fn often() -> RedisOptions {
    timing(15_000, 300, 2_000)
}

/// A registry that holds the name `a`.
async fn holder(url: &str, options: RedisOptions) -> RedisRegistry {
    let registry = join_with(url, "n", options).await;
    registry.announce("a", ADDR).await.unwrap();
    registry
}

async fn next_lost(registry: &RedisRegistry) -> Lost {
    let lost = tokio::time::timeout(BOUND, registry.lost()).await;
    lost.expect("the loss is reported")
}

/// Calls fail within their bound; returns the longest that one took.
async fn is_down(registry: &RedisRegistry) -> Duration {
    let mut longest = Duration::ZERO;
    for _ in 0..2 {
        let begin = Instant::now();
        let err = registry.query("nobody").await.unwrap_err();
        assert_eq!(err.cause(), Cause::RegistryDown, "{}", chain(&err));
        longest = longest.max(begin.elapsed());
    }
    assert!(longest < DOWN, "{longest:?}");
    longest
}

/// Calls work again, and leases are renewed; returns after what time.
async fn is_back(registry: &RedisRegistry, server: &RedisServer) -> Duration {
    let begin = Instant::now();
    while registry.query("nobody").await.unwrap_err().cause() != Cause::NoSuchHost {
        assert!(begin.elapsed() < BACK);
        sleep(Duration::from_millis(5)).await;
    }
    let called = begin.elapsed();
    // Marked, so that it shows when it is renewed.
    server.command(&["PEXPIRE", KEY, "9000"]);
    let left = || {
        server.command(&["PTTL", KEY])[0][1..]
            .parse::<i64>()
            .unwrap_or(0)
    };
    eventually("the lease is renewed", || {
        left() > 9_000 && registry.holds("a")
    })
    .await;
    let took = begin.elapsed();
    assert!(took < BACK, "{took:?}");
    println!("calls work after {called:.1?}, leases are renewed after {took:.1?}");
    took
}

#[tokio::test]
async fn redis_killed_and_back_empty() {
    let mut server = RedisServer::start();
    let registry = holder(&server.url(), often()).await;
    server.kill();
    let down = is_down(&registry).await;
    // Long enough for the pauses between renewals to have grown.
    sleep(Duration::from_secs(4)).await;
    assert!(registry.holds("a"), "its lease is not over");
    server.restart();
    let back = is_back(&registry, &server).await;
    let what = format!("down within {down:.1?} [2 s], back after {back:.1?} [5 s], no restart");
    figure("Redis down later", &what);
    registry.close().await.unwrap();
    assert_eq!(server.keys(), [""; 0]);
}

#[tokio::test]
async fn redis_stopped_and_going_on() {
    let server = RedisServer::start();
    let registry = holder(&server.url(), often()).await;
    server.pause();
    let down = is_down(&registry).await;
    sleep(Duration::from_secs(1)).await;
    server.resume();
    let back = is_back(&registry, &server).await;
    let what = format!("down within {down:.1?} [2 s], back after {back:.1?} [5 s]");
    figure("Redis silently unreachable (SIGSTOP)", &what);
    registry.close().await.unwrap();
    assert_eq!(server.keys(), [""; 0]);
}

#[tokio::test]
async fn packets_dropped_and_the_path_back() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let registry = holder(&proxy.url(), often()).await;
    proxy.cut_off(true);
    let down = is_down(&registry).await;
    sleep(Duration::from_secs(1)).await;
    // The path is back, but its old connections stay dead.
    proxy.freeze_connections();
    proxy.cut_off(false);
    let back = is_back(&registry, &server).await;
    let what = format!("down within {down:.1?} [2 s], back after {back:.1?} [5 s]");
    figure("Redis silently unreachable (packets dropped)", &what);
    registry.close().await.unwrap();
    assert_eq!(server.keys(), [""; 0]);
}

#[tokio::test]
async fn a_demoted_node_promoted_again() {
    let server = RedisServer::start();
    let registry = holder(&server.url(), often()).await;
    server.command(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]);
    let err = registry.announce("b", ADDR).await.unwrap_err();
    assert!(chain(&err).contains("READONLY"), "{}", chain(&err));
    sleep(Duration::from_secs(1)).await;
    server.command(&["REPLICAOF", "NO", "ONE"]);
    let back = is_back(&registry, &server).await;
    figure("READONLY", &format!("back after {back:.1?} [5 s]"));
    registry.close().await.unwrap();
    assert_eq!(server.keys(), [""; 0]);
}

/// Cuts a holder off, and lets another try to take its name all the time;
/// returns who is cut off, who took it, and prints when it changed hands.
async fn taken_over(
    server: &RedisServer,
    proxy: &Proxy,
) -> (RedisRegistry, RedisRegistry, Duration, Duration) {
    let registry = holder(&proxy.url(), timing(1_500, 200, 500)).await;
    let other = join(server, "n").await;
    proxy.cut_off(true);
    let begin = Instant::now();
    let (mut stopped, mut taken) = (None, None);
    while stopped.is_none() || taken.is_none() {
        assert!(begin.elapsed() < BOUND);
        let got_it = taken.is_none() && other.announce("a", "10.0.0.3:1").await.is_ok();
        let holds = registry.holds("a");
        assert!(!(holds && (got_it || taken.is_some())), "two hold the name");
        if !holds {
            stopped.get_or_insert(begin.elapsed());
        }
        if got_it {
            taken.get_or_insert(begin.elapsed());
        }
        sleep(Duration::from_millis(1)).await;
    }
    (registry, other, stopped.unwrap(), taken.unwrap())
}

#[tokio::test]
async fn cut_off_for_longer_than_its_lease_a_host_stops_before_another_can_have_its_name() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let (registry, other, stopped, taken) = taken_over(&server, &proxy).await;
    let value = server.get(KEY);
    // Now all the renewals arrive that were sent meanwhile.
    proxy.cut_off(false);
    let back = Instant::now();
    let lost = next_lost(&registry).await;
    let told = back.elapsed();
    assert_eq!(lost.hostname, "a");
    assert!(lost.reason.to_string().contains("\"10.0.0.3:1\""));
    assert!(!registry.holds("a") && other.holds("a"));
    registry.close().await.unwrap();
    assert_eq!(server.get(KEY), value, "another's lease is not touched");
    let what = format!(
        "lease of 1.5 s: stopped after {stopped:.2?}, another had it after {taken:.2?}, lost \
         {told:.1?} after the path's return"
    );
    figure("cut off for longer than its lease, taken", &what);
    other.close().await.unwrap();
    assert_eq!(server.keys(), [""; 0]);
}

#[tokio::test]
async fn cut_off_for_longer_than_its_lease_a_host_takes_its_name_back() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let registry = holder(&proxy.url(), timing(1_500, 200, 500)).await;
    proxy.cut_off(true);
    let begin = Instant::now();
    eventually("it does not hold it", || !registry.holds("a")).await;
    let stopped = begin.elapsed();
    eventually("the server gave it up", || server.get(KEY).is_none()).await;
    let gone = begin.elapsed();
    assert!(stopped < gone, "{stopped:?} {gone:?}");
    proxy.cut_off(false);
    let back = Instant::now();
    eventually("it holds it again", || registry.holds("a")).await;
    assert!(server.get(KEY).unwrap().starts_with(ADDR));
    let what = format!("held again {:.1?} after the path's return", back.elapsed());
    figure("cut off for longer than its lease, free", &what);
    assert!(poll_at_most(1, registry.lost().as_mut()).await.is_none());
    registry.close().await.unwrap();
    assert_eq!(server.keys(), [""; 0]);
}

#[tokio::test]
async fn close_in_an_outage_is_bounded_and_names_go_with_their_leases() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let registry = holder(&proxy.url(), timing(1_500, 100, 500)).await;
    proxy.cut_off(true);
    sleep(Duration::from_millis(150)).await;
    let begin = Instant::now();
    let err = registry.close().await.unwrap_err();
    let took = begin.elapsed();
    assert_eq!(err.cause(), Cause::RegistryDown);
    assert!(took < DOWN, "{took:?}");
    assert!(!registry.holds("a"));
    eventually("the name is free", || server.get(KEY).is_none()).await;
    figure(
        "closed while Redis is unreachable",
        &format!("{took:.1?} [0.5 s]"),
    );
}
