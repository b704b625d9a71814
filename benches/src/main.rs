//! Benchmarks of virtnet beside what a user would take instead.
//!
//! Owns the command line. Never measures in its own process: each measurement
//! is a fresh one, which is this program again.

mod certs;
mod child;
mod contender;
mod curve_plot;
mod drive;
mod goals;
mod netns;
mod page;
mod plan;
mod plot;
mod report;
mod server;
mod service;
mod spec;
mod stats;
mod svg;
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
    /// Runs nothing: takes the rows of an earlier run.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Where the plots go, as SVG.
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
    /// Writes RESULTS.md, and its plots, beside run.sh.
    #[arg(long)]
    page: bool,
}

impl Run {
    fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 5 })
    }
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
    let (rows, failed) = match &options.from {
        Some(file) => (report::from_json(&std::fs::read_to_string(file)?)?, 0),
        None => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(drive::all(options))?,
    };
    if let Some(file) = &options.json {
        std::fs::write(file, report::json(&rows)?)?;
    }
    if let Some(dir) = &options.plot {
        plot::write(&rows, dir)?;
    }
    if options.page {
        // run.sh says where it is.
        let dir = std::env::var_os("BENCHES_DIR").unwrap_or_else(|| "benches".into());
        page::write(&rows, &PathBuf::from(dir).join("RESULTS.md"))?;
    }
    print!("{}{}", report::tables(&rows), goals::table(&rows));
    anyhow::ensure!(failed == 0, "{failed} measurements failed");
    Ok(())
}

/// The row of one number of one contender.
pub fn find<'a>(rows: &'a [Row], work: &str, contender: &str) -> Option<&'a Row> {
    rows.iter()
        .find(|row| row.work == work && row.contender == contender)
}
