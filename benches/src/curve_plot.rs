//! Plots of curves: what a dial takes, by how much is open.
//!
//! Owns how lines look. Never draws bars: `plot.rs` does.

use std::collections::BTreeMap;

use crate::plot::{TOP, WIDTH, colour, scale, tick};
use crate::stats::Row;
use crate::svg::Svg;

const LEFT: f64 = 70.0;
const RIGHT: f64 = 130.0;
const HEIGHT: f64 = 380.0;
const FOOT: f64 = HEIGHT - 60.0;
const QUIET: &str = "#6b7280";

/// Points by contender: how much was open, and what a dial took.
type Lines<'a> = BTreeMap<&'a str, Vec<(f64, &'a Row)>>;

/// Where values are: across by their logarithm, up from zero.
struct Axes {
    first: f64,
    last: f64,
    end: f64,
    step: f64,
}

impl Axes {
    fn of(lines: &Lines<'_>) -> Axes {
        let points = || lines.values().flatten();
        let opens = || points().map(|(open, _)| open.log10());
        let first = opens().fold(f64::INFINITY, f64::min);
        let values = points().map(|(_, row)| row.max.min(row.median * 2.0));
        let (end, step) = scale(values.fold(0.0, f64::max));
        Axes {
            first,
            last: opens().fold(first + 1.0, f64::max),
            end,
            step,
        }
    }

    fn x(&self, open: f64) -> f64 {
        let share = (open.log10() - self.first) / (self.last - self.first);
        LEFT + 20.0 + share * (WIDTH - LEFT - RIGHT - 40.0)
    }

    fn y(&self, value: f64) -> f64 {
        FOOT - (value / self.end).clamp(0.0, 1.0) * (FOOT - TOP)
    }
}

/// The plot of a curve that was run.
pub fn draw(rows: &[Row], work: &str, axis: &str) -> Option<String> {
    let lines = lines_of(rows, work);
    if lines.is_empty() {
        return None;
    }
    let axes = Axes::of(&lines);
    let mut svg = Svg::new(WIDTH, HEIGHT);
    svg.bold((16.0, 24.0), 16.0, &format!("dial, by {axis}"));
    let about = "p50 of a dial, until it was taken (µs; less is better)";
    svg.text((16.0, 44.0), "start", 12.5, "#4b5563", about);
    grid(&mut svg, &axes, &lines);
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    svg.text((middle, FOOT + 44.0), "middle", 12.5, "#4b5563", axis);
    for (name, line) in &lines {
        draw_line(&mut svg, &axes, colour(name), line);
    }
    names(&mut svg, &axes, &lines);
    Some(svg.finish())
}

fn lines_of<'a>(rows: &'a [Row], work: &str) -> Lines<'a> {
    let mut lines = Lines::new();
    for row in rows {
        let rest = row.work.strip_prefix(work);
        let open = rest.and_then(|rest| rest.strip_prefix('-'));
        if let Some(open) = open.and_then(|open| open.parse().ok()) {
            lines.entry(&row.contender).or_default().push((open, row));
        }
    }
    lines
}

fn grid(svg: &mut Svg, axes: &Axes, lines: &Lines<'_>) {
    for at in 0..=(axes.end / axes.step).round() as usize {
        let value = at as f64 * axes.step;
        let y = axes.y(value);
        svg.line((LEFT, y), (WIDTH - RIGHT, y), "#e3e5e8", 1.0);
        svg.text((LEFT - 8.0, y + 4.0), "end", 12.0, QUIET, &tick(value));
    }
    let mut opens: Vec<f64> = lines.values().flatten().map(|(open, _)| *open).collect();
    opens.sort_by(f64::total_cmp);
    opens.dedup();
    for open in opens {
        let at = (axes.x(open), FOOT + 20.0);
        svg.text(at, "middle", 12.0, QUIET, &format!("{open}"));
    }
}

fn draw_line(svg: &mut Svg, axes: &Axes, colour: &str, line: &[(f64, &Row)]) {
    let at = |open: f64, value: f64| (axes.x(open), axes.y(value));
    for pair in line.windows(2) {
        let [from, to] = [&pair[0], &pair[1]].map(|(open, row)| at(*open, row.median));
        svg.line(from, to, colour, 2.5);
    }
    for (open, row) in line {
        svg.line(at(*open, row.min), at(*open, row.max), colour, 1.2);
        svg.dot(at(*open, row.median), colour);
    }
}

/// At the lines' ends; those that would lie upon each other move down.
fn names(svg: &mut Svg, axes: &Axes, lines: &Lines<'_>) {
    let mut ends = Vec::new();
    for (name, line) in lines {
        if let Some((open, row)) = line.last() {
            ends.push((axes.y(row.median), axes.x(*open), *name));
        }
    }
    ends.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut lowest = f64::NEG_INFINITY;
    for (y, x, name) in ends {
        lowest = y.max(lowest + 17.0);
        svg.text((x + 14.0, lowest + 4.5), "start", 13.0, colour(name), name);
    }
}
