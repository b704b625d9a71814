//! Dials: one after another, 64 at once, and first ones.
//!
//! Owns what counts as a dial, and what as an exchange. Never counts the time
//! that dropping a connection takes, unless other dials wait for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::contender::{Client, Contender, Stream, pair};
use crate::spec::{Metric, Spec};
use crate::stats::{micros, percentile};

const AT_ONCE: usize = 64;

/// What a new connection is timed until.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The dialer knows that the other side's application took it. Where the
    /// dial doesn't tell, that takes a request and its reply.
    Taken,
    /// A request has its reply.
    Replied,
}

pub async fn one<C: Client>(client: &C, until: Until, seed: usize) -> Result<Duration> {
    let start = Instant::now();
    let _conn = if until == Until::Taken && C::Conn::CONFIRMS {
        client.dial().await?
    } else {
        client.exchange(seed).await?
    };
    Ok(start.elapsed())
}

/// One after another, after some that warm up; in microseconds.
pub async fn times<C: Client>(client: &C, until: Until, count: usize) -> Result<Vec<f64>> {
    let mut took = Vec::with_capacity(count);
    for seed in 0..count / 10 + count {
        let elapsed = one(client, until, seed).await?;
        if seed >= count / 10 {
            took.push(micros(elapsed));
        }
    }
    Ok(took)
}

pub async fn serial<C: Contender>(spec: &Spec, until: Until) -> Result<Vec<Metric>> {
    let client = pair::<C>(spec).await?;
    let mut took = times(&client, until, spec.size(3_000, 500)).await?;
    // Those that ended without a request did it no harm.
    one(&client, Until::Replied, 1).await?;
    Ok(vec![
        spec.metric("-p50", "µs", percentile(&mut took, 0.5)),
        spec.metric("-p99", "µs", percentile(&mut took, 0.99)),
    ])
}

pub async fn at_once<C: Contender>(spec: &Spec, until: Until) -> Result<Vec<Metric>> {
    let each = spec.size(100, 30);
    let client = Arc::new(pair::<C>(spec).await?);
    times(&*client, until, 50).await?;
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for task in 0..AT_ONCE {
        let client = Arc::clone(&client);
        tasks.spawn(async move {
            for number in 0..each {
                one(&*client, until, task * each + number).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let rate = (AT_ONCE * each) as f64 / start.elapsed().as_secs_f64();
    one(&*client, Until::Replied, 1).await?;
    Ok(vec![spec.metric("", "1/s", rate)])
}

/// First dials of 64 clients that have nothing open, several times over.
pub async fn first<C: Contender>(spec: &Spec) -> Result<Vec<Metric>> {
    let batches = spec.size(4, 2);
    let client = pair::<C>(spec).await?;
    times(&client, Until::Taken, 10).await?;
    let mut took = Vec::new();
    for batch in 0..batches {
        let barrier = Arc::new(Barrier::new(AT_ONCE));
        let mut tasks = JoinSet::new();
        for task in 0..AT_ONCE {
            let number = batch * AT_ONCE + task;
            let (client, barrier) = (client.another(number).await?, Arc::clone(&barrier));
            tasks.spawn(async move {
                barrier.wait().await;
                let elapsed = one(&client, Until::Taken, number).await?;
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

pub fn new_host_count(spec: &Spec) -> usize {
    spec.size(300, 100)
}

/// New hosts of one process, one after another; all stay.
pub async fn new_hosts<C: Contender>(spec: &Spec) -> Result<Vec<Metric>> {
    let client = pair::<C>(spec).await?;
    let (mut took, mut kept) = (Vec::new(), Vec::new());
    for number in 0..new_host_count(spec) {
        let start = Instant::now();
        kept.push(client.another(number).await?);
        took.push(micros(start.elapsed()));
    }
    are_hosts(&kept).await?;
    Ok(vec![spec.metric("", "µs", percentile(&mut took, 0.5))])
}

/// Some of them dial.
pub async fn are_hosts<C: Client>(made: &[C]) -> Result<()> {
    for host in made.iter().step_by(50) {
        one(host, Until::Replied, 1).await?;
    }
    Ok(())
}
