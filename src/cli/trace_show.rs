//! `virtnet trace show`: a trace in one of its formats.
//!
//! Owns the options, where the output goes, and the columns for other programs. Never makes a picture:
//! the library does.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use virtnet::trace::Trace;
use virtnet::trace::show::Mermaid;

use super::exit::Exit;
use super::output::{print, print_failed};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns on a terminal, tab-separated columns otherwise
    Table,
    /// A sequence diagram for Markdown: 60 events, or see --around and --at-most
    Mermaid,
    /// A page for the browser with a space–time diagram, in one file
    Html,
    /// Packets for Wireshark: made-up TCP with the payload that was recorded
    Pcapng,
    /// A log with vector clocks for ShiViz; docs/trace.md has the regular expression
    Shiviz,
}

#[derive(Debug, Args)]
pub(crate) struct Shown {
    /// How to show it
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// With --format mermaid: shows the events before and after this one, by its number in the table, and
    /// marks it
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    around: Option<u64>,
    /// With --format mermaid: shows at most so many events
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..))]
    at_most: Option<u64>,
    /// Write it to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Shown {
    /// Rejects options that the format does not have, before files are read.
    pub(crate) fn check(&self) -> Result<(), Exit> {
        let mermaid = [("--around", self.around), ("--at-most", self.at_most)];
        let mut set = mermaid.into_iter().filter(|(_, value)| value.is_some());
        match set.next() {
            Some((option, _)) if self.format != Format::Mermaid => {
                let what = format!("{option} is for --format mermaid only");
                Err(Exit::Usage(what))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn show(&self, trace: &Trace) -> Result<(), Exit> {
        let Some(path) = &self.out else {
            let stdout = io::stdout();
            if self.format == Format::Pcapng && stdout.is_terminal() {
                let what = "packets are not for a terminal: give a file with --out";
                return Err(Exit::Usage(what.to_owned()));
            }
            if self.format == Format::Table && !stdout.is_terminal() {
                return rows(trace)
                    .iter()
                    .try_for_each(|row| print(&row.join("\t")));
            }
            let mut to = BufWriter::new(stdout.lock());
            return self.write(trace, &mut to).map_err(|err| print_failed(&err));
        };
        let written = File::create(path).and_then(|file| {
            let mut to = BufWriter::new(file);
            self.write(trace, &mut to)
        });
        written.map_err(|err| Exit::Failed(format!("cannot write {path:?}: {err}")))
    }

    fn write(&self, trace: &Trace, to: &mut impl Write) -> io::Result<()> {
        let text: &dyn Display = match self.format {
            Format::Table => &trace.table(),
            Format::Html => &trace.html(),
            Format::Shiviz => &trace.shiviz(),
            Format::Mermaid => &self.mermaid(trace),
            Format::Pcapng => return trace.write_pcapng(to),
        };
        write!(to, "{text}")?;
        to.flush()
    }

    fn mermaid<'a>(&self, trace: &'a Trace) -> Mermaid<'a> {
        let number = |set: u64| usize::try_from(set).unwrap_or(usize::MAX);
        let mut diagram = trace.mermaid();
        if let Some(events) = self.at_most {
            diagram = diagram.at_most(number(events));
        }
        if let Some(event) = self.around {
            diagram = diagram.around(number(event - 1));
        }
        diagram
    }
}

/// Number, seconds, event, and the number of its cause.
fn rows(trace: &Trace) -> Vec<[String; 4]> {
    let times = trace.events().iter().map(|traced| traced.event.wall);
    let begun = times.min().unwrap_or(Duration::ZERO);
    let rows = trace.events().iter().enumerate().map(|(index, traced)| {
        let after = traced.event.wall - begun;
        let cause = traced.cause.map(|cause| (cause + 1).to_string());
        [
            (index + 1).to_string(),
            format!("{}.{:06}", after.as_secs(), after.subsec_micros()),
            traced.event.to_string(),
            cause.unwrap_or_else(|| "-".to_owned()),
        ]
    });
    rows.collect()
}
