//! Load: connections to every host, one after the other, until a signal.
//!
//! Owns the counts of how they ended. Never fails the run because of an outage: only a
//! wrong answer or no answer at all fails it.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use virtnet::{Host, OpError};

use crate::HOSTS;
use crate::pattern::{Answer, exchange};

/// Bytes that go each way on each connection.
const LENGTH: usize = 256 * 1024;
/// A connection that takes longer hangs: a cut is noticed within 10 s, and a dial fails
/// within 3 s.
const BOUND: Duration = Duration::from_secs(20);
/// The pause between connections to one host, so that an outage causes no flood.
const PAUSE: Duration = Duration::from_millis(10);

/// How often each outcome happened, and the longest time that it took.
type Tally = BTreeMap<String, (u64, Duration)>;

/// Runs until SIGTERM or SIGINT, and prints the counts.
pub(crate) async fn run(host: &Host) -> io::Result<ExitCode> {
    let mut workers = JoinSet::new();
    let (stop, stopped) = tokio::sync::watch::channel(());
    for name in HOSTS {
        workers.spawn(worker(host.clone(), name, stopped.clone()));
    }
    drop(stopped);
    asked_to_end().await?;
    drop(stop);

    let mut tally = Tally::new();
    while let Some(worked) = workers.join_next().await {
        for (what, (count, longest)) in worked? {
            let sum = tally.entry(what).or_default();
            *sum = (sum.0 + count, sum.1.max(longest));
        }
    }
    for (what, (count, longest)) in &tally {
        println!("tally {count} {what}, at most {} ms", longest.as_millis());
    }
    let bad = ["wrong", "hung"]
        .iter()
        .any(|what| tally.contains_key(*what));
    Ok(if bad {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

async fn asked_to_end() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Connects to one host repeatedly, and prints a line when the outcome changes: `α same`,
/// `α connection refused`.
async fn worker(
    host: Host,
    name: &'static str,
    mut stopped: tokio::sync::watch::Receiver<()>,
) -> Tally {
    let (mut tally, mut last) = (Tally::new(), String::new());
    loop {
        let began = Instant::now();
        let round = tokio::time::timeout(BOUND, round(&host, name));
        let what = tokio::select! {
            done = round => done.unwrap_or_else(|_| "hung".to_owned()),
            // Either the signal, or an error: the sender is gone.
            _ = stopped.changed() => return tally,
        };
        if what != last {
            println!("{name} {what}");
            last.clone_from(&what);
        }
        let sum = tally.entry(what).or_default();
        *sum = (sum.0 + 1, sum.1.max(began.elapsed()));
        tokio::time::sleep(PAUSE).await;
    }
}

/// One connection from dial to end; returns the outcome in a word or two.
async fn round(host: &Host, name: &str) -> String {
    let conn = match host.dial(&*format!("{name}:1")).await {
        Ok(conn) => conn,
        Err(err) => return err.cause().to_string(),
    };
    let ends = format!("{} -> {}", conn.local_addr(), conn.peer_addr());
    match exchange(conn, 7, LENGTH).await {
        Ok(Answer::Same) => "same".to_owned(),
        // A host that ends meanwhile closes the connection cleanly.
        Ok(Answer::Short(bytes)) => {
            println!("{ends} ended after {bytes} bytes");
            "short".to_owned()
        }
        Ok(Answer::Wrong(at)) => {
            println!("{ends} is wrong at byte {at}");
            "wrong".to_owned()
        }
        Err(err) => match OpError::of(&err) {
            Some(err) => format!("{} open: {}", err.op(), err.cause()),
            None => err.to_string(),
        },
    }
}
