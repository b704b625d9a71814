//! What virtnet asks the registry's server for, beside the bare calls.
//!
//! Owns that the two are in turn, in one loop: what a single call takes hangs
//! on which thread sleeps, and another process is another roll of the dice.
//! Never compares calls of two processes.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use redis::Cmd;
use redis::aio::MultiplexedConnection;
use tokio::time::sleep;
use virtnet::Registry;
use virtnet::redis::{RedisOptions, RedisRegistry};

use super::dial;
use crate::contender::virt::Virtnet;
use crate::contender::{Client, pair};
use crate::spec::{Metric, Spec};
use crate::stats::{micros, percentile};

/// What a new host does after it was returned, such as its certificate, is over by then: neither
/// call pays for the other.
const SETTLE: Duration = Duration::from_millis(1);

/// Measures what has a bare call beside it; otherwise returns nothing.
pub async fn measure(spec: &Spec) -> Option<Result<Vec<Metric>>> {
    match (spec.base(), spec.contender.as_str()) {
        ("first-lookup", "virtnet") => Some(lookups(spec).await),
        ("newhost", "virtnet") => Some(new_hosts(spec).await),
        _ => None,
    }
}

/// Bare calls on a multiplexed connection, and what each took.
struct Bare {
    redis: MultiplexedConnection,
    took: Vec<f64>,
}

impl Bare {
    async fn connect(spec: &Spec) -> Result<Bare> {
        let client = redis::Client::open(spec.redis.as_str())?;
        let redis = client.get_multiplexed_async_connection().await?;
        let took = Vec::new();
        Ok(Bare { redis, took })
    }

    async fn call(&mut self, command: &Cmd, expected: &str) -> Result<()> {
        let start = Instant::now();
        let answer: Option<String> = command.query_async(&mut self.redis).await?;
        self.took.push(micros(start.elapsed()));
        let answer = answer.as_deref();
        ensure!(answer == Some(expected), "another answer: {answer:?}");
        Ok(())
    }
}

/// No virtnet has keys like these.
fn key(spec: &Spec, number: usize) -> String {
    format!("{}:bare:{number}", spec.network)
}

fn set(key: &str, value: &str) -> Cmd {
    let mut set = redis::cmd("SET");
    set.arg(key).arg(value).arg("NX").arg("PX").arg(15_000);
    set
}

/// Names that another member announced, each asked for once, in turn with a
/// bare GET; and once more, by virtnet alone.
async fn lookups(spec: &Spec) -> Result<Vec<Metric>> {
    let connect = || RedisRegistry::connect(&spec.redis, &spec.network, RedisOptions::default());
    let (there, here) = (connect().await?, connect().await?);
    let mut bare = Bare::connect(spec).await?;
    let names: Vec<String> = (0..spec.size(1_000, 300))
        .map(|n| format!("h{n}"))
        .collect();
    let place = |name: &str| format!("127.0.0.1:{}", name.len());
    for (number, name) in names.iter().enumerate() {
        there.announce(name, &place(name)).await?;
        bare.call(&set(&key(spec, number), &place(name)), "OK")
            .await?;
    }
    bare.took.clear();
    let (mut first, mut known) = (Vec::new(), Vec::new());
    for (number, name) in names.iter().enumerate() {
        first.push(lookup(&here, name, &place(name)).await?);
        let get = redis::cmd("GET").arg(key(spec, number)).clone();
        bare.call(&get, &place(name)).await?;
    }
    for name in &names {
        known.push(lookup(&here, name, &place(name)).await?);
    }
    Ok(vec![
        spec.metric("", "µs", percentile(&mut first, 0.5)),
        spec.metric_of("redis", "µs", percentile(&mut bare.took, 0.5)),
        spec.metric("-known", "µs", percentile(&mut known, 0.5)),
    ])
}

async fn lookup(registry: &RedisRegistry, name: &str, expected: &str) -> Result<f64> {
    let start = Instant::now();
    let answer = registry.query(name).await?;
    let took = micros(start.elapsed());
    ensure!(answer == expected, "another answer: {answer:?}");
    Ok(took)
}

/// New hosts of one process, in turn with a bare SET NX; all stay.
async fn new_hosts(spec: &Spec) -> Result<Vec<Metric>> {
    let client = pair::<Virtnet>(spec).await?;
    let mut bare = Bare::connect(spec).await?;
    let (mut took, mut kept) = (Vec::new(), Vec::new());
    for number in 0..dial::new_host_count(spec) {
        sleep(SETTLE).await;
        let start = Instant::now();
        kept.push(client.another(number).await?);
        took.push(micros(start.elapsed()));
        sleep(SETTLE).await;
        bare.call(&set(&key(spec, number), "value"), "OK").await?;
    }
    dial::are_hosts(&kept).await?;
    Ok(vec![
        spec.metric("", "µs", percentile(&mut took, 0.5)),
        spec.metric_of("redis", "µs", percentile(&mut bare.took, 0.5)),
    ])
}
