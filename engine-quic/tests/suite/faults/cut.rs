//! Cuts that last: what dials and both ends of a connection report.
//!
//! Owns silence, in both directions or in one.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{interval, timeout};
use virtnet_core::{Cause, Conn, Engine};

use super::SLACK;
use super::world::World;
use crate::common::HANG;

const IDLE: Duration = Duration::from_secs(2);

/// A dial is not refused, and does not hang: it times out as if a cable were pulled. The system was asked to
/// send nothing, so the error blames nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dial_times_out_within_its_bound() {
    const BOUND: Duration = Duration::from_secs(1);
    let dials = ["cut β -> α", "cut α -> β", "lose * -> * 100%"].map(async |plan| {
        let world = World::new(|config| config.dial_timeout(BOUND)).await;
        let real = world.net.real_addr("α");
        let mut kept = Vec::new();
        // The first without a QUIC connection, the second on one that is there.
        for pooled in [false, true] {
            world.enforce(plan);
            let since = Instant::now();
            let err = world.beta.dial("α:1").await.unwrap_err();
            let took = since.elapsed();
            assert_eq!(err.cause(), Cause::TimedOut, "{plan}: {err}");
            let expected = format!(
                "dial net β:{}->α:1: no answer from host \"α\" at {real} within 1s",
                1 + u16::from(pooled)
            );
            assert_eq!(err.to_string(), expected, "{plan}");
            assert!(BOUND <= took && took < BOUND + SLACK, "{plan}: {took:?}");
            world.enforce("");
            let connected = timeout(HANG, world.connect_soon()).await.unwrap();
            // Its ports stay taken, and its QUIC connection is the next dial's.
            kept.push(connected);
        }
        drop(kept);
        world.close().await;
    });
    let [one, other, third] = dials;
    tokio::join!(one, other, third);
}

/// Writes now and then, and reads, until an error.
async fn until_cut(conn: Conn) -> std::io::Error {
    let (mut reader, mut writer) = conn.into_split();
    let mut tick = interval(IDLE / 20);
    let writing = async {
        loop {
            tick.tick().await;
            if let Err(err) = writer.write_all(b"x").await {
                return err;
            }
        }
    };
    let reading = async {
        loop {
            match reader.read(&mut [0; 64]).await {
                Ok(0) => panic!("a cut is no end of file"),
                Ok(_) => {}
                Err(err) => return err,
            }
        }
    };
    tokio::select! {
        err = writing => err,
        err = reading => err,
    }
}

/// One direction is enough to end a connection, as acknowledgements are missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ends_time_out() {
    let cuts = ["cut β -> α\ncut α -> β", "cut β -> α", "cut α -> β"].map(async |plan| {
        let idle = |config: virtnet_engine_quic::QuicConfig| {
            config.idle_timeout(IDLE).keep_alive(IDLE / 4)
        };
        let world = World::new(idle).await;
        assert!(
            world
                .engines
                .iter()
                .all(|engine| engine.idle_bound() == IDLE)
        );
        let (dialed, accepted) = world.connect().await;
        world.enforce(plan);
        let since = Instant::now();
        let both = async { tokio::join!(until_cut(dialed), until_cut(accepted)) };
        let (one, other) = timeout(HANG, both).await.unwrap();
        for err in [one, other] {
            assert_eq!(err.kind(), ErrorKind::TimedOut, "{plan}: {err}");
        }
        // The end that hears the other's last words may start its time only then.
        let took = since.elapsed();
        assert!(took < 2 * IDLE + SLACK, "{plan}: {took:?}");
        world.enforce("");
        drop(timeout(HANG, world.connect()).await.unwrap());
        world.close().await;
    });
    let [one, other, third] = cuts;
    tokio::join!(one, other, third);
}
