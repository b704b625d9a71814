//! Dials: one after another, 64 at once, and first ones.
//!
//! Owns what counts as a dial: connect, request, reply. Never counts the time
//! that dropping the connection takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::contender::{Client, Contender, pair};
use crate::service::request;
use crate::spec::{Metric, Spec};
use crate::stats::{micros, percentile};

const AT_ONCE: usize = 64;

pub async fn one<C: Client>(client: &C, seed: usize) -> Result<Duration> {
    let start = Instant::now();
    let mut conn = client.dial().await?;
    request(&mut conn, seed).await?;
    Ok(start.elapsed())
}

/// Serial dials after some that warm up; in microseconds.
pub async fn times<C: Client>(client: &C, count: usize) -> Result<Vec<f64>> {
    let mut took = Vec::with_capacity(count);
    for seed in 0..count / 10 + count {
        let elapsed = one(client, seed).await?;
        if seed >= count / 10 {
            took.push(micros(elapsed));
        }
    }
    Ok(took)
}

pub async fn serial<C: Contender>(spec: &Spec) -> Result<Vec<Metric>> {
    let client = pair::<C>(spec).await?;
    let mut took = times(&client, spec.size(3_000, 500)).await?;
    Ok(vec![
        spec.metric("-p50", "µs", percentile(&mut took, 0.5)),
        spec.metric("-p99", "µs", percentile(&mut took, 0.99)),
    ])
}

pub async fn at_once<C: Contender>(spec: &Spec) -> Result<Vec<Metric>> {
    let each = spec.size(100, 30);
    let client = Arc::new(pair::<C>(spec).await?);
    times(&*client, 50).await?;
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for task in 0..AT_ONCE {
        let client = Arc::clone(&client);
        tasks.spawn(async move {
            for number in 0..each {
                one(&*client, task * each + number).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let rate = (AT_ONCE * each) as f64 / start.elapsed().as_secs_f64();
    Ok(vec![spec.metric("", "1/s", rate)])
}

/// First dials of 64 clients that have nothing open, several times over.
pub async fn first<C: Contender>(spec: &Spec) -> Result<Vec<Metric>> {
    let batches = spec.size(4, 2);
    let client = pair::<C>(spec).await?;
    times(&client, 10).await?;
    let mut took = Vec::new();
    for batch in 0..batches {
        let barrier = Arc::new(Barrier::new(AT_ONCE));
        let mut tasks = JoinSet::new();
        for task in 0..AT_ONCE {
            let number = batch * AT_ONCE + task;
            let (client, barrier) = (client.another(number).await?, Arc::clone(&barrier));
            tasks.spawn(async move {
                barrier.wait().await;
                let elapsed = one(&client, number).await?;
                anyhow::Ok((elapsed, client))
            });
        }
        let mut clients = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            let (elapsed, client) = ended??;
            took.push(elapsed.as_secs_f64() * 1e3);
            clients.push(client);
        }
    }
    Ok(vec![
        spec.metric("-p50", "ms", percentile(&mut took, 0.5)),
        spec.metric("-p99", "ms", percentile(&mut took, 0.99)),
    ])
}

/// New hosts of one process, one after another; all stay.
pub async fn new_hosts<C: Contender>(spec: &Spec) -> Result<Vec<Metric>> {
    let client = pair::<C>(spec).await?;
    let count = spec.size(300, 100);
    let (mut took, mut kept) = (Vec::new(), Vec::new());
    for number in 0..count {
        let start = Instant::now();
        kept.push(client.another(number).await?);
        took.push(micros(start.elapsed()));
    }
    // They are hosts indeed.
    for host in kept.iter().step_by(50) {
        one(host, 1).await?;
    }
    Ok(vec![spec.metric("", "µs", percentile(&mut took, 0.5))])
}
