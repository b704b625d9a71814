//! The soak test: eight hosts in four processes, or up to sixteen, under load and random faults.
//! At the end tasks, sockets, memory and registry keys must be as they were before.
//!
//! ```text
//! cargo run --release --example soak -- --seconds 600 --seed 7
//! cargo run --release --example soak -- --hosts 16 --seconds 600 --seed 7
//! ```
//!
//! Owns the exit code. The seed decides the faults, their times and targets, and the data;
//! the operating system's scheduling still differs from run to run. Linux only: it reads
//! `/proc`, and uses all of 127.0.0.0/8.

mod child;
mod conduct;
mod crew;
mod exchange;
mod faults;
mod hosts;
mod judge;
mod load;
mod member;
mod plan;
mod relay;
mod report;
mod rng;
mod rules;
mod tally;
mod wire;

use std::process::ExitCode;

const USAGE: &str = "soak [--hosts 4|8|12|16] [--seconds SECONDS] [--seed NUMBER] \
     [--laps NUMBER] [--sabotage corrupt|eof|port|memory|stranger]";

/// Counts allocations, in children.
#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    let ended = if arguments.next_if(|word| word == "child").is_some() {
        child::run(arguments).await
    } else {
        match options(arguments) {
            Ok(options) => conduct::run(options).await,
            Err(err) => Err(err),
        }
    };
    ended.unwrap_or_else(|err| {
        eprintln!("soak: {err}");
        ExitCode::FAILURE
    })
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<conduct::Options, String> {
    let mut options = conduct::Options::default();
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        let number = || {
            value
                .parse()
                .map_err(|_| format!("expected a number, got {value:?}: {USAGE}"))
        };
        match &*option {
            "--hosts" => options.hosts = value.parse()?,
            "--seconds" => options.seconds = number()?,
            "--seed" => options.seed = number()?,
            "--laps" => options.laps = number()?.max(1),
            "--sabotage" => options.sabotage = value,
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(options)
}
