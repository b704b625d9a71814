//! Benchmarks of virtnet beside what a user would take instead.
//!
//! Owns the command line. Never measures in its own process: each measurement
//! is a fresh one, which is this program again.

mod certs;
mod child;
mod contender;
mod drive;
mod plan;
mod report;
mod server;
mod service;
mod spec;
mod stats;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::stats::Row;

/// Measures virtnet and its peers, interleaved, and compares them.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Args)]
pub struct Run {
    /// Where the rows go, as JSON, one a line.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Small counts and three rounds: under 3 minutes in all.
    #[arg(long)]
    quick: bool,
    /// These works only.
    #[arg(long, value_name = "WORK,…", value_delimiter = ',')]
    only: Vec<String>,
    /// These contenders only.
    #[arg(long, value_name = "CONTENDER,…", value_delimiter = ',')]
    contenders: Vec<String>,
    /// How often each contender does each work; 5 by default.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One measurement, in this process.
    #[command(hide = true)]
    Cell { spec: String },
    /// The server of one measurement, until stdin ends.
    #[command(hide = true)]
    Serve { spec: String },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Some(Command::Cell { spec }) => child::cell(spec),
        Some(Command::Serve { spec }) => child::serve(spec),
        None => run(&cli.run),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("{err:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Run) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (rows, failed) = runtime.block_on(drive::all(options))?;
    if let Some(file) = &options.json {
        std::fs::write(file, report::json(&rows)?)?;
    }
    print!("{}", report::tables(&rows));
    anyhow::ensure!(failed == 0, "{failed} measurements failed");
    Ok(())
}

/// The row of one number of one contender.
pub fn find<'a>(rows: &'a [Row], work: &str, contender: &str) -> Option<&'a Row> {
    rows.iter()
        .find(|row| row.work == work && row.contender == contender)
}
