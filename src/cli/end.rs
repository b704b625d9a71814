//! How the command ends: with one line for a failure, or by a signal.
//!
//! Owns [`End`], and the writing of lines to stdout and stderr. Never ends the
//! process.

use std::error::Error;
use std::io::{self, Write};

use serde_json::Value;
use virtnet::{AddrError, Cause, OpenError, SettingError};

/// Why the command ends before it is done.
#[derive(Debug)]
pub(crate) enum End {
    /// Says why, in one line.
    Failed(String),
    /// The same, where it was asked for what can't be: an address, a setting.
    Misused(String),
    /// The number of the signal that asked for it.
    Signal(i32),
}

impl End {
    /// As SIGPIPE ends a process; Rust's have it ignored.
    const NOBODY_READS: End = End::Signal(13);
}

impl<E: Error + 'static> From<E> for End {
    fn from(err: E) -> End {
        let line = one_line(&err);
        match is_misuse(&err) {
            true => End::Misused(line),
            false => End::Failed(line),
        }
    }
}

/// Whether an error is of what was asked for, and not of what came of it.
fn is_misuse(err: &(dyn Error + 'static)) -> bool {
    if err.is::<AddrError>() || err.is::<SettingError>() {
        return true;
    }
    match err.downcast_ref::<OpenError>() {
        Some(OpenError::Setting(_)) => true,
        // A URL that only the registry can read all of.
        Some(OpenError::Registry(err)) => err.cause() == Cause::InvalidAddr,
        _ => false,
    }
}

/// An error and what led to it, in one line and nothing twice.
pub(crate) fn one_line(err: &dyn Error) -> String {
    let mut line = err.to_string();
    let mut source = err.source();
    while let Some(err) = source {
        let text = err.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        source = err.source();
    }
    // A server's words may contain anything, and go to a terminal.
    line.replace(char::is_control, " ")
}

/// Writes a line to stdout.
pub(crate) fn print(line: &str) -> Result<(), End> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(|err| not_printed(&err))
}

/// What is printed is for whoever reads: one who has had enough, as `head` has, is told
/// nothing, and the process ends as by the signal for it.
pub(crate) fn not_printed(err: &io::Error) -> End {
    match err.kind() {
        io::ErrorKind::BrokenPipe => End::NOBODY_READS,
        _ => stdout_failed(err),
    }
}

/// Writes an object as a line to stdout: keys in the order given.
pub(crate) fn print_json(first: &[(&str, Value)], more: &[(&str, Value)]) -> Result<(), End> {
    let member = |(key, value): &(&str, Value)| format!("{}:{value}", Value::from(*key));
    let members: Vec<_> = first.iter().chain(more).map(member).collect();
    print(&format!("{{{}}}", members.join(",")))
}

/// Nothing more can be written to stdout.
pub(crate) fn stdout_failed(err: &io::Error) -> End {
    End::Failed(format!("cannot write to stdout: {err}"))
}

/// Writes a line to stderr. That nobody reads it is no reason to fail.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Tells people what does no harm yet: in one line, whatever is in it.
pub(crate) fn warn(what: &str) {
    let what = what.replace(char::is_control, " ");
    say(&format!("virtnet: warning: {what}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Link(&'static str, #[source] Option<Box<Link>>);

    #[test]
    fn a_chain_is_one_line_without_repeating() {
        let last = Link("no\nroute", None);
        let middle = Link("refused", Some(last.into()));
        let first = Link("dial: refused", Some(middle.into()));
        assert_eq!(one_line(&first), "dial: refused: no route");
    }
}
