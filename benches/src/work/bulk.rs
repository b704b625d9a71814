//! Bulk: many bytes one way, over one connection or over 64.
//!
//! Owns the clock, which runs from the first write until the server has said how
//! much it read. Never counts what the client alone believes.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::contender::{Client, Contender, Stream, pair};
use crate::spec::{Metric, Spec};
use crate::stats::median;

const CONNS: usize = 64;

/// Connects, and has the server wait for `total` bytes.
async fn announce<C: Client>(client: &C, total: u64) -> Result<C::Conn> {
    let mut conn = client.dial().await?;
    conn.write_u64(total).await?;
    conn.flush().await?;
    ensure!(conn.read_u8().await? == 1, "the server is not ready");
    Ok(conn)
}

async fn timed(conn: &mut impl Stream, total: u64, start: Instant) -> Result<Duration> {
    conn.send(total).await?;
    let heard = conn.read_u64().await?;
    let took = start.elapsed();
    ensure!(heard == total, "the server read {heard} of {total}");
    Ok(took)
}

fn speed(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / took.as_secs_f64() / 1e6
}

pub async fn one<C: Contender>(spec: &Spec) -> Result<Vec<Metric>> {
    let client = pair::<C>(spec).await?;
    let speed = speed_of(&client, spec.size(1 << 30, 256 << 20)).await?;
    Ok(vec![spec.metric("", "MB/s", speed)])
}

/// The speed of so many bytes over one connection, in MB/s.
pub async fn speed_of<C: Client>(client: &C, total: u64) -> Result<f64> {
    let mut conn = announce(client, total).await?;
    let took = timed(&mut conn, total, Instant::now()).await?;
    Ok(speed(total, took))
}

/// All by one clock, so that who has to wait for its turn is slow; the total is
/// until the last has ended.
pub async fn many<C: Contender>(spec: &Spec) -> Result<Vec<Metric>> {
    let each = spec.size(1 << 30, 256 << 20) / CONNS as u64;
    let client = pair::<C>(spec).await?;
    let mut conns = Vec::new();
    for _ in 0..CONNS {
        conns.push(announce(&client, each).await?);
    }
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for mut conn in conns {
        tasks.spawn(async move { timed(&mut conn, each, start).await });
    }
    let mut speeds = Vec::new();
    while let Some(took) = tasks.join_next().await {
        speeds.push(speed(each, took??));
    }
    let total = speed(each * CONNS as u64, start.elapsed());
    let mean = speeds.iter().sum::<f64>() / speeds.len() as f64;
    let slowest = speeds.iter().copied().fold(f64::INFINITY, f64::min);
    ensure!(
        speeds.len() == CONNS && median(&speeds) > 0.0,
        "a speed of none"
    );
    Ok(vec![
        spec.metric("", "MB/s", total),
        spec.metric("-slowest", "of the mean", slowest / mean),
    ])
}
