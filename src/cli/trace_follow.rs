//! `virtnet trace follow`: the events of the network as they come.
//!
//! Owns when it ends. Never opens the network.

use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep, sleep_until};
use virtnet::Cause;
use virtnet::trace::{Following, LiveTraceError, Pattern};

use super::exit::Exit;
use super::options::{Options, seconds};
use super::output::{print, print_stderr, warn};
use super::session::Signals;

/// The pause after a failure of the registry.
const PAUSE: Duration = Duration::from_millis(500);

/// What is printed, and until when.
#[derive(Debug, Args)]
pub(crate) struct Follow {
    /// End at the first event like this, in which * stands for any characters, such as
    /// 'β:1 -> * connected'
    #[arg(long, value_name = "EVENT")]
    until: Option<String>,
    /// End after this time; with --until it is a failure
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    time: Option<Duration>,
    /// Begin with the first event that the registry still has, not with the next one
    #[arg(long)]
    all: bool,
    /// Print JSON objects, with the members of a trace file and "process"
    #[arg(long)]
    json: bool,
}

pub(crate) async fn follow(
    options: Options,
    args: Follow,
    signals: &mut Signals,
) -> Result<(), Exit> {
    let observer = options.shared_config()?.observer();
    let followed = async {
        let trace = observer.live_trace().await?;
        let events = match args.all {
            true => trace.follow_from_start(),
            false => trace.follow().await?,
        };
        print_stderr(&format!("following {}", observer.describe()?));
        let deadline = args.time.and_then(|time| Instant::now().checked_add(time));
        let over = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = print_events(events, &args) => ended,
            () = over => match &args.until {
                None => Ok(()),
                Some(event) => Err(Exit::Failed(format!(
                    "within {:?} there was no {event:?}",
                    args.time.unwrap_or_default()
                ))),
            },
        }
    };
    signals.or(followed).await?
}

/// Prints events until there is one like that of `--until`.
async fn print_events(mut events: Following, args: &Follow) -> Result<(), Exit> {
    let until = args.until.clone().map(Pattern::from);
    let (mut dropped, mut is_down) = (0, false);
    loop {
        let next = match events.next().await {
            Err(LiveTraceError::Registry(why)) if why.cause() == Cause::RegistryDown => {
                if !std::mem::replace(&mut is_down, true) {
                    warn(&why.to_string());
                }
                sleep(PAUSE).await;
                continue;
            }
            next => next?,
        };
        is_down = false;
        if events.dropped() > dropped {
            warn(&format!(
                "{} events were dropped",
                events.dropped() - dropped
            ));
            dropped = events.dropped();
        }
        for next in next {
            match args.json {
                true => print(&next.to_line())?,
                // A note may contain control characters, and the line goes to a terminal.
                false => print(&next.event.to_string().replace(char::is_control, " "))?,
            }
            if until
                .as_ref()
                .is_some_and(|until| until.matches(&next.event))
            {
                return Ok(());
            }
        }
    }
}
