//! Tests core in thousands of random schedules against a model of its contract.
//!
//! Owns the number of seeds, and the events that must occur in them. Never waits and has
//! no clock: there is one thread, and the seed decides which task runs next. To repeat a
//! failed seed, run `SCHEDULE_SEED=… cargo test -p virtnet-core --test suite schedules`. To run
//! a number of seeds, set `SCHEDULE_SEEDS=…`: CI runs 10,000.

use std::panic::{AssertUnwindSafe, catch_unwind};

use virtnet_core::Cause;

mod counts;
mod engine;
mod finish;
mod model;
mod model_accept;
mod model_conn;
mod model_line;
mod op;
mod pipe;
mod plan;
mod registry;
mod rng;
mod sim;
mod start;
mod step;
mod stream;
mod world;

use counts::Counts;
use sim::{Mark, Sim};

/// The number of seeds if `SCHEDULE_SEEDS` is not set.
const SEEDS: u64 = 1_000;
/// With at least this many seeds, all events must occur.
const ALL: u64 = 10_000;
const OPERATIONS: usize = 200;
/// How many lines of a failed run's trace are shown.
const TAIL: usize = 60;

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

/// Runs one seed, adding to `counts`; panics with the tail of the trace.
fn run(seed: u64, counts: &mut Counts) -> Vec<Mark> {
    let mut sim = Sim::new(seed);
    std::mem::swap(&mut sim.counts, counts);
    let ran = catch_unwind(AssertUnwindSafe(|| sim.run(OPERATIONS)));
    std::mem::swap(&mut sim.counts, counts);
    let trace = std::mem::take(&mut sim.trace);
    if let Err(why) = ran {
        let why = why
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| why.downcast_ref::<&str>().map(|why| why.to_string()));
        let tail: Vec<String> = trace[trace.len().saturating_sub(TAIL)..]
            .iter()
            .map(|mark| format!("{mark:?}"))
            .collect();
        panic!(
            "seed {seed}, after {} lines:\n{}\n{}\nagain: SCHEDULE_SEED={seed} cargo test \
             -p virtnet-core --test suite schedules",
            trace.len(),
            tail.join("\n"),
            why.unwrap_or_default(),
        );
    }
    trace
}

#[test]
fn core_keeps_its_contract_in_every_schedule() {
    let mut counts = Counts::default();
    if let Some(seed) = setting("SCHEDULE_SEED") {
        run(seed, &mut counts);
        println!("{counts}");
        return;
    }
    let seeds = setting("SCHEDULE_SEEDS").unwrap_or(SEEDS);
    for seed in 0..seeds {
        run(seed, &mut counts);
    }
    println!("{counts}");
    if seeds >= ALL {
        check_occurred(&counts);
    }
}

/// Asserts that the events really occurred, since a schedule without events proves
/// nothing. The limits are about a third of the actual counts.
fn check_occurred(counts: &Counts) {
    use Cause::*;
    let causes: [(&'static str, &[Cause], u64); 13] = [
        ("dial", &[ConnectionRefused], 20_000),
        (
            "dial",
            &[HostDown, NetworkDown, NoSuchHost, RegistryDown, TimedOut],
            3_000,
        ),
        ("dial", &[ConnectionCut, InvalidAddr], 1_000),
        ("accept", &[HostDown, NetworkDown, SocketDown], 10_000),
        (
            "listen",
            &[AddrInUse, AddrNotLocal, HostDown, NetworkDown],
            1_000,
        ),
        ("new host", &[HostAlreadyRegistered, NetworkDown], 10_000),
        ("new host", &[PermissionDenied, RegistryDown, TimedOut], 500),
        ("new host", &[HostDown], 20),
        (
            "read",
            &[HostDown, NetworkDown, SocketDown, ConnectionCut],
            2_000,
        ),
        (
            "write",
            &[HostDown, NetworkDown, SocketDown, ConnectionCut],
            1_500,
        ),
        ("write", &[BrokenPipe], 10_000),
        ("close", &[Other, RegistryDown], 1_000),
        (
            "engine failed",
            &[ConnectionCut, PermissionDenied, TimedOut],
            1_000,
        ),
    ];
    for (what, causes, least) in causes {
        for cause in causes {
            let count = counts.of(what, Some(*cause));
            assert!(count >= least, "{what}, {cause}: only {count}");
        }
    }
    let plain: [(&'static [&'static str], u64); 4] = [
        (&["dial", "accept", "acknowledged", "read", "write"], 12_000),
        (
            &["end-of-file", "new host", "dial dropped", "accept dropped"],
            12_000,
        ),
        (
            &[
                "new host dropped",
                "read dropped",
                "close",
                "all ports are free",
            ],
            4_000,
        ),
        (
            &[
                "acknowledged to nobody",
                "aborted",
                "close dropped",
                "write dropped",
            ],
            1_000,
        ),
    ];
    for (what, count) in plain
        .iter()
        .flat_map(|(all, least)| all.iter().map(move |what| (*what, *least)))
    {
        assert!(
            counts.of(what, None) >= count,
            "{what}: {}",
            counts.of(what, None)
        );
    }
    for what in [
        "given-up accept seen",
        "acknowledgement lost by a close",
        "given up after it was acknowledged",
    ] {
        assert!(counts.of(what, None) >= 300, "{what}");
    }
}

#[test]
fn a_seed_is_one_schedule() {
    for seed in 0..100 {
        let first = run(seed, &mut Counts::default());
        assert!(first == run(seed, &mut Counts::default()), "seed {seed}");
    }
}
