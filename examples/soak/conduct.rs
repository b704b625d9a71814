//! From the first process to the last: warm-up, baseline, faults, and whether all is
//! as it was.
//!
//! Owns the order, and the comparison. Never does a fault itself.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use virtnet::quic::Secret;

use crate::crew::{Kid, Orders};
use crate::faults::{World, carry_out};
use crate::judge::Judge;
use crate::plan::{Planned, plan};
use crate::redis::RedisServer;
use crate::relay::Relays;
use crate::report::{Compared, Report};
use crate::wire::{Counts, Figures, PROCESSES};

/// The warm-up is a small soak, after which every table has been as large as it gets.
const WARM_UP_SECONDS: u64 = 30;
/// Load without faults after the last of them: by then names are there again, and
/// connections to who is gone.
const HEALING: Duration = Duration::from_secs(12);
/// Within this an idle process has let go of all that it does not need. A connection
/// that is closed lingers for some round trips, as the last were: those to a process
/// that was stopped were seconds.
const SETTLING: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(500);
/// By how much memory may have grown, in percent.
const GROWTH: u64 = 5;

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) seconds: u64,
    pub(crate) seed: u64,
    /// How often all comes to rest.
    pub(crate) laps: u64,
    pub(crate) sabotage: String,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            seconds: 600,
            seed: 1,
            laps: 1,
            sabotage: "none".to_owned(),
        }
    }
}

pub(crate) async fn run(options: Options) -> Result<ExitCode, String> {
    let Options {
        seconds,
        seed,
        laps,
        ..
    } = options;
    println!("soak: seed {seed}, {seconds} s: start");
    let world = Arc::new(start(options).await?);
    let judge = &world.orders.judge;
    soak(&world, plan(!seed, WARM_UP_SECONDS * 1000), WARM_UP_SECONDS).await?;
    judge.warm();
    let baseline = idle(&world).await?;
    for kid in &world.crew {
        kid.lock().await.first = true;
    }
    let keys = world.redis(|redis| redis.keys().len());

    show("baseline", &baseline);
    let (mut planned, mut end) = (0, Vec::new());
    for lap in 0..laps {
        let faults = plan(seed + lap, seconds * 1000 / laps);
        planned += faults.len();
        soak(&world, faults, seconds / laps).await?;
        end = idle(&world).await?;
        show(&format!("lap {}", lap + 1), &end);
    }
    let keys_at_end = world.redis(|redis| redis.keys().len());
    if keys != keys_at_end {
        judge.violation(format!(
            "{keys_at_end} registry keys, where there were {keys}"
        ));
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

async fn start(options: Options) -> Result<World, String> {
    let redis = RedisServer::start();
    let relays = Relays::start(options.seed).await;
    let relays = relays.map_err(|err| format!("no relays: {err}"))?;
    let orders = Orders {
        url: redis.url(),
        secret: Secret::random().reveal().to_string(),
        seed: options.seed,
        sabotage: options.sabotage,
        judge: Arc::new(Judge::default()),
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

/// How much memory all have, when they are idle.
fn show(when: &str, figures: &[Figures]) {
    let of = |it: &Figures| format!("{} ({})", it.live_bytes, it.live_blocks);
    let all: Vec<_> = figures.iter().map(of).collect();
    println!("soak: {when}, idle: bytes (blocks) {}", all.join(", "));
}

/// Load under faults of their own for so long, and then without.
async fn soak(world: &Arc<World>, faults: Vec<Planned>, seconds: u64) -> Result<(), String> {
    let began = Instant::now();
    all(world, "go").await?;
    carry_out(faults, world).await?;
    sleep(Duration::from_secs(seconds).saturating_sub(began.elapsed())).await;
    sleep(HEALING).await;
    all(world, "probe").await
}

/// Has all children do something, at the same time.
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

/// Stops the load, and waits until every process has what it had when it was fresh.
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
    // All at the same moment, when the last is idle.
    for kid in &world.crew {
        figures.push(kid.lock().await.figures().await?);
    }
    Ok(figures)
}

/// What must be just as it was.
fn counted(figures: &Figures) -> [u64; 3] {
    [figures.tasks, figures.sockets, figures.descriptors]
}

/// What is counted, [`idle`] has seen to. Memory is compared as what is allocated and not
/// freed: of that every process has the same when it is idle, the ones in place of
/// those that were killed as well. The resident set is what the allocator makes of it,
/// and only shown.
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

/// Ends all children; returns how many keys are left.
async fn close(world: &Arc<World>) -> Result<usize, String> {
    let mut ending = JoinSet::new();
    for process in 0..PROCESSES {
        let world = Arc::clone(world);
        ending.spawn(async move { world.crew[process].lock().await.end().await });
    }
    while let Some(ended) = ending.join_next().await {
        ended.map_err(|err| err.to_string())??;
    }
    let keys = world.redis(|redis| redis.keys());
    if !keys.is_empty() {
        let what = format!("all is closed, and there are {keys:?}");
        world.orders.judge.violation(what);
    }
    Ok(keys.len())
}

fn counts(world: &World) -> Counts {
    let totals = &world.orders.totals;
    let totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
    totals.iter().copied().fold(Counts::default(), Counts::and)
}
