//! Lines on stdout and stderr.
//!
//! Owns how a line is written and what a failed write means. Never decides what is
//! written.

use std::io::{self, Write};

use serde_json::Value;

use super::exit::Exit;

/// Writes a line to stdout.
pub(crate) fn print(line: &str) -> Result<(), Exit> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(|err| print_failed(&err))
}

/// The error of a failed write to stdout. When the reader has closed the pipe, as `head`
/// does, the process ends without a message, as if by SIGPIPE.
pub(crate) fn print_failed(err: &io::Error) -> Exit {
    match err.kind() {
        io::ErrorKind::BrokenPipe => Exit::BROKEN_PIPE,
        _ => stdout_failed(err),
    }
}

/// Writes a JSON object as a line to stdout, with its keys in this order.
pub(crate) fn print_json(first: &[(&str, Value)], more: &[(&str, Value)]) -> Result<(), Exit> {
    let member = |(key, value): &(&str, Value)| format!("{}:{value}", Value::from(*key));
    let members: Vec<_> = first.iter().chain(more).map(member).collect();
    print(&format!("{{{}}}", members.join(",")))
}

/// The error of stdout that carries a connection's data, or that is full.
pub(crate) fn stdout_failed(err: &io::Error) -> Exit {
    Exit::Failed(format!("cannot write to stdout: {err}"))
}

/// Writes a line to stderr. A failed write is ignored.
pub(crate) fn print_stderr(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes a warning to stderr, in one line: control characters become spaces.
pub(crate) fn warn(warning: &str) {
    let warning = warning.replace(char::is_control, " ");
    print_stderr(&format!("virtnet: warning: {warning}"));
}
