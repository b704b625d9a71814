//! A cluster whose nodes fail, are promoted, and migrate slots.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use virtnet_core::{Cause, Registry, RegistryError};
use virtnet_registry_redis::{RedisOptions, RedisRegistry};
use virtnet_testkit::redis::{Cluster, RedisServer, agreed, is_linked};

use crate::calls::*;

const ADDR: &str = "10.0.0.2:4433";
const ELSEWHERE: &str = "10.0.0.3:4433";
const KEY: &str = "virtnet:{n}:a";

async fn connect(url: &str) -> Result<RedisRegistry, RegistryError> {
    let mut options = RedisOptions::default();
    options.lease = LEASE;
    options.renewal = Duration::from_millis(200);
    options.deadline = Duration::from_millis(500);
    RedisRegistry::connect(url, "n", options).await
}

/// Ends within the patience of a test.
const LEASE: Duration = Duration::from_secs(4);

async fn join_short(url: &str) -> RedisRegistry {
    connect(url)
        .await
        .unwrap_or_else(|err| panic!("{}", chain(&err)))
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

fn at(node: &RedisServer) -> String {
    format!("redis+cluster://127.0.0.1:{}", node.port())
}

#[tokio::test]
async fn every_node_leads_to_the_networks_keys() {
    let cluster = Cluster::start().await;
    let before = tasks();
    // Networks are spread over the nodes; each is at one place.
    let mut homes = [0; 3];
    for network in ["n", "pipet", "quicα", "a b", "x{y}z", "1", "2", "3"] {
        let registry = join_url(&cluster.url(), network).await;
        for name in ["a", "β", "{m}", "a:b"] {
            registry.announce(name, ADDR).await.unwrap();
        }
        assert_eq!(registry.hosts().await.unwrap().len(), 4);
        let counts = cluster.nodes[..3].iter().map(|node| node.keys().len());
        let counts: Vec<_> = counts.collect();
        let home = counts.iter().position(|count| *count == 4);
        homes[home.unwrap_or_else(|| panic!("{network}: {counts:?}"))] += 1;
        registry.close().await.unwrap();
    }
    println!("networks at each node: {homes:?}");
    assert!(homes.iter().all(|count| *count > 0), "{homes:?}");

    let host = join_short(&cluster.url()).await;
    host.announce("a", ADDR).await.unwrap();
    // Replicas too know the way.
    for node in &cluster.nodes {
        let registry = join_short(&at(node)).await;
        for _ in 0..3 {
            assert_eq!(registry.query("a").await.unwrap(), ADDR);
        }
        let err = registry.announce("a", ELSEWHERE).await.unwrap_err();
        assert_eq!(err.cause(), Cause::HostAlreadyRegistered);
        registry.close().await.unwrap();
    }
    // What is not addressed as a cluster is told how to.
    let home = cluster.home(KEY);
    let other = cluster.nodes[(home + 1) % 3].url();
    let err = connect(&other).await.unwrap_err();
    assert!(chain(&err).contains("redis+cluster://"), "{}", chain(&err));
    host.close().await.unwrap();
    eventually("all tasks ended", || tasks() == before).await;
}

#[tokio::test]
async fn a_promoted_replica_is_followed() {
    let cluster = Cluster::start().await;
    let home = cluster.home(KEY);
    let (primary, replica) = (&cluster.nodes[home], &cluster.nodes[home + 3]);
    let (host, dialer) = (
        join_short(&cluster.url()).await,
        join_short(&cluster.url()).await,
    );
    host.announce("a", ADDR).await.unwrap();
    assert_eq!(dialer.query("a").await.unwrap(), ADDR);

    // In agreement: the one hands over to the other, and says so when asked.
    assert_eq!(replica.command(&["CLUSTER", "FAILOVER"]), ["+OK"]);
    agreed("the replica has taken over", || role(replica) == "master").await;
    let begin = Instant::now();
    announce(&host, "b").await;
    println!(
        "announced again {:?} after a promotion in agreement",
        begin.elapsed()
    );
    assert_eq!(dialer.query("a").await.unwrap(), ADDR);
    assert_eq!(dialer.query("b").await.unwrap(), ELSEWHERE);

    // And back, with the link cut: nobody says anything, and nobody is asked.
    agreed("the former primary follows", || is_linked(primary)).await;
    replica.pause();
    let cut = Instant::now();
    agreed("it is promoted", || {
        primary.command(&["CLUSTER", "FAILOVER", "TAKEOVER"]);
        role(primary) == "master"
    })
    .await;
    announce(&host, "c").await;
    println!("announced again {:?} after the link was cut", cut.elapsed());
    assert!(host.holds("a"));
    // What is known may be out of date; who finds it so asks, at most twice.
    if let Err(err) = dialer.requery("c", "").await {
        assert_eq!(err.cause(), Cause::RegistryDown);
    }
    assert_eq!(dialer.query("c").await.unwrap(), ELSEWHERE);
    assert_eq!(
        primary.keys(),
        ["a", "b", "c"].map(|name| format!("virtnet:{{n}}:{name}"))
    );
    replica.resume();
    host.close().await.unwrap();
    dialer.close().await.unwrap();
    assert_eq!(primary.keys(), [""; 0]);
}

#[tokio::test]
async fn a_node_that_dies_is_replaced_by_the_cluster() {
    let mut cluster = Cluster::start().await;
    let home = cluster.home(KEY);
    let host = join_short(&cluster.url()).await;
    host.announce("a", ADDR).await.unwrap();
    let replicated = || cluster.nodes[home + 3].command(&["DBSIZE"]) != [":0"];
    eventually("the replica has it", replicated).await;

    cluster.nodes[home].kill();
    let cut = Instant::now();
    let mut downs = 0;
    while role(&cluster.nodes[home + 3]) != "master" {
        match host.announce(&format!("during{downs}"), ADDR).await {
            Ok(()) => break,
            Err(err) => assert_eq!(err.cause(), Cause::RegistryDown, "{}", chain(&err)),
        }
        downs += 1;
        assert!(cut.elapsed() < BOUND, "nobody takes over");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    announce(&host, "b").await;
    println!("announced again {:?} after the node died", cut.elapsed());
    assert_eq!(host.requery("a", "").await.unwrap().as_deref(), Some(ADDR));
    assert!(host.holds("a"));
    host.close().await.unwrap();
    assert_eq!(cluster.nodes[home + 3].keys(), [""; 0]);
}

/// The replica never hears of the announcement, is promoted, and a contender
/// takes the name there: the one that lost it must notice within its lease.
#[tokio::test]
async fn a_promotion_that_lost_the_announcement_leaves_one_holder() {
    let cluster = Cluster::start().await;
    let home = cluster.home(KEY);
    let (primary, replica) = (&cluster.nodes[home], &cluster.nodes[home + 3]);
    let (host, contender) = (
        join_short(&cluster.url()).await,
        join_short(&cluster.url()).await,
    );
    // The link is cut: the replica is silent while the name is announced, and
    // what was on its way is lost with the connection.
    replica.pause();
    primary.command(&["CONFIG", "SET", "repl-diskless-sync", "no"]);
    primary.command(&["CLIENT", "KILL", "TYPE", "replica"]);
    host.announce("a", ADDR).await.unwrap();
    primary.pause();
    let cut = Instant::now();
    replica.resume();
    agreed("it is promoted", || {
        replica.command(&["CLUSTER", "FAILOVER", "TAKEOVER"]);
        role(replica) == "master"
    })
    .await;
    announce(&contender, "a").await;
    let taken = cut.elapsed();
    let lost = timeout(LEASE, host.lost()).await.expect("within a lease");
    let both = cut.elapsed() - taken;
    println!("taken after {taken:?}; both held it for {both:?} at most");
    assert_eq!(lost.hostname, "a");
    assert!(!host.holds("a") && contender.holds("a"));
    primary.resume();
    host.close().await.unwrap();
    contender.close().await.unwrap();
}

/// What is known goes on, and nobody is kept out; new names have to wait.
#[tokio::test]
async fn a_slot_that_is_on_its_way_is_used_where_its_keys_are() {
    let cluster = Cluster::pair().await;
    let (from, to) = (&cluster.nodes[0], &cluster.nodes[1]);
    let host = join_short(&cluster.url()).await;
    for name in ["a", "b"] {
        host.announce(name, ADDR).await.unwrap();
    }
    let [from_id, to_id] = [from, to].map(|node| node.command(&["CLUSTER", "MYID"]).remove(0));
    let slot = from.command(&["CLUSTER", "KEYSLOT", KEY]).remove(0)[1..].to_owned();
    let set = |node: &RedisServer, how: &[&str]| {
        let command = [&["CLUSTER", "SETSLOT", &slot][..], how].concat();
        assert_eq!(node.command(&command), ["+OK"]);
    };
    set(to, &["IMPORTING", &from_id]);
    set(from, &["MIGRATING", &to_id]);

    // Marked only: everything is still there.
    for url in [cluster.url(), at(from), at(to)] {
        let member = join_short(&url).await;
        let warnings = member.warnings().join(" ");
        assert!(
            warnings.contains("being moved to another node"),
            "{warnings}"
        );
        assert_eq!(member.query("a").await.unwrap(), ADDR);
        assert_eq!(member.hosts().await.unwrap().len(), 2);
        let err = member.query("z").await.unwrap_err();
        assert_eq!(err.cause(), Cause::NoSuchHost, "{}", chain(&err));
        let err = member.announce("z", ELSEWHERE).await.unwrap_err();
        assert_eq!(err.cause(), Cause::RegistryDown);
        assert!(
            chain(&err).contains("being moved to another node"),
            "{}",
            chain(&err)
        );
        let _ = member.close().await;
    }
    // What is held is renewed.
    let left = || from.command(&["PTTL", KEY])[0][1..].parse::<i64>().unwrap();
    assert_eq!(from.command(&["PEXPIRE", KEY, "2500"]), [":1"]);
    agreed("it is renewed", || left() > 2_500).await;
    assert!(host.holds("a") && host.holds("b"));
    // One key has gone ahead.
    let port = to.port().to_string();
    let gone = from.command(&["MIGRATE", "127.0.0.1", &port, KEY, "0", "5000"]);
    assert_eq!(gone, ["+OK"]);
    let member = join_short(&cluster.url()).await;
    for name in ["a", "b"] {
        assert_eq!(member.query(name).await.unwrap(), ADDR, "{name}");
    }
    // And all the others, and the slot.
    for key in from.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]) {
        from.command(&["MIGRATE", "127.0.0.1", &port, &key, "0", "5000"]);
    }
    set(to, &["NODE", &to_id]);
    set(from, &["NODE", &to_id]);
    announce(&member, "z").await;
    assert_eq!(member.query("a").await.unwrap(), ADDR);
    assert!(host.holds("a") && host.holds("b"));
    host.close().await.unwrap();
    // A drop finds the way as well.
    drop(member);
    assert_eq!(to.keys(), [""; 0]);
}

fn role(node: &RedisServer) -> String {
    node.command(&["ROLE"]).remove(0)
}
