//! Delays, rates and corruption over pipes.
//!
//! Owns what arrives when, and in which shape. Never loses a byte.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};
use virtnet_core::pipe::PIPE_CAPACITY;
use virtnet_core::{Cause, Conn};

use crate::faults::net::{DIAL, Net, SECOND, cause, hangs, reads, takes, works, writes};

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn bytes_and_ends_arrive_later() {
    let net = Net::new().await;
    let (mut dialed, mut accepted) = net.connect().await;
    net.set("delay α -> β 50ms");
    writes(&mut dialed, "x").await;
    takes(50 * MS, reads(&mut accepted, "x")).await;
    // The other way is not delayed.
    writes(&mut accepted, "y").await;
    takes(Duration::ZERO, reads(&mut dialed, "y")).await;
    // What is sent in between arrives in between: a delay is no queue of one message.
    let write = async {
        for byte in [b"a", b"b", b"c"] {
            dialed.write_all(byte).await.unwrap();
            sleep(10 * MS).await;
        }
        drop(dialed);
    };
    let read = async {
        for (time, byte) in [(50, "a"), (10, "b"), (10, "c")] {
            takes(time * MS, reads(&mut accepted, byte)).await;
        }
        let end = takes(10 * MS, accepted.read(&mut [0])).await;
        assert_eq!(end.unwrap(), 0);
    };
    tokio::join!(write, read);
}

#[tokio::test(start_paused = true)]
async fn a_half_close_is_delayed_and_what_is_on_its_way_stays_so() {
    let net = Net::new().await;
    let (mut dialed, mut accepted) = net.connect().await;
    net.set("delay α -> β 50ms");
    writes(&mut dialed, "late").await;
    net.heal();
    writes(&mut dialed, " later").await;
    dialed.shutdown().await.unwrap();
    hangs(49 * MS, accepted.read_u8()).await;
    let mut text = String::new();
    takes(MS, accepted.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "late later");
    writes(&mut accepted, "back").await;
    reads(&mut dialed, "back").await;
    let (mut dialed, mut accepted) = net.connect().await;
    net.set("delay α -> β 50ms");
    dialed.shutdown().await.unwrap();
    let end = takes(50 * MS, accepted.read(&mut [0])).await;
    assert_eq!(end.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dial_takes_both_ways() {
    let net = Net::new().await;
    net.set("delay α -> β 50ms\ndelay β -> α 20ms");
    let (dialed, accepted) = tokio::join!(
        takes(70 * MS, net.alpha.dial("β:1")),
        takes(50 * MS, net.listener.accept()),
    );
    drop((dialed.unwrap(), accepted.unwrap()));
    let refused = takes(70 * MS, net.alpha.dial("β:9")).await.unwrap_err();
    assert_eq!(refused.cause(), Cause::ConnectionRefused);
    // Given up while the answer is on its way.
    let given_up = tokio::time::timeout(60 * MS, net.alpha.dial("β:1"));
    let (dialed, accepted) = tokio::join!(given_up, net.listener.accept());
    dialed.unwrap_err();
    let read = accepted.unwrap().0.read_u8().await;
    assert_eq!(cause(read), Cause::ConnectionCut);
    net.set("delay α -> β 2s\ndelay β -> α 2s");
    let late = takes(DIAL, net.alpha.dial("β:1")).await.unwrap_err();
    assert_eq!(late.cause(), Cause::TimedOut);
    assert_eq!(net.listener.pending(), 0);
}

/// Writes bulk and reads it; returns how long it took, and checks every byte.
async fn bulk(dialed: &mut Conn, accepted: &mut Conn, bytes: usize) -> Duration {
    let data: Vec<u8> = (0..bytes).map(|i| (i % 251) as u8).collect();
    let (start, mut read) = (Instant::now(), vec![0; bytes]);
    let (wrote, got) = tokio::join!(dialed.write_all(&data), accepted.read_exact(&mut read));
    wrote.unwrap();
    got.unwrap();
    assert!(read == data, "byte by byte");
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_delay_limits_the_rate_to_what_a_pipe_holds_and_no_further() {
    let net = Net::new().await;
    let (mut dialed, mut accepted) = net.connect().await;
    net.set("delay α -> β 50ms");
    let took = bulk(&mut dialed, &mut accepted, 20 * PIPE_CAPACITY).await;
    assert!((20 * 50 * MS..=20 * 52 * MS).contains(&took), "{took:?}");
    net.heal();
    takes(
        Duration::ZERO,
        bulk(&mut dialed, &mut accepted, 20 * PIPE_CAPACITY),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn jitter_is_seeded_and_keeps_the_order() {
    let mut runs = Vec::new();
    for seed in [1, 1, 2] {
        let net = Net::new().await;
        let (mut dialed, mut accepted) = net.connect().await;
        net.set(&format!(
            "seed {seed}\ndelay α -> β 10ms jitter 80ms tail 10% 100ms"
        ));
        let mut times = Vec::new();
        for _ in 0..50 {
            let start = Instant::now();
            dialed.write_all(&[7; 1_200]).await.unwrap();
            accepted.read_exact(&mut [0; 1_200]).await.unwrap();
            times.push(start.elapsed().as_millis());
        }
        assert!(times.iter().all(|time| *time >= 10), "{times:?}");
        assert!(times.iter().any(|time| *time > 50), "{times:?}");
        net.set(&format!("seed {seed}\ndelay α -> β 0ms jitter 500ms"));
        bulk(&mut dialed, &mut accepted, 100_000).await;
        runs.push(times);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_within_a_few_percent() {
    for (plan, bytes) in [
        ("rate α -> β 10MB/s", 10_000_000),
        ("rate α -> β 100kB/s", 100_000),
        ("rate α -> β 1MB/s port 1", 1_000_000),
        ("rate α:1 -> β:2 1MB/s", 1_000_000),
    ] {
        let net = Net::new().await;
        let (mut dialed, mut accepted) = net.connect().await;
        net.set(plan);
        let took = bulk(&mut dialed, &mut accepted, bytes).await;
        assert!((950 * MS..=1_050 * MS).contains(&took), "{plan}: {took:?}");
        // The other way is free.
        let took = bulk(&mut accepted, &mut dialed, bytes).await;
        assert_eq!(took, Duration::ZERO, "{plan}");
        net.heal();
        assert_eq!(
            bulk(&mut dialed, &mut accepted, bytes).await,
            Duration::ZERO
        );
    }
}

#[tokio::test(start_paused = true)]
async fn connections_of_a_pair_share_a_rate() {
    let net = Net::new().await;
    let (mut one, mut one_accepted) = net.connect().await;
    let (mut other, mut other_accepted) = net.connect().await;
    net.set("rate α -> β 1MB/s");
    let both = async {
        tokio::join!(
            bulk(&mut one, &mut one_accepted, 500_000),
            bulk(&mut other, &mut other_accepted, 500_000),
        )
    };
    let start = Instant::now();
    both.await;
    let took = start.elapsed();
    assert!((950 * MS..=1_050 * MS).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn one_bit_of_some_bytes_is_wrong_the_same_for_the_same_seed() {
    let mut runs = Vec::new();
    for (seed, chunk) in [(1, 10_000), (1, 77), (2, 10_000)] {
        let net = Net::new().await;
        let (mut dialed, mut accepted) = net.connect().await;
        net.set(&format!("seed {seed}\ncorrupt α -> β 1%"));
        dialed.write_all(&[0; 10_000]).await.unwrap();
        let mut read = Vec::new();
        while read.len() < 10_000 {
            let mut part = vec![0; chunk.min(10_000 - read.len())];
            accepted.read_exact(&mut part).await.unwrap();
            read.extend(part);
        }
        let wrong: Vec<_> = (0..).zip(&read).filter(|(_, byte)| **byte != 0).collect();
        assert!((50..200).contains(&wrong.len()), "{}", wrong.len());
        assert!(wrong.iter().all(|(_, byte)| byte.count_ones() == 1));
        assert_eq!(net.counted("bytes_corrupted"), wrong.len() as u64);
        runs.push(
            wrong
                .iter()
                .map(|(at, byte)| (*at, **byte))
                .collect::<Vec<(usize, u8)>>(),
        );
        works((accepted, dialed)).await;
    }
    assert_eq!(runs[0], runs[1], "by byte, not by read");
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test(start_paused = true)]
async fn corruption_begins_after_its_bytes() {
    let net = Net::new().await;
    let (mut dialed, mut accepted) = net.connect().await;
    net.set("corrupt α -> β 100% after 1000B");
    dialed.write_all(&[0; 2_000]).await.unwrap();
    let mut read = [0; 2_000];
    accepted.read_exact(&mut read).await.unwrap();
    let wrong = read.iter().position(|byte| *byte != 0);
    assert_eq!((wrong, read[1_000..].contains(&0)), (Some(1_000), false));
    sleep(SECOND).await;
}
