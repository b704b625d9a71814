//! How the command ends: with one line for a failure, or by a signal.
//!
//! Owns [`Exit`], and which errors are usage errors. Never ends the process, and never
//! prints.

use std::error::Error;

use virtnet::{AddrError, Cause, OpenError, SettingError};

/// Why the command ends early.
#[derive(Debug)]
pub(crate) enum Exit {
    /// It failed; the line says why. Exit code 1.
    Failed(String),
    /// An address or a setting is not valid; the line says which. Exit code 2.
    Usage(String),
    /// This signal ended it. Exit code 128 and the signal's number.
    Signal(i32),
    /// The program of `virtnet run` ended with this exit code.
    Program(i32),
}

impl Exit {
    /// Nobody reads stdout any more. SIGPIPE would end the process, but Rust programs
    /// ignore that signal.
    pub(crate) const BROKEN_PIPE: Exit = Exit::Signal(13);
}

impl<E: Error + 'static> From<E> for Exit {
    fn from(err: E) -> Exit {
        let line = one_line(&err);
        match is_usage_error(&err) {
            true => Exit::Usage(line),
            false => Exit::Failed(line),
        }
    }
}

/// Whether the error comes from the arguments or the variables.
fn is_usage_error(err: &(dyn Error + 'static)) -> bool {
    if err.is::<AddrError>() || err.is::<SettingError>() {
        return true;
    }
    match err.downcast_ref::<OpenError>() {
        Some(OpenError::Setting(_)) => true,
        // Some parts of a URL only the registry can check.
        Some(OpenError::Registry(err)) => err.cause() == Cause::InvalidAddr,
        Some(OpenError::Wait(err)) => err.cause() == Cause::InvalidAddr,
        _ => false,
    }
}

/// An error and its sources in one line, without repetitions.
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
    // A server's text may contain control characters, and the line goes to a terminal.
    line.replace(char::is_control, " ")
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
