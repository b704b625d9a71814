//! The command `virtnet`: a demo, a netcat between virtual hosts, and tools for a network.
//!
//! Owns the process: its arguments, runtime and exit code. Uses only the library's public
//! API; never adds behaviour of its own.

mod cli;

use std::io;
use std::panic;
use std::thread;

use tokio::runtime::{Builder, Runtime};

/// tokio's own variable: how many threads run tasks.
const THREADS: &str = "TOKIO_WORKER_THREADS";

fn main() {
    // A usage error ends the process here, with exit code 2.
    let cli = cli::Cli::read();
    let code = match runtime() {
        Ok(runtime) => {
            let code = runtime.block_on(cli::run(cli));
            // Dropping it would wait for blocked threads: for a terminal's next line, or
            // a name server's answer.
            runtime.shutdown_background();
            code
        }
        Err(why) => {
            eprintln!("virtnet: cannot start: {why}");
            1
        }
    };
    // Returning would wait as well.
    std::process::exit(code);
}

/// Turns tokio's panic into an error: it panics if the system allows no more threads.
fn runtime() -> Result<Runtime, String> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let created = panic::catch_unwind(build);
    panic::set_hook(hook);
    match created {
        Ok(created) => created.map_err(|err| err.to_string()),
        Err(panicked) => Err(match panicked.downcast::<String>() {
            Ok(message) => *message,
            Err(_) => "the system allows no more threads".to_owned(),
        }),
    }
}

/// With half of the cores, unless the variable says otherwise: programs whose bytes it carries need the others, and a
/// thread that wakes another one costs more than it brings.
fn build() -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if std::env::var_os(THREADS).is_none() {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        builder.worker_threads(cores.div_ceil(2));
    }
    builder.enable_all().build()
}
