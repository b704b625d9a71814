//! The script: dials one after the other, and compares every address.
//!
//! Owns the expected events and the report. Never stops at the first difference: the report
//! shows all.

use std::io;
use std::process::ExitCode;
use std::time::Instant;

use virtnet::{Conn, Host};

use crate::pattern::{Answer, exchange};

/// The expected events, in this order, on hosts that nobody else has dialed.
///
/// Each port is the lowest free one: port 1 of a dialed host is its listener's, so the
/// first connection has port 2. A failed dial frees its port. The events are the same on
/// every run.
const EXPECTED: [&str; 10] = [
    "runner:1 -> α:2",
    "runner:2 -> β:2",
    "runner:3 -> γ:2",
    "runner:4 -> α:3",
    "runner:5 -> α:9: connection refused",
    "runner:5 -> δ:1: no such host",
    // These ports are free again: the connections are closed.
    "runner:1 -> γ:2",
    "runner:2 -> β:2",
    "runner:3 -> α:2",
    "runner:4 -> α:3",
];

/// Bytes that go each way on each connection.
const LENGTH: usize = 8 << 20;

pub(crate) async fn run(host: &Host) -> io::Result<ExitCode> {
    let mut report = Report::default();
    for round in [
        &["α:1", "β:1", "γ:1", "α:1", "α:9", "δ:1"][..],
        &["γ:1", "β:1", "α:1", "α:1"],
    ] {
        let mut conns = Vec::new();
        for to in round {
            conns.extend(report.dial(host, to).await);
        }
        report.exchange(conns).await?;
    }
    Ok(report.end())
}

#[derive(Default)]
struct Report {
    events: usize,
    wrong: usize,
    bytes: usize,
}

impl Report {
    async fn dial(&mut self, host: &Host, to: &str) -> Option<Conn> {
        match host.dial(to).await {
            Ok(conn) => {
                self.event(&format!("{} -> {}", conn.local_addr(), conn.peer_addr()));
                Some(conn)
            }
            Err(err) => {
                // The error of a dial has both addresses.
                let [src, dst] = [err.src(), err.addr()].map(|end| end.map(ToString::to_string));
                let (src, dst) = (src.unwrap_or_default(), dst.unwrap_or_default());
                self.event(&format!("{src} -> {dst}: {}", err.cause()));
                None
            }
        }
    }

    /// Compares an event with the expected one, and prints it.
    fn event(&mut self, got: &str) {
        let expected = EXPECTED.get(self.events).copied();
        self.events += 1;
        if expected == Some(got) {
            println!("  as expected  {got}");
        } else {
            self.wrong += 1;
            let expected = expected.unwrap_or("nothing more");
            println!("  UNEXPECTED   {got}\n      instead of {expected}");
        }
    }

    /// Sends data over all connections at once, and waits until they end.
    async fn exchange(&mut self, conns: Vec<Conn>) -> io::Result<()> {
        let (began, count) = (Instant::now(), conns.len());
        let mut running = tokio::task::JoinSet::new();
        for (seed, conn) in (1..).zip(conns) {
            let to = conn.peer_addr().to_string();
            running.spawn(async move { (to, exchange(conn, seed, LENGTH).await) });
        }
        while let Some(exchanged) = running.join_next().await {
            let (to, answer) = exchanged?;
            match answer? {
                Answer::Same => self.bytes += LENGTH,
                other => {
                    self.wrong += 1;
                    println!("  UNEXPECTED   {to} sent back: {other:?} of {LENGTH}");
                }
            }
        }
        println!(
            "               {count} connections at once, {} MiB there and back in {:.2?}",
            (count * LENGTH) >> 20,
            began.elapsed()
        );
        Ok(())
    }

    fn end(self) -> ExitCode {
        let missing = EXPECTED.len().saturating_sub(self.events);
        if self.wrong + missing == 0 {
            println!(
                "passed: {} events as expected, {} bytes came back unchanged",
                self.events, self.bytes
            );
            return ExitCode::SUCCESS;
        }
        println!("FAILED: {} unexpected, {missing} missing", self.wrong);
        ExitCode::FAILURE
    }
}
