//! The end of a cut: bytes flow at once, and none is lost.
//!
//! Owns cuts that end before the idle timeout.

use std::ops::Add;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Barrier, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use virtnet_core::Conn;

use super::SLACK;
use super::world::World;
use crate::common::relay::bytes;
use crate::common::{HANG, eventually, figure};

const CUTS: [&str; 3] = ["cut α -> β\ncut β -> α", "cut α -> β", "cut β -> α"];

/// Both write, every 10 ms or without pause. Returns how long after the end of the cut this end reads again.
///
/// It writes until both have read: the other end may have read all that was written before the end of
/// the cut was noted.
async fn reads_again(
    conn: Conn,
    bulk: bool,
    healed: watch::Receiver<Option<Instant>>,
    both: Arc<Barrier>,
) -> (Duration, impl Sized) {
    let (mut reader, mut writer) = conn.into_split();
    let writing = async {
        let piece = vec![7; if bulk { 64 << 10 } else { 16 }];
        let mut tick = interval(Duration::from_millis(10));
        loop {
            if !bulk {
                tick.tick().await;
            }
            writer.write_all(&piece).await.unwrap();
        }
    };
    let reading = async {
        let mut buf = vec![0; 64 << 10];
        let took = loop {
            assert!(reader.read(&mut buf).await.unwrap() > 0);
            let healed = *healed.borrow();
            if let Some(healed) = healed {
                break healed.elapsed();
            }
        };
        both.wait().await;
        took
    };
    let took = tokio::select! {
        () = writing => unreachable!("it goes on"),
        took = reading => took,
    };
    // The other end may still wait for what was written: nothing is closed here.
    (took, (reader, writer))
}

async fn time_to_flow(plan: &str, lasts: Duration, bulk: bool) -> Duration {
    let world = World::new(|config| config).await;
    let (dialed, accepted) = world.connect().await;
    let (healed, healing) = watch::channel(None);
    let both = Arc::new(Barrier::new(2));
    let mut ends = JoinSet::new();
    for conn in [dialed, accepted] {
        ends.spawn(reads_again(conn, bulk, healing.clone(), both.clone()));
    }
    // Traffic before it, so that QUIC knows the path.
    sleep(Duration::from_millis(300)).await;
    world.enforce(plan);
    sleep(lasts).await;
    assert!(world.counts().iter().all(|counts| counts.hit > 0));
    world.enforce("");
    healed.send_replace(Some(Instant::now()));
    let ends = timeout(HANG, ends.join_all()).await.unwrap();
    ends.iter().map(|(took, _)| *took).max().unwrap()
}

/// Without help, QUIC would be silent for up to four seconds after five seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_cut_bytes_flow_at_once() {
    let lasts = Duration::from_secs(5);
    let mut all = JoinSet::new();
    for (bulk, plan) in CUTS
        .map(|plan| (false, plan))
        .into_iter()
        .chain([(true, CUTS[0])])
    {
        all.spawn(async move { (bulk, plan, time_to_flow(plan, lasts, bulk).await) });
    }
    while let Some(done) = all.join_next().await {
        let (bulk, plan, took) = done.unwrap();
        figure(
            "end of a cut",
            format!("{plan:?}, bulk {bulk}: bytes after {took:.1?}"),
        );
        assert!(took < SLACK, "{plan:?}, bulk {bulk}: {took:?}");
    }
}

/// A cut ends by itself, or when it is healed after it has dropped something. Each byte arrives once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flapping_cuts_lose_no_byte() {
    const ROUNDS: usize = 200;
    const PIECE: usize = 8 << 10;
    let world = World::new(|config| config).await;
    let (mut dialed, mut accepted) = world.connect().await;
    for round in 0..ROUNDS {
        let cut = CUTS[round % CUTS.len()];
        let (there, back) = (bytes(round as u64, PIECE), bytes(!round as u64, PIECE));
        let (mut got_there, mut got_back) = (vec![0; PIECE], vec![0; PIECE]);
        let (mut dialed_reads, mut dialed_writes) = dialed.split();
        let (mut accepted_reads, mut accepted_writes) = accepted.split();
        match round % 2 {
            0 => world.enforce(cut),
            _ => world.enforce(&cut.replace('\n', " for 3ms\n").add(" for 3ms")),
        }
        let healing = async {
            if round % 2 == 0 {
                let hit = || world.counts().iter().any(|counts| counts.hit > 0);
                eventually("the cut drops a datagram", hit).await;
                world.enforce("");
            }
        };
        let exchange = async {
            tokio::try_join!(
                dialed_writes.write_all(&there),
                accepted_writes.write_all(&back),
                accepted_reads.read_exact(&mut got_there),
                dialed_reads.read_exact(&mut got_back),
            )
        };
        let both = async { tokio::join!(healing, exchange) };
        let ((), exchanged) = timeout(HANG, both).await.expect("it does not stall");
        exchanged.unwrap();
        assert!(got_there == there && got_back == back, "round {round}");
    }
    drop((dialed, accepted));
    world.close().await;
}
