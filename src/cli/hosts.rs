//! `virtnet hosts`: the hosts of the network.
//!
//! Owns the three formats: columns for people, tabs and JSON for programs. Never opens the
//! network, so it needs no secret.

use std::io::{self, IsTerminal};
use std::time::Duration;

use serde_json::Value;
use virtnet::HostEntry;

use super::exit::Exit;
use super::options::Options;
use super::output::{print, print_json, print_stderr};
use super::session::Signals;

/// How many of an owner's 32 digits are shown in columns.
const SHORT: usize = 8;

type Row = [String; 4];

pub(crate) async fn hosts(options: Options, json: bool, signals: &mut Signals) -> Result<(), Exit> {
    let observer = options.shared_config()?.observer();
    let hosts = signals.or(observer.hosts()).await??;
    if hosts.is_empty() {
        // Helps if the user expected hosts, and looked in the wrong place.
        print_stderr(&format!("virtnet: no hosts on {}", observer.describe()?));
    }
    if json {
        return hosts.iter().try_for_each(print_object);
    }
    let rows = hosts.iter().map(row);
    if io::stdout().is_terminal() {
        return aligned(rows.collect())
            .iter()
            .try_for_each(|line| print(line));
    }
    rows.map(|row| row.join("\t"))
        .try_for_each(|line| print(&line))
}

fn print_object(host: &HostEntry) -> Result<(), Exit> {
    let millis = |left: Duration| u64::try_from(left.as_millis()).ok();
    let left = host.lease_left.and_then(millis);
    print_json(
        &[
            ("host", (&*host.name).into()),
            ("address", (&*host.address).into()),
            ("lease_ms", left.map_or(Value::Null, Value::from)),
            ("owner", host.owner.as_deref().into()),
            ("pid", host.pid.into()),
        ],
        &[],
    )
}

fn row(host: &HostEntry) -> Row {
    let none = || "-".to_owned();
    let left = |left: Duration| format!("{:.1}s", left.as_secs_f64());
    // With local: there is no lease: the process holds its names until it ends.
    let held = || host.pid.map_or_else(none, |pid| format!("pid {pid}"));
    let short = |owner: &String| owner.chars().take(SHORT).collect();
    [
        host.name.clone(),
        // The text comes from a registry, and goes to a terminal.
        host.address.replace(char::is_control, "\u{fffd}"),
        host.lease_left.map_or_else(held, left),
        host.owner.as_ref().map_or_else(none, short),
    ]
}

/// Lines of aligned columns with a heading; no lines without rows.
fn aligned(mut rows: Vec<Row>) -> Vec<String> {
    if rows.is_empty() {
        return Vec::new();
    }
    rows.insert(0, ["HOST", "ADDRESS", "HELD", "OWNER"].map(str::to_owned));
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths = [0, 1, 2].map(width);
    let line = |[name, address, left, owner]: &Row| {
        let [one, two, three] = widths;
        format!("{name:<one$}  {address:<two$}  {left:>three$}  {owner}")
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_columns() {
        let rows = [
            ["α", "10.0.0.2:41873", "13.2s", "9f86d081"],
            ["database", "10.0.0.3:7", "pid 4711", "-"],
        ];
        let rows = rows.map(|row| row.map(str::to_owned));
        assert_eq!(
            aligned(rows.to_vec()),
            [
                "HOST      ADDRESS             HELD  OWNER",
                "α         10.0.0.2:41873     13.2s  9f86d081",
                "database  10.0.0.3:7      pid 4711  -",
            ]
        );
        assert!(aligned(Vec::new()).is_empty());
    }
}
