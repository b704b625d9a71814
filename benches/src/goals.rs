//! The goals, and whether a run reached them.
//!
//! Owns the list. Never compares across runs: only ratios within one count.

use crate::find;
use crate::report::number;
use crate::stats::Row;

/// A bound on one number of virtnet's, alone or beside another of the same run.
struct Goal {
    /// `virtnet`, or that otherwise set up.
    contender: &'static str,
    work: &'static str,
    bound: Bound,
    /// Work and contender that it is divided by.
    beside: Option<(&'static str, &'static str)>,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

use Bound::{AtLeast, AtMost};

const fn goal(
    work: &'static str,
    bound: Bound,
    beside: Option<(&'static str, &'static str)>,
) -> Goal {
    Goal {
        contender: "virtnet",
        work,
        bound,
        beside,
    }
}

const GOALS: &[Goal] = &[
    goal("bulk", AtLeast(3.0), Some(("bulk", "quinn"))),
    goal("bulk", AtLeast(1.0), Some(("bulk", "tcp-tls"))),
    goal("bulk-1500", AtLeast(1.1), Some(("bulk-1500", "quinn"))),
    goal("bulk-2proc", AtLeast(0.8), Some(("bulk-2proc", "tcp"))),
    goal("bulk-2proc", AtLeast(1.0), Some(("bulk-2proc", "tcp-tls"))),
    goal("bulk64", AtLeast(1.0), Some(("bulk", "virtnet"))),
    goal("bulk64-slowest", AtLeast(0.75), None),
    goal(
        "pingpong-p50",
        AtMost(1.08),
        Some(("pingpong-p50", "quinn")),
    ),
    goal("dial-p50", AtMost(1.2), Some(("dial-p50", "quinn"))),
    goal("dial-p50", AtMost(0.9), Some(("dial-p50", "tcp"))),
    goal("dial-p50", AtMost(0.2), Some(("dial-p50", "tcp-tls"))),
    goal("exchange-p50", AtMost(2.0), Some(("exchange-p50", "quinn"))),
    goal("exchange-p50", AtMost(0.8), Some(("exchange-p50", "tcp"))),
    goal(
        "exchange-p50",
        AtMost(0.13),
        Some(("exchange-p50", "tcp-tls")),
    ),
    Goal {
        contender: "virtnet-first-bytes",
        ..goal("exchange-p50", AtMost(1.3), Some(("exchange-p50", "quinn")))
    },
    Goal {
        contender: "virtnet-first-bytes",
        ..goal("exchange-p50", AtMost(0.5), Some(("exchange-p50", "tcp")))
    },
    // One round trip and not two: the rest is room for noise.
    goal(
        "first-lookup",
        AtMost(1.25),
        Some(("first-lookup", "redis")),
    ),
    goal("dial64", AtLeast(0.7), Some(("dial64", "quinn"))),
    Goal {
        contender: "virtnet-16-accepts",
        ..goal("dial64", AtLeast(0.7), Some(("dial64", "quinn")))
    },
    goal("first-dial64-p99", AtMost(45.0), None),
    goal(
        "first-dial64-p99",
        AtMost(3.0),
        Some(("first-dial64-p99", "tcp-tls")),
    ),
    goal("newhost", AtMost(3.0), Some(("newhost", "redis"))),
    goal("conns", AtMost(3000.0), None),
    goal(
        "conns-seconds",
        AtMost(1.5),
        Some(("conns-seconds", "quinn")),
    ),
    goal("mesh", AtMost(60_000.0), None),
    goal("mesh-seconds", AtMost(5.0), None),
    goal("mesh-seconds", AtMost(1.2), Some(("mesh-seconds", "quinn"))),
    goal("faults-apply", AtMost(5.0), Some(("faults-apply", "redis"))),
    Goal {
        contender: "virtnet-far",
        ..goal(
            "faults-apply",
            AtMost(5.0),
            Some(("faults-apply", "redis-far")),
        )
    },
    Goal {
        contender: "virtnet-1000-rules",
        ..goal("bulk", AtLeast(0.95), Some(("bulk", "virtnet")))
    },
    Goal {
        contender: "virtnet-1000-rules",
        ..goal(
            "pingpong-p50",
            AtMost(1.05),
            Some(("pingpong-p50", "virtnet")),
        )
    },
    Goal {
        contender: "virtnet-traced",
        ..goal("dial64", AtLeast(0.97), Some(("dial64", "virtnet")))
    },
    Goal {
        contender: "virtnet-traced-live",
        ..goal("dial64", AtLeast(0.97), Some(("dial64", "virtnet")))
    },
    Goal {
        contender: "virtnet-traced",
        ..goal("bulk", AtLeast(0.97), Some(("bulk", "virtnet")))
    },
    goal("faults-delay-p50", AtLeast(50.0), None),
    goal("faults-delay-p50", AtMost(52.0), None),
    goal("faults-delay-bulk", AtLeast(0.9), None),
    goal("faults-rate", AtLeast(0.95), None),
    goal("faults-rate", AtMost(1.05), None),
    goal("faults-lose", AtLeast(0.9), None),
    goal("faults-lose", AtMost(1.1), None),
    goal("hosts", AtMost(16_384.0), None),
    goal("hosts-virtual", AtMost(1e8), None),
    // Flat: within what noise does to two points of a line.
    goal(
        "curve-conns-10000",
        AtMost(1.2),
        Some(("curve-conns-10", "virtnet")),
    ),
    goal(
        "curve-hosts-1000",
        AtMost(1.2),
        Some(("curve-hosts-10", "virtnet")),
    ),
];

/// A goal that the run has the numbers for.
pub struct Checked {
    pub text: String,
    pub measured: String,
    pub reached: bool,
}

/// All goals whose works were run.
pub fn check(rows: &[Row]) -> Vec<Checked> {
    GOALS
        .iter()
        .filter_map(|goal| checked(goal, rows))
        .collect()
}

fn checked(goal: &Goal, rows: &[Row]) -> Option<Checked> {
    let row = find(rows, goal.work, goal.contender)?;
    let mut value = row.median;
    let mut beside = row.unit.clone();
    if let Some((work, contender)) = goal.beside {
        value = row.ratio(find(rows, work, contender)?);
        let whose = if work == goal.work { "" } else { work };
        beside = format!("× {contender} {whose}").trim_end().to_owned();
    }
    let (sign, bound, reached) = match goal.bound {
        AtLeast(bound) => ("≥", bound, value >= bound),
        AtMost(bound) => ("≤", bound, value <= bound),
    };
    let whose = match goal.contender {
        "virtnet" => String::new(),
        other => format!(" of {other}"),
    };
    Some(Checked {
        text: format!("{}{whose} {sign} {} {beside}", goal.work, number(bound)),
        measured: number(value),
        reached,
    })
}

/// The goals as a table for a terminal.
pub fn table(rows: &[Row]) -> String {
    let checked = check(rows);
    if checked.is_empty() {
        return String::new();
    }
    let reached = checked.iter().filter(|goal| goal.reached).count();
    let mut text = format!("\ngoals, {reached} of {} reached\n", checked.len());
    for goal in checked {
        let verdict = if goal.reached { "reached" } else { "NOT" };
        let Checked {
            text: what,
            measured,
            ..
        } = goal;
        text.push_str(&format!("  {verdict:<9}{what:<52}{measured:>10}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_beside_the_same_run() {
        let row = |contender: &str, median| Row::of("bulk", contender, "MB/s", &[median]);
        let rows = [
            row("virtnet", 990.0),
            row("quinn-tuned", 1000.0),
            row("quinn", 500.0),
        ];
        let verdicts: Vec<_> = check(&rows)
            .into_iter()
            .map(|goal| (goal.text, goal.measured, goal.reached))
            .collect();
        let expected = [
            ("bulk ≥ 0.970 × quinn-tuned", "0.990", true),
            ("bulk ≥ 3.30 × quinn", "1.98", false),
        ];
        let expected = expected.map(|(text, value, ok)| (text.to_owned(), value.to_owned(), ok));
        assert_eq!(verdicts, expected);
    }
}
