//! Failovers that lose an announcement: replication is asynchronous, and the promoted replica
//! had not received it.

use std::time::Instant;

use virtnet_core::{Cause, Registry};
use virtnet_testkit::redis::{Proxy, RedisServer};

use crate::calls::*;

const ADDR: &str = "10.0.0.2:4433";
const KEY: &str = "virtnet:{n}:a";

/// A primary, its replica, and the address that leads to the primary.
struct Pair {
    primary: RedisServer,
    replica: RedisServer,
    proxy: Proxy,
}

impl Pair {
    async fn start() -> Pair {
        let (primary, replica) = (RedisServer::start(), RedisServer::start());
        replica.command(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]);
        let proxy = Proxy::start(primary.port()).await;
        Pair {
            primary,
            replica,
            proxy,
        }
    }

    /// Cuts the replica's link and promotes it. The primary does not know.
    fn promote(&self) {
        self.replica.command(&["REPLICAOF", "NO", "ONE"]);
    }

    /// The old primary is gone, and the address leads to the new one.
    fn fail_over(&mut self) {
        self.proxy.redirect(self.replica.port());
        self.primary.kill();
    }
}

#[tokio::test]
async fn a_lost_announcement_is_made_again() {
    let mut pair = Pair::start().await;
    let registry = join_url(&pair.proxy.url(), "n").await;
    registry.announce("kept", ADDR).await.unwrap();
    eventually("the replica has it", || pair.replica.keys().len() == 1).await;
    pair.promote();
    registry.announce("a", ADDR).await.unwrap();
    let value = pair.primary.get(KEY);
    assert_eq!(pair.replica.get(KEY), None, "it was lost");
    pair.fail_over();
    let begin = Instant::now();
    if let Err(missing) = registry.query("a").await {
        assert_eq!(missing.cause(), Cause::NoSuchHost, "{}", chain(&missing));
    }
    eventually("it is there again", || pair.replica.get(KEY).is_some()).await;
    let took = begin.elapsed();
    assert_eq!(pair.replica.get(KEY), value);
    assert!(registry.holds("a") && registry.holds("kept"));
    let what = format!("announced again after {took:.1?} [5 s]");
    figure("failover that lost the announce", &what);
    registry.close().await.unwrap();
    assert_eq!(pair.replica.keys(), [""; 0]);
}

#[tokio::test]
async fn a_lost_announcement_that_another_made_meanwhile_is_lost() {
    let mut pair = Pair::start().await;
    let registry = join_url(&pair.proxy.url(), "n").await;
    registry.announce("kept", ADDR).await.unwrap();
    eventually("the replica has it", || pair.replica.keys().len() == 1).await;
    pair.promote();
    registry.announce("a", ADDR).await.unwrap();
    // Before the first is led there too, which then announces the name again.
    let other = join(&pair.replica, "n").await;
    other.announce("a", "10.0.0.3:1").await.unwrap();
    let begin = Instant::now();
    pair.fail_over();
    let lost = tokio::time::timeout(BOUND, registry.lost()).await;
    let lost = lost.expect("the loss is reported");
    let both = begin.elapsed();
    assert_eq!(lost.hostname, "a");
    assert!(!registry.holds("a") && registry.holds("kept") && other.holds("a"));
    let what = format!("two holders for {both:.1?} after it, then the first lost it");
    figure("failover that lost the announce, name taken", &what);
    registry.close().await.unwrap();
    assert_eq!(other.query("a").await.unwrap(), "10.0.0.3:1");
    other.close().await.unwrap();
    assert_eq!(pair.replica.keys(), [""; 0]);
}

/// What the tests themselves ask goes through a server that hangs up on everybody, as
/// sentinels have one do that they give another part.
#[test]
fn helpers_outlast_a_server_that_hangs_up() {
    let server = RedisServer::start();
    server.command(&["SET", "k", "v"]);
    std::thread::scope(|scope| {
        let hang_up = || {
            for _ in 0..300 {
                server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
            }
        };
        let hanging_up = scope.spawn(hang_up);
        while !hanging_up.is_finished() {
            assert_eq!(server.get("k").as_deref(), Some("v"));
        }
    });
}
