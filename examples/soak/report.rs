//! The report: the load, the faults, their results and the verdict.
//!
//! Owns its text, and the minimum load and faults of a valid run. Never measures.

use std::process::ExitCode;

use crate::faults::World;
use crate::wire::{Counts, Figures};

/// The minimum of a ten-minute soak; a shorter one must reach its share.
const FULL_SECONDS: u64 = 600;
const FULL: [u64; 3] = [100_000, 10_000_000_000, 200];

/// A process at the baseline and at the end.
pub(crate) struct Compared {
    pub(crate) baseline: Figures,
    pub(crate) end: Figures,
    /// Whether it is still the same process.
    pub(crate) survived: bool,
}

pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) seconds: u64,
    pub(crate) planned: usize,
    pub(crate) counts: Counts,
    pub(crate) keys: [usize; 3],
    pub(crate) compared: Vec<Compared>,
}

impl Report {
    /// Prints the report; the exit code is the verdict.
    pub(crate) fn print(&self, world: &World) -> ExitCode {
        let judge = &world.orders.judge;
        let faults = judge.faults();
        let happened: usize = faults.values().sum();
        self.check(happened as u64, world);
        let Counts {
            dialed,
            accepted,
            closed,
            bytes,
            given_up,
            closes,
        } = self.counts;
        println!("soak: seed {}, {} s under faults", self.seed, self.seconds);
        println!("  connections    {dialed} dialed, {accepted} accepted");
        println!("                 {closed} closed cleanly; {given_up} dropped on purpose");
        println!("  bytes          {bytes} read and verified by hash");
        let [passed, dropped] = world.relays.counts();
        println!("  datagrams      {passed} relayed, {dropped} dropped by the relays");
        println!("  faults         {happened} of {} planned", self.planned);
        for (kind, count) in &faults {
            println!("    {count:>5}  {kind:?}");
        }
        println!("  failures that a fault explains, by operation and cause");
        for (what, count) in judge.excused() {
            println!("    {count:>5}  {what}");
        }
        println!("  slowest of each operation, without the time in which its process was stopped");
        for (what, millis) in judge.slowest() {
            println!("    {millis:>5} ms  {what}");
        }
        println!(
            "  subnetworks closed               {closes}; after each, no task and no descriptor of it was left"
        );
        self.print_table();
        let violations = judge.violations();
        if violations.is_empty() {
            println!("PASSED: seed {}", self.seed);
            return ExitCode::SUCCESS;
        }
        println!(
            "FAILED: seed {}, {} violations",
            self.seed,
            violations.len()
        );
        for violation in violations.iter().take(20) {
            println!("  {violation}");
        }
        ExitCode::FAILURE
    }

    fn print_table(&self) {
        println!("  idle, after the warm-up and at the end:");
        println!(
            "    process  tasks    sockets  descriptors  bytes allocated          RSS kB         its peak"
        );
        for (process, compared) in self.compared.iter().enumerate() {
            let Compared {
                baseline,
                end,
                survived,
            } = compared;
            let pair = |of: fn(&Figures) -> u64| format!("{} {}", of(baseline), of(end));
            let grown = 100.0 * (end.live_bytes as f64 / baseline.live_bytes as f64 - 1.0);
            println!(
                "    {process}        {:<8} {:<8} {:<12} {:<15} {grown:+.1} %  {:<14} {:<12}{}",
                pair(|it| it.tasks),
                pair(|it| it.sockets),
                pair(|it| it.descriptors),
                pair(|it| it.live_bytes),
                pair(|it| it.rss_kb),
                pair(|it| it.peak_kb),
                if *survived {
                    ""
                } else {
                    "  (was killed since)"
                },
            );
        }
        let [baseline, end, closed] = self.keys;
        println!("    registry keys: {baseline}, {end}; {closed} after all are closed");
    }

    /// Too little load or too few faults are violations as well.
    fn check(&self, faults: u64, world: &World) {
        let reached = [self.counts.closed, self.counts.bytes, faults];
        let names = ["connections", "bytes", "faults"];
        for ((name, reached), full) in names.iter().zip(reached).zip(FULL) {
            let least = full * self.seconds / FULL_SECONDS;
            if reached < least {
                let what = format!("expected at least {least} {name}, got {reached}");
                world.orders.judge.violation(what);
            }
        }
    }
}
