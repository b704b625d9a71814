//! Plots: a bar chart for each number, as SVG, and which plots there are.
//!
//! Owns the files and how bars look; lines are `curve_plot.rs`'s. Never computes: rows come in as they are.

use std::path::Path;

use anyhow::Result;

use crate::curve_plot;
use crate::plan::work_of;
use crate::report::{number, works};
use crate::stats::Row;
use crate::svg::Svg;

pub const WIDTH: f64 = 760.0;
const LEFT: f64 = 160.0;
const RIGHT: f64 = 110.0;
pub const TOP: f64 = 64.0;
const BAR: f64 = 22.0;
const STEP: f64 = 32.0;

/// virtnet in the colour that catches the eye, all else in quiet ones.
pub fn colour(contender: &str) -> &'static str {
    match contender {
        "virtnet" => "#d9480f",
        "virtnet-16-accepts" => "#f08c4a",
        "virtnet-pipe" => "#f4b183",
        "quinn" => "#4c78a8",
        "quinn-tuned" => "#2f5580",
        "quinn-tuned-chunks" => "#1d3a5f",
        "tcp" => "#72a276",
        "tcp-tls" => "#3f7a49",
        "iroh" => "#8e6bb0",
        _ => "#8a8f98",
    }
}

/// Whether more is better, which a reader should not have to know.
pub fn is_rate(unit: &str) -> bool {
    matches!(unit, "MB/s" | "1/s" | "of the mean")
}

/// Writes all plots to a folder; returns their file names.
pub fn write(rows: &[Row], dir: &Path) -> Result<Vec<String>> {
    std::fs::create_dir_all(dir)?;
    let mut files = Vec::new();
    for work in works(rows) {
        if !work.starts_with("curve-") {
            let of_work: Vec<&Row> = rows.iter().filter(|row| row.work == work).collect();
            std::fs::write(dir.join(format!("{work}.svg")), bars(work, &of_work))?;
            files.push(format!("{work}.svg"));
        }
    }
    for (work, axis) in [
        ("curve-conns", "open connections"),
        ("curve-hosts", "hosts in the process"),
    ] {
        if let Some(svg) = curve_plot::draw(rows, work, axis) {
            std::fs::write(dir.join(format!("{work}.svg")), svg)?;
            files.push(format!("{work}.svg"));
        }
    }
    Ok(files)
}

/// A round number at or above the largest value, and the distance of its lines.
pub fn scale(largest: f64) -> (f64, f64) {
    if largest <= 0.0 || !largest.is_finite() {
        return (1.0, 0.5);
    }
    let rough = largest / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= rough);
    let step = step.unwrap_or(10.0) * power;
    ((largest / step).ceil() * step, step)
}

/// Labels of an axis, without digits that say nothing.
pub fn tick(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value >= 1e6 => format!("{} M", value / 1e6),
        value if value >= 1e4 => format!("{} k", value / 1e3),
        value => format!("{}", (value * 1e4).round() / 1e4),
    }
}

fn bars(work: &str, rows: &[&Row]) -> String {
    let mut rows = rows.to_vec();
    let unit = rows.first().map_or("", |row| row.unit.as_str());
    // In the order in which they are good.
    rows.sort_by(|a, b| a.median.total_cmp(&b.median));
    if is_rate(unit) {
        rows.reverse();
    }
    // One that is far off would leave the others nothing to be told apart by.
    let mut medians: Vec<f64> = rows.iter().map(|row| row.median).collect();
    medians.sort_by(f64::total_cmp);
    let usual = medians[medians.len() / 2] * 8.0;
    let largest = rows.iter().map(|row| row.max.min(row.median * 2.0));
    let largest = largest.fold(0.0, f64::max).min(usual);
    let (end, step) = scale(largest);
    let height = TOP + STEP * rows.len() as f64 + 44.0;
    let x = |value: f64| LEFT + (value / end).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT);
    let mut svg = Svg::new(WIDTH, height);
    let better = if is_rate(unit) { "more" } else { "less" };
    heading(&mut svg, work, &format!("{unit}; {better} is better"), work);
    let foot = height - 36.0;
    for at in 0..=(end / step).round() as usize {
        let value = at as f64 * step;
        svg.line((x(value), TOP - 4.0), (x(value), foot), "#e3e5e8", 1.0);
        svg.text(
            (x(value), foot + 18.0),
            "middle",
            12.0,
            "#6b7280",
            &tick(value),
        );
    }
    for (at, row) in rows.iter().enumerate() {
        let top = TOP + 4.0 + STEP * at as f64;
        let middle = top + BAR / 2.0;
        svg.text(
            (LEFT - 10.0, middle + 4.5),
            "end",
            13.5,
            "#1f2933",
            &row.contender,
        );
        let wide = x(row.median) - LEFT;
        svg.bar((LEFT, top), (wide, BAR), colour(&row.contender));
        svg.line((x(row.min), middle), (x(row.max), middle), "#111827", 1.2);
        for end in [row.min, row.max] {
            svg.line(
                (x(end), middle - 4.5),
                (x(end), middle + 4.5),
                "#111827",
                1.2,
            );
        }
        let mark = if row.median > end { " →" } else { "" };
        let label = format!("{}{mark}", number(row.median));
        let beside = x(row.median).max(x(row.max)) + 8.0;
        svg.text((beside, middle + 4.5), "start", 13.0, "#1f2933", &label);
    }
    svg.finish()
}

fn heading(svg: &mut Svg, title: &str, unit: &str, work: &str) {
    let about = work_of(work).map_or("", |work| work.about);
    svg.bold((16.0, 24.0), 16.0, title);
    svg.text(
        (16.0, 44.0),
        "start",
        12.5,
        "#4b5563",
        &format!("{about} ({unit})"),
    );
}
