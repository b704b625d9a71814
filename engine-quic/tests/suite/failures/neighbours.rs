//! Connections whose readers have stopped, and other connections between the same
//! two hosts.
//!
//! Owns the cost for the others. It is compared within one run, as machines differ.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::timeout;
use virtnet_core::{Cause, OpError};

use super::world::{World, exchange};
use crate::common::{HANG, figure};

const STOPPED: usize = 16;
const NEIGHBOURS: u64 = 4;
const ROUNDS: usize = 5;
const EACH: usize = 1 << 20;

/// All of them exchange their bytes at once.
async fn round(world: &World) -> Duration {
    let mut conns = Vec::new();
    for _ in 0..NEIGHBOURS {
        conns.push(world.connect().await);
    }
    let begun = Instant::now();
    let mut exchanges = JoinSet::new();
    for (seed, (one, other)) in (1..).zip(conns) {
        exchanges.spawn(exchange(one, other, seed, EACH));
    }
    for done in exchanges.join_all().await {
        let () = done;
    }
    begun.elapsed()
}

async fn median(world: &World) -> Duration {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(round(world).await);
    }
    rounds.sort();
    rounds[ROUNDS / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_stopped_cost_their_neighbours_little() {
    let world = World::new(1).await;
    round(&world).await;
    let alone = median(&world).await;
    let (mut stopped, mut unread) = (JoinSet::new(), Vec::new());
    for _ in 0..STOPPED {
        let (mut dialed, accepted) = world.connect().await;
        unread.push(accepted);
        stopped.spawn(async move {
            loop {
                if let Err(err) = dialed.write_all(&[7; 64 << 10]).await {
                    break err;
                }
            }
        });
    }
    let beside = median(&world).await;
    assert!(stopped.try_join_next().is_none(), "there is backpressure");
    figure(
        "one connection whose reader stopped",
        format!(
            "beside {STOPPED} of them {NEIGHBOURS} neighbours pass 8 MiB in {beside:.0?}, \
             without in {alone:.0?}"
        ),
    );
    // Far more than noise; a real stall never ends.
    assert!(beside < 5 * alone, "{beside:?}, {alone:?}");
    drop(unread);
    while let Some(err) = timeout(HANG, stopped.join_next()).await.unwrap() {
        let err = err.unwrap();
        assert_eq!(OpError::of(&err).unwrap().cause(), Cause::BrokenPipe);
    }
    world.close().await;
}
