//! What the registry's server takes for one call, and what a lookup takes.
//!
//! Owns the bare calls that virtnet's are compared with. Never dials.

use std::time::Instant;

use anyhow::{Result, ensure};
use redis::aio::MultiplexedConnection;
use virtnet::Registry;
use virtnet::redis::{RedisOptions, RedisRegistry};

use crate::spec::{Metric, Spec};
use crate::stats::{micros, percentile};

/// Measures what has no connections; otherwise returns nothing.
pub async fn measure(spec: &Spec) -> Option<Result<Vec<Metric>>> {
    match (spec.base(), spec.contender.as_str()) {
        ("first-lookup", "virtnet") => Some(lookups(spec).await),
        ("first-lookup", "redis") => Some(gets(spec).await),
        ("newhost", "redis") => Some(sets(spec).await),
        _ => None,
    }
}

fn count(spec: &Spec) -> usize {
    spec.size(1_000, 300)
}

/// Names that another member announced, each asked for once, and once more.
async fn lookups(spec: &Spec) -> Result<Vec<Metric>> {
    let connect = || RedisRegistry::connect(&spec.redis, &spec.network, RedisOptions::default());
    let (there, here) = (connect().await?, connect().await?);
    let names: Vec<String> = (0..count(spec)).map(|n| format!("h{n}")).collect();
    let place = |name: &str| format!("127.0.0.1:{}", name.len());
    for name in &names {
        there.announce(name, &place(name)).await?;
    }
    let mut asked = Vec::new();
    for _ in 0..2 {
        let mut took = Vec::new();
        for name in &names {
            let start = Instant::now();
            let answer = here.query(name).await?;
            took.push(micros(start.elapsed()));
            ensure!(answer == place(name), "another answer: {answer:?}");
        }
        asked.push(percentile(&mut took, 0.5));
    }
    Ok(vec![
        spec.metric("", "µs", asked[0]),
        spec.metric("-known", "µs", asked[1]),
    ])
}

async fn connection(spec: &Spec) -> Result<MultiplexedConnection> {
    let client = redis::Client::open(spec.redis.as_str())?;
    Ok(client.get_multiplexed_async_connection().await?)
}

async fn gets(spec: &Spec) -> Result<Vec<Metric>> {
    let mut redis = connection(spec).await?;
    let mut took = Vec::new();
    for number in 0..count(spec) {
        let key = format!("{}:{number}", spec.network);
        let mut set = redis::cmd("SET");
        set.arg(&key).arg(number).arg("PX").arg(60_000);
        set.query_async::<()>(&mut redis).await?;
        let mut get = redis::cmd("GET");
        get.arg(&key);
        let start = Instant::now();
        let answer: usize = get.query_async(&mut redis).await?;
        took.push(micros(start.elapsed()));
        ensure!(answer == number, "another answer: {answer}");
    }
    Ok(vec![spec.metric("", "µs", percentile(&mut took, 0.5))])
}

async fn sets(spec: &Spec) -> Result<Vec<Metric>> {
    let mut redis = connection(spec).await?;
    let mut took = Vec::new();
    for number in 0..spec.size(300, 100) {
        let mut set = redis::cmd("SET");
        set.arg(format!("{}:{number}", spec.network)).arg("value");
        set.arg("NX").arg("PX").arg(15_000);
        let start = Instant::now();
        let answer: Option<String> = set.query_async(&mut redis).await?;
        took.push(micros(start.elapsed()));
        ensure!(answer.as_deref() == Some("OK"), "the key was taken");
    }
    Ok(vec![spec.metric("", "µs", percentile(&mut took, 0.5))])
}
