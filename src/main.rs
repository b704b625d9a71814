//! The command `virtnet`: a demonstration, a netcat between virtual hosts, and
//! small tools around a network.
//!
//! Owns the process: its arguments, its runtime, its exit code. Never does
//! anything that the library could not do for somebody else's program.

mod cli;

use clap::Parser;

fn main() {
    // Bad usage ends here, with what is wrong and exit code 2.
    let cli = cli::Cli::parse();
    let code = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(cli::run(cli)),
        Err(err) => {
            eprintln!("virtnet: cannot start: {err}");
            1
        }
    };
    // Not by returning: a thread that reads from a terminal may never end.
    std::process::exit(code);
}
