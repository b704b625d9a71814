//! `virtnet hosts`: who is on the network, where, and how surely.
//!
//! Owns the three formats: columns for people, tabs and JSON for programs. Never
//! joins the network, so it needs no secret.

use std::io::{self, IsTerminal};
use std::time::Duration;

use serde_json::Value;
use virtnet::HostEntry;

use super::end::{End, print, print_json, say};
use super::options::Options;
use super::session::Signals;

/// How much of an owner's 32 digits people need to tell two apart.
const SHORT: usize = 8;

type Row = [String; 4];

pub(crate) async fn hosts(options: Options, json: bool, signals: &mut Signals) -> Result<(), End> {
    let observer = options.shared_config()?.observer();
    let hosts = signals.or(observer.hosts()).await??;
    if hosts.is_empty() {
        // Whoever expected some looked elsewhere.
        say(&format!("virtnet: no hosts on {}", observer.describe()?));
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

fn print_object(host: &HostEntry) -> Result<(), End> {
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
    // A process holds its names until it ends, so there is no time to show.
    let held = || host.pid.map_or_else(none, |pid| format!("pid {pid}"));
    let short = |owner: &String| owner.chars().take(SHORT).collect();
    [
        host.name.clone(),
        // It is a registry's word, and goes to a terminal.
        host.address.replace(char::is_control, "\u{fffd}"),
        host.lease_left.map_or_else(held, left),
        host.owner.as_ref().map_or_else(none, short),
    ]
}

/// Lines of columns under their titles; none for nobody.
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
