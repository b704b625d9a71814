//! Faults: what it costs to set them, and how exactly they are done.
//!
//! Owns the plans. Never measures traffic that no rule is for: `contender/ruled.rs` is for that.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use virtnet::faults::{FaultTable, Plan, Rule};
use virtnet::quic::Secret;

use super::{bulk, pingpong};
use crate::contender::relay::{self, behind_relay};
use crate::contender::tcp::TcpClient;
use crate::contender::virt::{VirtClient, Virtnet, join};
use crate::contender::{Client, pair};
use crate::spec::{Metric, Spec};
use crate::stats::{micros, percentile};

/// The way to Redis on another machine.
const FAR: Duration = Duration::from_millis(1);
const DELAY: Duration = Duration::from_millis(50);
/// Bytes per second.
const RATE: u64 = 10_000_000;
/// The window of a stream and of all that one host sends to another, by default.
const WINDOW: f64 = (2 << 20) as f64;
const LOST: f64 = 0.1;

/// Measures the works of faults; otherwise returns nothing.
pub async fn measure(spec: &Spec) -> Option<Result<Vec<Metric>>> {
    match (spec.base(), spec.contender.as_str()) {
        ("faults-apply", "virtnet") => Some(apply(spec, "redis").await),
        ("faults-apply", "virtnet-far") => Some(apply_far(spec).await),
        ("faults-delay", "virtnet") => Some(delay(spec, under_delay).await),
        ("faults-delay", "tcp-relay") => Some(delay(spec, behind_delay).await),
        ("faults-rate", "virtnet") => Some(rate(spec).await),
        ("faults-lose", "virtnet") => Some(lose(spec)),
        _ => None,
    }
}

/// What the client sends is delayed.
async fn under_delay(spec: Spec) -> Result<VirtClient> {
    ruled(&spec, Rule::delay("client", "server", DELAY)).await
}

async fn behind_delay(spec: Spec) -> Result<TcpClient> {
    behind_relay(&spec, DELAY).await
}

/// A client under a rule.
async fn ruled(spec: &Spec, rule: Rule) -> Result<VirtClient> {
    let client = pair::<Virtnet>(spec).await?;
    client.net().faults().apply_until_healed(rule).await?;
    Ok(client)
}

/// A plan for ten hosts in three subnetworks is set, in turn with a bare GET.
async fn apply(spec: &Spec, redis_is: &str) -> Result<Vec<Metric>> {
    let secret = Secret::random().reveal();
    let (mut nets, mut hosts) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        nets.push(join(spec, &secret).await?);
    }
    for number in 0..10 {
        hosts.push(nets[number % 3].new_host(&format!("h{number}")).await?);
    }
    let client = redis::Client::open(spec.redis.as_str())?;
    let mut redis = client.get_multiplexed_async_connection().await?;
    let faults = nets[0].faults();
    let (mut took, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..spec.size(200, 50) {
        let start = Instant::now();
        let guard = faults.apply(Rule::cut("h*", "h*")).await?;
        took.push(micros(start.elapsed()));
        guard.heal().await?;
        let start = Instant::now();
        let none: Option<String> = redis::cmd("GET")
            .arg("bare")
            .query_async(&mut redis)
            .await?;
        bare.push(micros(start.elapsed()));
        ensure!(none.is_none(), "nobody has set it");
    }
    Ok(vec![
        spec.metric("", "µs", percentile(&mut took, 0.5)),
        spec.metric_of(redis_is, "µs", percentile(&mut bare, 0.5)),
    ])
}

/// The same where Redis is two milliseconds away, as on another machine: round trips count, and
/// not what these processes compute.
async fn apply_far(spec: &Spec) -> Result<Vec<Metric>> {
    let addr = spec.redis.strip_prefix("redis://").context("a URL")?;
    let far = relay::start(addr.parse()?, FAR, FAR).await?;
    let spec = Spec {
        redis: format!("redis://{far}"),
        ..spec.clone()
    };
    apply(&spec, "redis-far").await
}

/// Ping-pong and bulk with a delay one way.
async fn delay<C: Client>(
    spec: &Spec,
    client: impl AsyncFn(Spec) -> Result<C>,
) -> Result<Vec<Metric>> {
    // The server of each does what the work is about.
    let of = |work: &str| Spec {
        work: work.to_owned(),
        network: format!("{}{work}", spec.network),
        ..spec.clone()
    };
    let mut took = pingpong::times(&client(of("pingpong")).await?, spec.size(100, 20)).await?;
    let p50 = percentile(&mut took, 0.5) / 1e3;
    let client = client(of("bulk")).await?;
    let speed = bulk::speed_of(&client, spec.size(256 << 20, 64 << 20)).await?;
    let most = WINDOW / DELAY.as_secs_f64() / 1e6;
    Ok(vec![
        spec.metric("-p50", "ms", p50),
        spec.metric("-bulk", "of the window's limit", speed / most),
    ])
}

async fn rate(spec: &Spec) -> Result<Vec<Metric>> {
    let client = ruled(spec, Rule::rate("client", "server", RATE)).await?;
    let total = spec.size(64 << 20, 16 << 20);
    let speed = bulk::speed_of(&client, total).await?;
    Ok(vec![spec.metric(
        "",
        "of the rate",
        speed * 1e6 / RATE as f64,
    )])
}

/// What a rule decides about 100,000 datagrams, twice.
fn lose(spec: &Spec) -> Result<Vec<Metric>> {
    let decided = || -> Result<u64> {
        let plan = Plan::new().seed(7).with(Rule::lose("α", "β", LOST));
        let table = FaultTable::of(&plan)?;
        let link = table.link("α", "β").expect("it has a rule");
        let now = tokio::time::Instant::now();
        for _ in 0..100_000 {
            let _ = link.send(1_200, now);
        }
        Ok(table.counts().map(|(_, counts)| counts.hit).sum())
    };
    let (lost, again) = (decided()?, decided()?);
    ensure!(lost == again, "{lost} and {again} for one seed");
    Ok(vec![spec.metric(
        "",
        "of those asked for",
        lost as f64 / 1e5 / LOST,
    )])
}
