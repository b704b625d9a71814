//! The page of results: goals, tables and plots, with machine and date.
//!
//! Owns `RESULTS.md`. Never holds a number that no run measured.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::plan::work_of;
use crate::report::{number, works};
use crate::stats::Row;
use crate::{goals, plot};

/// Writes the page, and its plots to `plots` beside it.
pub fn write(rows: &[Row], page: &Path) -> Result<()> {
    let plots = page.with_file_name("plots");
    let files = plot::write(rows, &plots)?;
    let mut text = String::from(
        "# Results\n\n\
         Written by `benches/run.sh --page`; what each work is and how it is measured says the\n\
         [README](README.md). Only ratios within one run count.\n\n",
    );
    text.push_str(&machine());
    text.push_str("\n## Goals\n\n| goal | measured | |\n|---|---:|---|\n");
    for goal in goals::check(rows) {
        let verdict = if goal.reached {
            "reached"
        } else {
            "**not reached**"
        };
        text.push_str(&format!(
            "| {} | {} | {verdict} |\n",
            goal.text, goal.measured
        ));
    }
    let mut last = "";
    for work in works(rows) {
        let name = work_of(work).map_or(work, |work| work.name);
        if name != last {
            let about = work_of(work).map_or("", |work| work.about);
            text.push_str(&format!("\n## {name}\n\n{}.\n", capital(about)));
            if name.starts_with("curve-") {
                text.push_str(&format!("\n![{name}](plots/{name}.svg)\n"));
            }
            last = name;
        }
        if files.contains(&format!("{work}.svg")) {
            text.push_str(&format!("\n![{work}](plots/{work}.svg)\n"));
        }
        text.push_str(&table(rows, work));
    }
    std::fs::write(page, text)?;
    Ok(())
}

fn table(rows: &[Row], work: &str) -> String {
    let of_work: Vec<&Row> = rows.iter().filter(|row| row.work == work).collect();
    let unit = of_work.first().map_or("", |row| row.unit.as_str());
    let ours = of_work.iter().find(|row| row.contender == "virtnet");
    let mut text =
        format!("\n| {work} | median, {unit} | min – max | virtnet is |\n|---|---:|---:|---:|\n");
    for row in &of_work {
        let times = match ours {
            Some(ours) if row.contender != "virtnet" => {
                format!("× {}", number(ours.ratio(row)))
            }
            _ => String::new(),
        };
        text.push_str(&format!(
            "| {} | {} | {} – {} | {times} |\n",
            row.contender,
            number(row.median),
            number(row.min),
            number(row.max)
        ));
    }
    text
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

/// What it was measured on.
fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |model| {
        model.trim_start_matches([' ', '\t', ':'])
    });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        text.unwrap_or_else(|_| "unknown".to_owned())
    };
    format!(
        "- CPU: {model}, {cores} cores\n- kernel: {}\n- compiler: {}\n- date: {}\n",
        said("uname", &["-sr"]),
        said("rustc", &["--version"]),
        said("date", &["-u", "+%Y-%m-%d"]),
    )
}
