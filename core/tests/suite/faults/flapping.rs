//! Faults that come and go: every byte arrives, in order, once.
//!
//! Owns the long exchanges. Never lets a fault last as long as a bound.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use crate::faults::net::Net;

const ROUNDS: usize = 200;

fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

/// Both ends write and read without pause, while `plan` comes and goes.
async fn flaps(plan: &str) {
    let net = Net::new().await;
    let (dialed, accepted) = net.connect().await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut tasks = tokio::task::JoinSet::new();
    for conn in [dialed, accepted] {
        let (mut reader, mut writer) = conn.into_split();
        let stopped = stopped.clone();
        tasks.spawn(async move {
            let mut at = 0;
            while !*stopped.borrow() {
                let chunk: Vec<u8> = (at..at + 1 + at % 3_000).map(byte).collect();
                writer.write_all(&chunk).await.unwrap();
                at += chunk.len();
                // Others run, and time goes on.
                sleep(Duration::from_millis(1)).await;
            }
            writer.shutdown().await.unwrap();
            at
        });
        tasks.spawn(async move {
            let (mut at, mut buf) = (0, vec![0; 4_096]);
            loop {
                let count = reader.read(&mut buf).await.unwrap();
                if count == 0 {
                    return at;
                }
                for read in &buf[..count] {
                    assert_eq!(*read, byte(at), "byte {at}");
                    at += 1;
                }
            }
        });
    }
    for round in 0..ROUNDS {
        net.set(plan);
        sleep(Duration::from_millis(1 + (round % 7) as u64 * 100)).await;
        net.heal();
        sleep(Duration::from_millis(1 + (round % 3) as u64)).await;
    }
    stop.send(true).unwrap();
    let mut carried = tasks.join_all().await;
    carried.sort_unstable();
    assert!(
        carried[0] > 0 && carried[0] == carried[1] && carried[2] == carried[3],
        "{carried:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn flapping_cuts_lose_nothing() {
    flaps("cut α -> β\ncut β -> α").await;
}

#[tokio::test(start_paused = true)]
async fn flapping_one_way_cuts_lose_nothing() {
    flaps("cut α -> β").await;
}

#[tokio::test(start_paused = true)]
async fn flapping_holds_lose_nothing() {
    flaps("hold α -> β\nhold β -> α").await;
}

#[tokio::test(start_paused = true)]
async fn flapping_delays_and_rates_lose_nothing() {
    flaps("delay α -> β 20ms jitter 50ms\nrate β -> α 1MB/s\ndelay β -> α 5ms").await;
}

/// The same on several threads, with real time.
#[test]
fn flapping_on_several_threads_loses_nothing() {
    for plan in [
        "cut * -> *",
        "hold α -> β",
        "delay * -> * 1ms jitter 2ms",
        "rate * -> * 10MB/s",
    ] {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(3).enable_all().build().unwrap();
        runtime.block_on(async {
            let net = Net::new().await;
            let (mut dialed, mut accepted) = net.connect().await;
            let bytes: Vec<u8> = (0..4_000_000).map(byte).collect();
            let sent = bytes.clone();
            let write = tokio::spawn(async move {
                dialed.write_all(&sent).await.unwrap();
                dialed.shutdown().await.unwrap();
                dialed
            });
            let read = tokio::spawn(async move {
                let mut read = Vec::new();
                accepted.read_to_end(&mut read).await.unwrap();
                read
            });
            for _ in 0..ROUNDS {
                net.set(plan);
                tokio::task::yield_now().await;
                net.heal();
                tokio::task::yield_now().await;
            }
            let (wrote, read) = tokio::join!(write, read);
            wrote.unwrap();
            assert!(read.unwrap() == bytes, "{plan}: byte by byte");
        });
    }
}
