//! Hosts whose machine gets another address while their names are leased.
//!
//! Owns what is announced then, and which processes are told. Never finds out a real address:
//! the test sets what the source of hostdata returns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use virtnet_core::Registry;
use virtnet_registry_redis::HostdataSource;
use virtnet_testkit::redis::RedisServer;

use super::{ADDR, KEY};
use crate::calls::*;

const MOVED: &str = "10.0.0.7:4433";

/// A machine whose address changes once, and cannot be found out after that.
#[derive(Default)]
struct Machine {
    moves: AtomicBool,
    moved: AtomicBool,
}

#[async_trait]
impl HostdataSource for Machine {
    async fn refresh(&self) -> Option<String> {
        if self.moved.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let moves = self.moves.load(Ordering::Relaxed);
        self.moved.store(moves, Ordering::Relaxed);
        moves.then(|| "it moved".to_owned())
    }

    fn current(&self, hostdata: &str) -> Option<String> {
        let elsewhere = self.moved.load(Ordering::Relaxed) && hostdata == ADDR;
        elsewhere.then(|| MOVED.to_owned())
    }
}

#[tokio::test]
async fn a_host_that_moves_is_announced_elsewhere_and_held_throughout() {
    let server = RedisServer::start();
    let machine = Arc::new(Machine::default());
    let mut options = timing(3_000, 100, 1_000);
    options.hostdata_source = Some(machine.clone());
    let registry = join_with(&server.url(), "n", options).await;
    let dialer = join(&server, "n").await;
    registry.announce("a", ADDR).await.unwrap();
    registry.announce("named", "alpha:4433").await.unwrap();
    let before = server.get(KEY).unwrap();
    assert_eq!(dialer.query("a").await.unwrap(), ADDR);

    machine.moves.store(true, Ordering::Relaxed);
    let begin = Instant::now();
    // A process that has looked it up is told: nothing is looked up twice.
    while dialer.query("a").await.unwrap() != MOVED {
        assert!(registry.holds("a"));
        assert!(begin.elapsed() < BOUND, "announced elsewhere");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    figure("a host that moves", &format!("{:?}", begin.elapsed()));
    assert_eq!(server.get(KEY).unwrap(), before.replace(ADDR, MOVED));
    assert_eq!(dialer.query("named").await.unwrap(), "alpha:4433");

    // A new host is announced with the new address at once; and renewals do not wait for a
    // source that does not return.
    registry.announce("b", ADDR).await.unwrap();
    assert_eq!(dialer.query("b").await.unwrap(), MOVED);
    server.command(&["FLUSHALL"]);
    eventually("all is there again", || server.keys().len() == 3).await;
    assert_eq!(server.get(KEY).unwrap(), before.replace(ADDR, MOVED));
    registry.close().await.unwrap();
    assert_eq!(server.keys(), [""; 0]);
}
