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
        Ok(runtime) => {
            let code = runtime.block_on(cli::run(cli));
            // Dropping it would wait for threads that wait: for a terminal's next
            // line, or a name server's answer.
            runtime.shutdown_background();
            code
        }
        Err(err) => {
            eprintln!("virtnet: cannot start: {err}");
            1
        }
    };
    // Not by returning, for the same reason.
    std::process::exit(code);
}
