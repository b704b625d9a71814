//! A server under sentinels, with one failover after the other.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use virtnet_core::{Cause, Registry};
use virtnet_registry_redis::{RedisOptions, RedisRegistry};
use virtnet_testkit::redis::{NAME, RedisServer, Sentinels, agreed, free_port};

use crate::calls::*;

const ADDR: &str = "10.0.0.2:4433";
const ELSEWHERE: &str = "10.0.0.3:4433";

/// Leases that end within the patience of a test.
fn short() -> RedisOptions {
    let mut options = RedisOptions::default();
    options.lease = Duration::from_secs(4);
    options.renewal = Duration::from_millis(200);
    options.deadline = Duration::from_millis(500);
    options
}

async fn join_short(url: &str) -> RedisRegistry {
    let joined = RedisRegistry::connect(url, "n", short()).await;
    joined.unwrap_or_else(|err| panic!("{}", chain(&err)))
}

/// Announces as soon as the registry lets us.
async fn announce(registry: &RedisRegistry, hostname: &str) {
    let until = Instant::now() + BOUND;
    while let Err(err) = registry.announce(hostname, ELSEWHERE).await {
        let passes = [Cause::RegistryDown, Cause::HostAlreadyRegistered];
        assert!(passes.contains(&err.cause()), "{}", chain(&err));
        assert!(Instant::now() < until, "{}", chain(&err));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_promoted_replica_is_followed() {
    let fleet = Sentinels::start().await;
    let before = tasks();
    let host = join_short(&fleet.url()).await;
    let dialer = join_short(&fleet.url()).await;
    assert!(format!("{host:?}").contains(&fleet.url()));
    host.announce("a", ADDR).await.unwrap();
    assert_eq!(dialer.query("a").await.unwrap(), ADDR);
    let replicated = || fleet.replica.get("virtnet:{n}:a").is_some();
    eventually("the replica has it", replicated).await;

    // Its connections stay and are silent: nothing says that it is gone.
    fleet.primary.pause();
    let cut = Instant::now();
    announce(&host, "b").await;
    println!(
        "announced again {:?} after the primary fell silent",
        cut.elapsed()
    );
    agreed("all sentinels name it", || {
        fleet.named() == Some(fleet.replica.port())
    })
    .await;
    // Nobody has to find out by waiting for an answer in vain.
    assert_eq!(dialer.requery("b", ELSEWHERE).await.unwrap(), None);
    assert_eq!(dialer.query("b").await.unwrap(), ELSEWHERE);
    assert_eq!(dialer.query("a").await.unwrap(), ADDR);
    assert!(host.holds("a"));

    // A drop is led there as well.
    drop(host);
    assert_eq!(fleet.replica.keys(), [""; 0]);
    dialer.close().await.unwrap();
    assert_eq!(fleet.replica.keys(), [""; 0]);
    eventually("all tasks ended", || tasks() == before).await;
}

/// A primary that was replaced takes writes for some ten seconds more, from all
/// who are connected to it. They must not be fooled.
#[tokio::test]
async fn a_primary_that_was_replaced_is_left_at_once() {
    let fleet = Sentinels::start().await;
    let (host, contender) = (
        join_short(&fleet.url()).await,
        join_short(&fleet.url()).await,
    );
    host.announce("a", ADDR).await.unwrap();
    let sentinel = &fleet.sentinels[0];
    agreed("it may be replaced", || {
        sentinel.command(&["SENTINEL", "FAILOVER", NAME]) == ["+OK"]
    })
    .await;
    agreed("it is", || fleet.named() == Some(fleet.replica.port())).await;

    let begin = Instant::now();
    let mut fooled = Duration::ZERO;
    while begin.elapsed() < 2 * short().lease {
        if let Ok(()) = contender.announce("a", ELSEWHERE).await {
            panic!(
                "taken after {:?}, {} the host held it",
                begin.elapsed(),
                host.holds("a")
            );
        }
        if fleet.replica.get("virtnet:{n}:a").is_none() {
            fooled = begin.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "the former primary is still a {} after {:?}; the name was missing for {fooled:?}",
        fleet.primary.command(&["ROLE"])[0],
        begin.elapsed(),
    );
    assert!(host.holds("a"));
    announce(&host, "b").await;
    let keys = ["a", "b"].map(|name| format!("virtnet:{{n}}:{name}"));
    assert_eq!(fleet.replica.keys(), keys);
    host.close().await.unwrap();
    contender.close().await.unwrap();
    assert_eq!(fleet.replica.keys(), [""; 0]);
}

/// The announcement never reaches the replica that takes over, and a contender
/// takes the name there: the one that lost it must notice within its lease.
#[tokio::test]
async fn a_failover_that_lost_the_announcement_leaves_one_holder() {
    let mut fleet = Sentinels::start().await;
    let host = join_short(&fleet.url()).await;
    let contender = join_short(&fleet.url()).await;
    // Cut off from now on.
    let nowhere = free_port().to_string();
    fleet.replica.command(&["REPLICAOF", "127.0.0.1", &nowhere]);
    host.announce("a", ADDR).await.unwrap();
    assert_eq!(fleet.replica.get("virtnet:{n}:a"), None);

    fleet.primary.kill();
    let cut = Instant::now();
    let taken = async {
        announce(&contender, "a").await;
        cut.elapsed()
    };
    // Both outcomes are right: that the host's renewal came first, or that it
    // lost the name. That neither happens, or both, is not.
    let outcome = tokio::select! {
        taken = taken => Some(taken),
        () = eventually_renewed(&fleet.replica) => None,
    };
    if let Some(taken) = outcome {
        let lost = timeout(short().lease, host.lost())
            .await
            .expect("within a lease");
        let both = cut.elapsed() - taken;
        println!("taken after {taken:?}; both held it for {both:?} at most");
        assert_eq!(lost.hostname, "a");
        assert!(!host.holds("a") && contender.holds("a"));
        assert_eq!(
            host.requery("a", ADDR).await.unwrap().as_deref(),
            Some(ELSEWHERE)
        );
    } else {
        println!("renewed {:?} after the primary was killed", cut.elapsed());
        assert!(host.holds("a"));
    }
    host.close().await.unwrap();
    contender.close().await.unwrap();
    assert_eq!(fleet.replica.keys(), [""; 0]);
}

async fn eventually_renewed(server: &RedisServer) {
    let holds = || {
        server
            .get("virtnet:{n}:a")
            .is_some_and(|value| value.starts_with(ADDR))
    };
    eventually("the host's name is there again", holds).await;
}

/// With replication in order, a contender gets the name only once the lease has
/// ended, and at no time do both hold it.
#[tokio::test]
async fn at_no_time_two_hold_a_name() {
    let fleet = Sentinels::start().await;
    // It knows one sentinel, which will be silent: it cannot follow.
    let lost = fleet.sentinels[0].port();
    let alone = format!("redis+sentinel://127.0.0.1:{lost}/{NAME}");
    let (host, contender) = (join_short(&alone).await, join_short(&fleet.url()).await);
    host.announce("a", ADDR).await.unwrap();
    let replicated = || fleet.replica.get("virtnet:{n}:a").is_some();
    eventually("the replica has it", replicated).await;

    fleet.sentinels[0].pause();
    fleet.primary.pause();
    let cut = Instant::now();
    let mut ended = None;
    let watch = async {
        loop {
            if !host.holds("a") {
                ended.get_or_insert_with(|| cut.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = announce(&contender, "a") => {}
        () = watch => unreachable!("it watches for ever"),
    }
    let taken = cut.elapsed();
    println!("given up after {ended:?}, taken by another after {taken:?}");
    assert!(!host.holds("a") && contender.holds("a"));
    assert!(
        ended.is_some_and(|ended| ended < taken),
        "{ended:?}, {taken:?}"
    );

    // It comes back, and is told.
    fleet.sentinels[0].resume();
    fleet.primary.resume();
    let lost = timeout(BOUND, host.lost()).await.expect("it finds out");
    assert_eq!(lost.hostname, "a");
    assert!(!host.holds("a") && contender.holds("a"));
    host.close().await.unwrap();
    contender.close().await.unwrap();
}
