//! The command `virtnet`: a demonstration, a netcat between virtual hosts, and
//! small tools around a network.
//!
//! Owns the process: its arguments, its runtime, its exit code. Never does
//! anything that the library could not do for somebody else's program.

mod cli;

use std::panic;

use tokio::runtime::Runtime;

fn main() {
    // Bad usage ends here, with what is wrong and exit code 2.
    let cli = cli::Cli::read();
    let code = match runtime() {
        Ok(runtime) => {
            let code = runtime.block_on(cli::run(cli));
            // Dropping it would wait for threads that wait: for a terminal's next
            // line, or a name server's answer.
            runtime.shutdown_background();
            code
        }
        Err(why) => {
            eprintln!("virtnet: cannot start: {why}");
            1
        }
    };
    // Not by returning, for the same reason.
    std::process::exit(code);
}

/// tokio panics where the system gives it no threads, and says so in its own way.
fn runtime() -> Result<Runtime, String> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let made = panic::catch_unwind(Runtime::new);
    panic::set_hook(hook);
    match made {
        Ok(made) => made.map_err(|err| err.to_string()),
        Err(panicked) => Err(match panicked.downcast::<String>() {
            Ok(words) => *words,
            Err(_) => "the system gives it no threads".to_owned(),
        }),
    }
}
