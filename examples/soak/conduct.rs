//! The phases of a run: warm-up, baseline, faults, and the comparison with the baseline.
//!
//! Owns their order and the comparison. Never causes a fault itself.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use virtnet::quic::Secret;

use crate::crew::{Kid, Orders};
use crate::faults::{World, carry_out};
use crate::hosts::{Hosts, PROCESSES};
use crate::judge::Judge;
use crate::plan::plan;
use crate::relay::Relays;
use crate::report::{Compared, Report};
use crate::rules;
use crate::wire::{Counts, Figures};
use virtnet_testkit::redis::RedisServer;

/// The warm-up is a short soak: after it, all tables have reached their full size.
const WARM_UP_SECONDS: u64 = 30;
/// Load without faults at the end: within this time names are registered again, and
/// connections to ended processes are closed.
const HEALING: Duration = Duration::from_secs(12);
/// Within this time an idle process frees everything that it does not need. A closed
/// connection lingers for some round trips of the last measured length, which are seconds
/// if the peer was stopped.
const SETTLING: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(500);
/// How much memory may grow, in percent.
const GROWTH: u64 = 5;

/// The arguments.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) hosts: Hosts,
    pub(crate) seconds: u64,
    pub(crate) seed: u64,
    /// How many times the load stops until all processes are idle.
    pub(crate) laps: u64,
    pub(crate) sabotage: String,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            hosts: Hosts::default(),
            seconds: 600,
            seed: 1,
            laps: 1,
            sabotage: "none".to_owned(),
        }
    }
}

pub(crate) async fn run(options: Options) -> Result<ExitCode, String> {
    let Options {
        hosts,
        seconds,
        seed,
        laps,
        ..
    } = options;
    println!("soak: seed {seed}, {hosts} hosts, {seconds} s: start");
    let world = Arc::new(start(options).await?);
    let judge = &world.orders.judge;
    soak(&world, !seed, WARM_UP_SECONDS).await?;
    judge.warm();
    let baseline = idle(&world).await?;
    for kid in &world.crew {
        kid.lock().await.first = true;
    }
    let keys = keys(&world).len();

    show("baseline", &baseline);
    let (mut planned, mut end) = (0, Vec::new());
    for lap in 0..laps {
        planned += soak(&world, seed + lap, seconds / laps).await?;
        end = idle(&world).await?;
        show(&format!("lap {}", lap + 1), &end);
    }
    let keys_at_end = self::keys(&world).len();
    if keys != keys_at_end {
        judge.violation(format!("expected {keys} registry keys, got {keys_at_end}"));
    }
    let compared = compare(&world, &baseline, &end).await;
    let keys_left = close(&world).await?;
    let report = Report {
        seed,
        seconds,
        planned,
        counts: counts(&world),
        keys: [keys, keys_at_end, keys_left],
        compared,
    };
    Ok(report.print(&world))
}

/// The registry's keys. A healed plan of faults stays for a minute.
fn keys(world: &World) -> Vec<String> {
    let mut keys = world.redis(|redis| redis.keys());
    keys.retain(|key| !key.ends_with(":plan"));
    keys
}

async fn start(options: Options) -> Result<World, String> {
    let redis = RedisServer::start();
    let relays = Relays::start(options.hosts, options.seed).await;
    let relays = relays.map_err(|err| format!("no relays: {err}"))?;
    let orders = Orders {
        url: redis.url(),
        secret: Secret::random().reveal().to_string(),
        hosts: options.hosts,
        seed: options.seed,
        sabotage: options.sabotage,
        judge: Arc::new(Judge::new(options.hosts)),
        totals: Arc::default(),
    };
    let mut crew = Vec::new();
    for process in 0..PROCESSES {
        let kid = Kid::start(process, relays.places(process), &orders, true).await?;
        crew.push(AsyncMutex::new(kid));
    }
    for kid in &crew {
        kid.lock().await.rest().await?;
    }
    Ok(World {
        orders,
        relays,
        redis: Mutex::new(redis),
        crew,
    })
}

/// Prints the memory of each process while all are idle.
fn show(when: &str, figures: &[Figures]) {
    let of = |it: &Figures| format!("{} ({})", it.live_bytes, it.live_blocks);
    let all: Vec<_> = figures.iter().map(of).collect();
    println!("soak: {when}, idle: bytes (blocks) {}", all.join(", "));
}

/// Runs load with faults for this long, and then load without faults. Returns how many faults
/// were planned, without rules.
async fn soak(world: &Arc<World>, seed: u64, seconds: u64) -> Result<usize, String> {
    let began = Instant::now();
    let faults = plan(world.orders.hosts, seed, seconds * 1000);
    let planned = faults.len();
    all(world, "go").await?;
    let rules = rules::carry_out(seed, seconds * 1000, world);
    tokio::try_join!(carry_out(faults, world), rules)?;
    sleep(Duration::from_secs(seconds).saturating_sub(began.elapsed())).await;
    sleep(HEALING).await;
    all(world, "probe").await?;
    Ok(planned)
}

/// Sends a command to all children at the same time.
async fn all(world: &Arc<World>, line: &'static str) -> Result<(), String> {
    let mut asked = JoinSet::new();
    for process in 0..PROCESSES {
        let world = Arc::clone(world);
        asked.spawn(async move { world.crew[process].lock().await.ask(line).await.map(drop) });
    }
    while let Some(done) = asked.join_next().await {
        done.map_err(|err| err.to_string())??;
    }
    Ok(())
}

/// Stops the load, and waits until every process has the same as when it was new.
async fn idle(world: &Arc<World>) -> Result<Vec<Figures>, String> {
    all(world, "stop").await?;
    let (until, mut figures) = (Instant::now() + SETTLING, Vec::new());
    for (process, kid) in world.crew.iter().enumerate() {
        let mut kid = kid.lock().await;
        loop {
            let now = kid.figures().await?;
            if counted(&now) == counted(&kid.fresh) {
                break;
            }
            if Instant::now() > until {
                let (open, fresh) = (kid.ask("open").await?, kid.fresh);
                let what = format!("process {process} idle: {now}, fresh: {fresh}; {open:?}");
                world.orders.judge.violation(what);
                break;
            }
            sleep(LOOK).await;
        }
    }
    // Measures all at the same moment, when the last one is idle.
    for kid in &world.crew {
        figures.push(kid.lock().await.figures().await?);
    }
    Ok(figures)
}

/// What must equal the baseline exactly.
fn counted(figures: &Figures) -> [u64; 3] {
    [figures.tasks, figures.sockets, figures.descriptors]
}

/// Compares memory; [`idle`] has compared the counts. Compares the bytes that are allocated
/// and not freed, of which every idle process has the same number, including the processes
/// that replaced killed ones. The resident set depends on the allocator, and is only
/// printed.
async fn compare(world: &World, baseline: &[Figures], end: &[Figures]) -> Vec<Compared> {
    let mut compared = Vec::new();
    for (process, (was, is)) in baseline.iter().zip(end).enumerate() {
        let limit = was.live_bytes * (100 + GROWTH) / 100;
        if is.live_bytes > limit {
            let grown = format!("from {} to {} bytes", was.live_bytes, is.live_bytes);
            let what = format!("memory of process {process} grew {grown}");
            world.orders.judge.violation(what);
        }
        compared.push(Compared {
            baseline: *was,
            end: *is,
            survived: world.crew[process].lock().await.first,
        });
    }
    compared
}

/// Ends all children; returns the number of keys that are left.
async fn close(world: &Arc<World>) -> Result<usize, String> {
    let mut ending = JoinSet::new();
    for process in 0..PROCESSES {
        let world = Arc::clone(world);
        ending.spawn(async move { world.crew[process].lock().await.end().await });
    }
    while let Some(ended) = ending.join_next().await {
        ended.map_err(|err| err.to_string())??;
    }
    let keys = keys(world);
    if !keys.is_empty() {
        let what = format!("expected no keys after all are closed, got {keys:?}");
        world.orders.judge.violation(what);
    }
    Ok(keys.len())
}

fn counts(world: &World) -> Counts {
    let totals = &world.orders.totals;
    let totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
    totals.iter().copied().fold(Counts::default(), Counts::and)
}
