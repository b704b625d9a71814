//! `virtnet trace`: files of traces, merged and shown.
//!
//! Owns which files are read, what is said about those that are incomplete, and the formats of
//! what is shown. Never orders events: the library does.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use virtnet::trace::{FileEnd, Record, Trace, read};

use super::exit::Exit;
use super::options::Options;
use super::output::{print, warn};

/// What to do with traces.
#[derive(Debug, Subcommand)]
pub(crate) enum TraceCommand {
    /// Merge the traces of several processes into one, in causal order
    ///
    /// Prints it, one JSON object a line, or writes it to the file of --out. Fails if the traces
    /// contradict each other, or are of several networks: choose one with --network. Warns on stderr
    /// of files that end early, because their process was killed or still runs.
    Merge {
        #[command(flatten)]
        files: Files,
        /// Write it to this file instead of stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Print what happened on the network, in causal order
    ///
    /// Merges the files first, as `virtnet trace merge` does. A table has the events, each with its
    /// number, the seconds since the first one by the machines' clocks, and the number of the event at
    /// another host that led to it.
    Show {
        #[command(flatten)]
        files: Files,
        /// How to print it
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Trace files, merged or not, or folders with files of VIRTNET_TRACE (*.jsonl; merged ones in
    /// a folder are passed over)
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns on a terminal, tab-separated columns otherwise
    Table,
}

pub(crate) fn trace(options: &Options, command: TraceCommand) -> Result<(), Exit> {
    let network = match options.sets_network() {
        true => Some(options.network()?),
        false => None,
    };
    let network = network.as_deref();
    match command {
        TraceCommand::Merge { files, out } => {
            let (network, trace) = merged(&files, network)?;
            let lines = trace.to_lines(&network);
            match out {
                None => print(lines.trim_end_matches('\n')),
                Some(path) => fs::write(&path, lines)
                    .map_err(|err| Exit::Failed(format!("cannot write {path:?}: {err}"))),
            }
        }
        TraceCommand::Show { files, format } => {
            let (_, trace) = merged(&files, network)?;
            match format {
                Format::Table => table(&trace),
            }
        }
    }
}

/// The trace of one network.
fn merged(files: &Files, network: Option<&str>) -> Result<(String, Trace), Exit> {
    let mut records = Vec::new();
    for path in &files.paths {
        if path.is_dir() {
            for path in in_folder(path)? {
                records.extend(records_of(&path, network, true)?);
            }
        } else {
            records.extend(records_of(path, network, false)?);
        }
    }
    let Some(first) = records.first() else {
        let of = network.map_or_else(String::new, |network| format!(" of network {network:?}"));
        return Err(Exit::Failed(format!("expected a trace{of}, got none")));
    };
    let network = first.network.to_string();
    let other = records.iter().find(|record| *record.network != *network);
    if let Some(other) = other {
        return Err(Exit::Failed(format!(
            "expected traces of one network, got {network:?} and {:?}: choose one with --network",
            other.network
        )));
    }
    let trace = Trace::merge(records)?;
    if trace.dropped() > 0 {
        warn(&format!(
            "{} events were dropped when they were recorded",
            trace.dropped()
        ));
    }
    Ok((network, trace))
}

/// The files of traces in a folder, by name.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, Exit> {
    let failed = |err: io::Error| Exit::Failed(format!("cannot read {folder:?}: {err}"));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension() == Some(OsStr::new("jsonl")) {
            files.push(path);
        }
    }
    if files.is_empty() {
        let what = format!("expected files *.jsonl in {folder:?}, got none");
        return Err(Exit::Failed(what));
    }
    files.sort();
    Ok(files)
}

/// The records of a file that are of `network`, or all.
fn records_of(
    path: &Path,
    network: Option<&str>,
    in_folder: bool,
) -> Result<impl Iterator<Item = Record>, Exit> {
    let mut file = read(path)?;
    if in_folder && file.merged {
        file.records.clear();
        return Ok(file.records.into_iter());
    }
    let is_of = |record: &Record| network.is_none_or(|network| *record.network == *network);
    file.records.retain(is_of);
    let early = "its process was killed, or still runs";
    match file.end {
        FileEnd::Complete => {}
        FileEnd::Open => warn(&format!("{path:?} has no last line: {early}")),
        FileEnd::Cut { line } => warn(&format!("{path:?} is cut in line {line}: {early}")),
    }
    Ok(file.records.into_iter())
}

fn table(trace: &Trace) -> Result<(), Exit> {
    let rows = rows(trace);
    if !io::stdout().is_terminal() {
        return rows.iter().try_for_each(|row| print(&row.join("\t")));
    }
    aligned(&rows).iter().try_for_each(|line| print(line))
}

/// Number, seconds, event, and the number of its cause.
fn rows(trace: &Trace) -> Vec<[String; 4]> {
    let times = trace.events().iter().map(|traced| traced.event.wall);
    let begun = times.min().unwrap_or(Duration::ZERO);
    let rows = trace.events().iter().enumerate().map(|(index, traced)| {
        let after = (traced.event.wall - begun).as_secs_f64();
        let cause = traced.cause.map(|cause| (cause + 1).to_string());
        [
            (index + 1).to_string(),
            format!("{after:.6}"),
            traced.event.to_string(),
            cause.unwrap_or_else(|| "-".to_owned()),
        ]
    });
    rows.collect()
}

/// Lines of aligned columns with a heading; no lines without rows.
fn aligned(rows: &[[String; 4]]) -> Vec<String> {
    if rows.is_empty() {
        return Vec::new();
    }
    let heading = ["#", "SECONDS", "EVENT", "CAUSE"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(&heading).chain(rows).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let [one, two, three] = [0, 1, 2].map(width);
    let line = |[number, seconds, event, cause]: &[String; 4]| {
        format!("{number:>one$}  {seconds:>two$}  {event:<three$}  {cause}")
    };
    rows.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_columns() {
        let rows = [
            ["9", "0.000120", "α:2 <- β:1 accepted", "-"],
            ["10", "12.000340", "β:1 -> α:2 connected", "9"],
        ];
        let rows = rows.map(|row| row.map(str::to_owned));
        assert_eq!(
            aligned(&rows),
            [
                " #    SECONDS  EVENT                 CAUSE",
                " 9   0.000120  α:2 <- β:1 accepted   -",
                "10  12.000340  β:1 -> α:2 connected  9",
            ]
        );
        assert!(aligned(&[]).is_empty());
    }
}
