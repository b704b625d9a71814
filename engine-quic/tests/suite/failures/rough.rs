//! Paths that lose, reorder and duplicate datagrams, and paths whose MTU shrinks.
//!
//! Owns paths that are bad but not broken: all data arrives, byte by byte.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use virtnet_core::{Cause, Conn};

use super::SLACK;
use super::world::{World, exchange};
use crate::common::figure;
use crate::common::relay::{Path, bytes, seed};

const KIB: usize = 1 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_reordering_and_duplication() {
    const CONNS: usize = 3;
    const EACH: usize = 256 * KIB;
    let seed = seed();
    let world = World::new(seed).await;
    let mut conns = Vec::new();
    for _ in 0..CONNS {
        conns.push(world.connect().await);
    }
    let mut took = Vec::new();
    for path in [Path::CLEAN, Path::ROUGH] {
        world.relay.set(path);
        let begun = Instant::now();
        let mut exchanges = JoinSet::new();
        for (at, (one, other)) in conns.drain(..).enumerate() {
            exchanges.spawn(exchange(one, other, seed + at as u64, EACH));
        }
        while let Some(done) = exchanges.join_next().await {
            done.unwrap();
        }
        took.push(begun.elapsed());
        for _ in 0..CONNS {
            conns.push(world.connect().await);
        }
    }
    let fates = world.relay.fates();
    assert!(fates.lost > 0 && fates.twice > 0 && fates.late > 0);
    let total = 2 * CONNS * EACH / KIB;
    figure(
        "packet loss 10 %, reordering, duplication",
        format!(
            "{total} KiB both ways byte-exact in {:.1?}, {:.0?} over the clean path; {fates:?}",
            took[1], took[0]
        ),
    );
    world.relay.set(Path::CLEAN);
    world.close().await;
}

/// Each dial succeeds, or reports within its timeout that there was no answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dials_over_a_path_that_loses() {
    const DIALS: usize = 60;
    let world = World::new(seed()).await;
    let (mut slowest, mut failed) = (Duration::ZERO, 0);
    let accepting = async {
        loop {
            // Dials whose confirmation is lost too often are not accepted.
            let (mut conn, _) = world.listener.accept().await.unwrap();
            tokio::spawn(async move {
                let word = conn.read_u32().await;
                if let Ok(word) = word {
                    drop(conn.write_u32(!word).await);
                }
            });
        }
    };
    let dialing = async {
        world.relay.set(Path::ROUGH);
        for word in 0..DIALS as u32 {
            let begun = Instant::now();
            let dialed = world.beta.dial("α:1").await;
            slowest = slowest.max(begun.elapsed());
            match dialed {
                Ok(mut conn) => {
                    conn.write_u32(word).await.unwrap();
                    assert_eq!(conn.read_u32().await.unwrap(), !word);
                }
                Err(err) => {
                    assert_eq!(err.cause(), Cause::TimedOut);
                    failed += 1;
                }
            }
        }
    };
    tokio::select! {
        () = dialing => {}
        () = accepting => unreachable!("it goes on"),
    }
    assert!(slowest < Duration::from_secs(3) + SLACK, "{slowest:?}");
    assert!(failed < DIALS / 4, "{failed} failed");
    figure(
        "packet loss 10 %, dials",
        format!("{DIALS} dials, {failed} failed, the slowest took {slowest:.0?}"),
    );
    world.relay.set(Path::CLEAN);
    world.close().await;
}

async fn pass(from: &mut Conn, to: &mut Conn, sent: &[u8]) {
    let mut received = vec![0; sent.len()];
    let (written, read) = tokio::join!(from.write_all(sent), to.read_exact(&mut received));
    written.unwrap();
    read.unwrap();
    assert!(received == sent, "byte by byte");
}

/// From some moment on, long datagrams vanish without a word; both sides send.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_shrinks_without_a_word() {
    const PIECE: usize = 256 * KIB;
    let seed = seed();
    let world = World::new(seed).await;
    let (mut dialed, mut accepted) = world.connect().await;
    let mut took = Vec::new();
    // QUIC requires 1,200 bytes, so it assumes that they arrive.
    for largest in [usize::MAX, usize::MAX, 1200, 1200, 1200] {
        let path = Path {
            largest,
            delay: Duration::from_millis(1),
            ..Path::CLEAN
        };
        world.relay.set(path);
        let begun = Instant::now();
        let sent = bytes(seed + took.len() as u64, PIECE);
        pass(&mut dialed, &mut accepted, &sent).await;
        pass(&mut accepted, &mut dialed, &sent).await;
        took.push(begun.elapsed());
        // A cut would take this long.
        assert!(begun.elapsed() < Duration::from_secs(10), "{took:?}");
    }
    assert!(world.relay.fates().lost > 0, "there was something to drop");
    figure(
        "the path's MTU shrinks, without ICMP",
        format!(
            "512 KiB took {:.0?} before, {:.0?} at once after, {:.0?} then",
            took[1], took[2], took[4]
        ),
    );
    world.close().await;
}
