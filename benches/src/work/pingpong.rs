//! Ping-pong: a few bytes there and back, one at a time.
//!
//! Owns the round trips. Never has two under way.

use std::time::Instant;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::contender::{Client, Contender, pair};
use crate::service::PING;
use crate::spec::{Metric, Spec};
use crate::stats::{micros, percentile};

pub async fn measure<C: Contender>(spec: &Spec) -> Result<Vec<Metric>> {
    let client = pair::<C>(spec).await?;
    let mut took = times(&client, spec.size(20_000, 5_000)).await?;
    Ok(vec![
        spec.metric("-p50", "µs", percentile(&mut took, 0.5)),
        spec.metric("-p99", "µs", percentile(&mut took, 0.99)),
    ])
}

/// What each of so many round trips takes, in µs.
pub async fn times<C: Client>(client: &C, rounds: usize) -> Result<Vec<f64>> {
    let warm = rounds / 10;
    let mut conn = client.dial().await?;
    let mut took = Vec::with_capacity(rounds);
    for round in 0..warm + rounds {
        let ping: [u8; PING] = std::array::from_fn(|at| (round + at) as u8);
        let mut pong = [0; PING];
        let start = Instant::now();
        conn.write_all(&ping).await?;
        conn.flush().await?;
        conn.read_exact(&mut pong).await?;
        let elapsed = start.elapsed();
        ensure!(ping == pong, "pong {round} is not its ping");
        if round >= warm {
            took.push(micros(elapsed));
        }
    }
    Ok(took)
}
