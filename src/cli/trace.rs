//! What the library tells while it works, on stderr.
//!
//! Owns what of it is shown: warnings by default, and that the registry is back; more
//! with `-v`; what `RUST_LOG` says in place of both. Never shows the same line twice in
//! a row, and no control characters.

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

use super::end::{say, warn};

/// The targets of all packages of the project begin so.
const OURS: &str = "virtnet";

/// Says when leases can't be renewed, and when they are again.
const RENEWER: &str = "virtnet_registry_redis::registry::renewer";

/// The variable that takes the place of all that follows from `-v`.
const VARIABLE: &str = "RUST_LOG";

/// From here on, what is traced goes to stderr.
pub(crate) fn start(verbose: u8) {
    let given = env::var(VARIABLE).ok().filter(|given| !given.is_empty());
    let (shown, problem) = match given.as_deref().map(str::parse::<Targets>) {
        None => (by_default(verbose), None),
        Some(Ok(targets)) => (targets, None),
        // It may be meant for others, who read more into it.
        Some(Err(err)) => (by_default(verbose), Some(err)),
    };
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Line)
        .with_writer(Stderr::default)
        .with_filter(shown);
    let subscriber = tracing_subscriber::registry().with(lines);
    // There is none yet: this process has one only here.
    let _ = tracing::subscriber::set_global_default(subscriber);
    if let Some(err) = problem {
        warn(&format!(
            "{VARIABLE}: expected target=level,…, as virtnet=debug, got what can't be read: {err}"
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
    let targets = Targets::new().with_default(others).with_target(OURS, ours);
    targets.with_target(RENEWER, ours.max(LevelFilter::INFO))
}

/// An event as a line: where it belongs to, what happened, and its fields.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
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

/// What was said last.
static LAST: Mutex<String> = Mutex::new(String::new());

/// Takes one event's text, and says it when it is dropped.
#[derive(Default)]
struct Stderr(Vec<u8>);

impl std::io::Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Stderr {
    fn drop(&mut self) {
        let line = String::from_utf8_lossy(&self.0);
        let line = line.trim_end().replace(char::is_control, " ");
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        // As two subnetworks of one process see the same.
        if *last != line {
            say(&line);
            *last = line;
        }
    }
}
