//! `virtnet trace`: files of traces, merged and shown; and the live trace.
//!
//! Owns which files are read, and what is said about those that are incomplete. Never orders events: the
//! library does.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use virtnet::trace::{FileEnd, Record, Trace, read};

use super::exit::Exit;
use super::options::Options;
use super::output::{print, warn};
use super::session::Signals;
use super::trace_follow::{Follow, follow};
use super::trace_show::Shown;

/// What to do with traces.
#[derive(Debug, Subcommand)]
pub(crate) enum TraceCommand {
    /// Merge the traces of several processes into one, in causal order
    ///
    /// Prints it, one JSON object a line, or writes it to the file of --out. Fails if the traces
    /// are of several networks: choose one with --network. Warns on stderr of files that end early,
    /// because their process was killed or still runs, and of events that would each have led to the
    /// other, as in files that somebody changed.
    Merge {
        #[command(flatten)]
        files: Files,
        /// Write it to this file instead of stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show what happened on the network, in causal order
    ///
    /// Merges the files first, as `virtnet trace merge` does. A table has the events, each with its
    /// number, the seconds since the first one by the machines' clocks, and the number of the event at
    /// another host that led to it.
    Show {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        show: Shown,
    },
    /// Print what happens on the network, while it happens
    ///
    /// Prints the events of all members with VIRTNET_TRACE=live, one a line, until ^C. Those of one
    /// host are in their order; those of several hosts may differ from the causal order by some
    /// milliseconds. Warns on stderr of events that were dropped. Needs the members' secret.
    Follow(Follow),
}

#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Trace files, merged or not, or folders with files of VIRTNET_TRACE (*.jsonl; merged ones in
    /// a folder are passed over)
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

pub(crate) async fn trace(
    options: Options,
    command: TraceCommand,
    signals: &mut Signals,
) -> Result<(), Exit> {
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
        TraceCommand::Show { files, show } => {
            show.check()?;
            let (_, trace) = merged(&files, network)?;
            show.show(&trace)
        }
        TraceCommand::Follow(args) => follow(options, args, signals).await,
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
    for contradiction in trace.contradictions() {
        warn(&contradiction);
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
