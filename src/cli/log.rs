//! The library's log, on stderr.
//!
//! Owns which events are shown: by default warnings, and that the registry is back; more
//! with `-v`; with `RUST_LOG` those that it selects instead. Never shows the same line
//! twice in a row, and no control characters.

use std::env;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use super::output::{print_stderr, warn};

/// The targets of all packages of the project begin with this.
const WORKSPACE: &str = "virtnet";

/// The target of "the registry is back", among others.
const RENEWER: &str = "virtnet_registry_redis::registry::renewer";

/// The variable that overrides `-v`.
const VARIABLE: &str = "RUST_LOG";

/// Starts to write the events of `tracing` to stderr.
pub(crate) fn start(verbose: u8) {
    let given = env::var(VARIABLE).ok().filter(|given| !given.is_empty());
    let (shown, problem) = match given.as_deref().map(str::parse::<Targets>) {
        None => (by_default(verbose), None),
        Some(Ok(targets)) => (targets, None),
        // It may be meant for other programs, which know more of its syntax.
        Some(Err(err)) => (by_default(verbose), Some(err)),
    };
    let lines = tracing_subscriber::fmt::layer()
        .event_format(LineFormat)
        .with_writer(EventLine::default)
        .with_filter(shown);
    let subscriber = tracing_subscriber::registry().with(lines);
    // Cannot fail: the process sets no other subscriber.
    let _ = tracing::subscriber::set_global_default(subscriber);
    if let (Some(given), Some(err)) = (given, problem) {
        warn(&format!(
            "{VARIABLE}: expected target=level,…, such as virtnet=debug, got {given:?}: {err}"
        ));
    }
}

fn by_default(verbose: u8) -> Targets {
    let (ours, others) = match verbose {
        0 => (LevelFilter::WARN, LevelFilter::ERROR),
        1 => (LevelFilter::INFO, LevelFilter::WARN),
        2 => (LevelFilter::DEBUG, LevelFilter::WARN),
        _ => (LevelFilter::TRACE, LevelFilter::DEBUG),
    };
    let targets = Targets::new()
        .with_default(others)
        .with_target(WORKSPACE, ours);
    targets.with_target(RENEWER, ours.max(LevelFilter::INFO))
}

/// The format of an event: one line of its level, spans, message and fields.
struct LineFormat;

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        write!(writer, "virtnet: {level}: ")?;
        for span in ctx
            .event_scope()
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            write!(writer, "{}", span.name())?;
            let extensions = span.extensions();
            let fields = extensions.get::<tracing_subscriber::fmt::FormattedFields<N>>();
            match fields.filter(|fields| !fields.is_empty()) {
                Some(fields) => write!(writer, "{{{fields}}}: ")?,
                None => write!(writer, ": ")?,
            }
        }
        ctx.format_fields(writer, event)
    }
}

/// The last line that was written.
static LAST: Mutex<String> = Mutex::new(String::new());

/// Collects one event's text, and writes it when it is dropped.
#[derive(Default)]
struct EventLine(Vec<u8>);

impl std::io::Write for EventLine {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for EventLine {
    fn drop(&mut self) {
        let line = String::from_utf8_lossy(&self.0);
        let line = line.trim_end().replace(char::is_control, " ");
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        // Two subnetworks of one process report the same.
        if *last != line {
            print_stderr(&line);
            *last = line;
        }
    }
}
