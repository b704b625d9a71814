//! The cells of the shapes: what arrives late, slowly, several times or with a wrong bit.
//!
//! Owns these rows of the matrix. Asserts no time but the least that a delay or a rate takes, and nothing where
//! the engine refuses a rule, if it names it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::{Cell, SOME, cells, passes, reads, writes};
use crate::conformance::Bed;
use crate::faults::{FaultError, FaultGuard, Plan, Rule};

/// So much later everything arrives.
const LATE: Duration = Duration::from_millis(150);

/// Bytes per second: slow enough to take longer than anything else, fast enough for a dial.
const SLOW: u64 = 16 * 1024;

/// Bytes that go through such a rate in half a second.
const HALF: usize = SLOW as usize / 2;

type MakeRule = fn(&str, &str) -> Rule;

fn delay(from: &str, to: &str) -> Rule {
    Rule::delay(from, to, LATE)
}

fn rate(from: &str, to: &str) -> Rule {
    Rule::rate(from, to, SLOW)
}

fn lose(from: &str, to: &str) -> Rule {
    Rule::lose(from, to, 0.1)
}

fn duplicate(from: &str, to: &str) -> Rule {
    Rule::duplicate(from, to, 0.5)
}

fn reorder(from: &str, to: &str) -> Rule {
    Rule::reorder(from, to, 0.3, Duration::from_millis(5))
}

fn corrupt(from: &str, to: &str) -> Rule {
    Rule::corrupt(from, to, 1.0)
}

impl Cell {
    /// Sets rules both ways, and says from when they are in force; `None` if the engine refuses them, and names one.
    async fn shape(&self, rule: MakeRule) -> Option<(FaultGuard, Instant)> {
        let (alpha, beta) = (self.alpha.name(), self.beta.name());
        let rules = [rule(alpha, beta), rule(beta, alpha)];
        let set = self.faults.apply(rules.iter().cloned().collect::<Plan>());
        match set.await {
            Ok(guard) => Some((guard, Instant::now())),
            Err(FaultError::Refused(refusals)) => {
                for refusal in refusals {
                    let named =
                        |rule: &Rule| refusal.why.contains(&format!("{:?}", rule.to_string()));
                    assert!(rules.iter().any(named), "{}", refusal.why);
                    assert!(refusal.why.contains("this engine"), "{}", refusal.why);
                }
                None
            }
            Err(err) => panic!("{alpha}: the plan can be set: {err}"),
        }
    }
}

#[track_caller]
fn assert_late(begin: Instant, least: Duration) {
    let took = begin.elapsed();
    assert!(took >= least, "{took:?} of {least:?}");
}

/// Everything arrives later, whole and in order.
pub async fn delay_cells(bed: &dyn Bed) {
    cells!(bed: delay_new_dial, delay_dial_under_way, delay_idle, delay_in_flight, delay_half_closed,
        delay_close, delay_listener);
}

async fn delay_new_dial(cell: Cell) {
    let Some((guard, begin)) = cell.shape(delay).await else {
        return;
    };
    let (mut dialed, mut accepted) = cell.connect().await;
    assert_late(begin, 2 * LATE);
    passes(&mut dialed, &mut accepted).await;
    cell.heal(guard).await;
    cell.works().await;
}

async fn delay_dial_under_way(cell: Cell) {
    let accepting = async {
        cell.under_way().await;
        let set = cell.shape(delay).await;
        (cell.listener.accept().await.expect("it is open").0, set)
    };
    let (dialed, (mut accepted, set)) = tokio::join!(cell.dial(), accepting);
    let mut dialed = dialed.expect("it goes on");
    if let Some((guard, begin)) = set {
        // The answer is late.
        assert_late(begin, LATE);
        cell.heal(guard).await;
    }
    passes(&mut dialed, &mut accepted).await;
}

async fn delay_idle(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    let Some((guard, begin)) = cell.shape(delay).await else {
        return;
    };
    passes(&mut dialed, &mut accepted).await;
    assert_late(begin, LATE);
    passes(&mut accepted, &mut dialed).await;
    assert_late(begin, 2 * LATE);
    cell.heal(guard).await;
    passes(&mut dialed, &mut accepted).await;
}

async fn delay_in_flight(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    let Some((guard, begin)) = cell.shape(delay).await else {
        return;
    };
    let sent = writes(&mut dialed).await;
    // What is on its way stays late, and what is written after it arrives after it.
    cell.heal(guard).await;
    dialed.write_all(&[7]).await.expect("it is open");
    reads(&mut accepted, &sent).await;
    assert_eq!(accepted.read_u8().await.expect("it is open"), 7);
    // Over a network it may have been sent again, and have overtaken itself.
    if cell.exact {
        assert_late(begin, LATE);
    }
}

async fn delay_half_closed(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    let Some((guard, begin)) = cell.shape(delay).await else {
        return;
    };
    dialed.shutdown().await.expect("it is open");
    assert_eq!(accepted.read(&mut [0]).await.expect("it ends cleanly"), 0);
    assert_late(begin, LATE);
    passes(&mut accepted, &mut dialed).await;
    cell.heal(guard).await;
}

async fn delay_close(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    let Some((guard, begin)) = cell.shape(delay).await else {
        return;
    };
    let sent = writes(&mut dialed).await;
    drop(dialed);
    assert_eq!(cell.alpha.sockets().len(), 0, "its port is free");
    reads(&mut accepted, &sent).await;
    assert_eq!(accepted.read(&mut [0]).await.expect("it ends cleanly"), 0);
    assert_late(begin, LATE);
    drop(accepted);
    cell.heal(guard).await;
    cell.works().await;
}

async fn delay_listener(cell: Cell) {
    let Some((guard, _)) = cell.shape(delay).await else {
        return;
    };
    cell.others_are_heard().await;
    cell.listener.close();
    cell.nobody_listens().await;
    cell.heal(guard).await;
    cell.nobody_listens().await;
}

/// All connections of a pair share a rate; nothing is wrong.
pub async fn rate_cells(bed: &dyn Bed) {
    cells!(bed: rate_new_dial, rate_in_flight, rate_close);
}

async fn rate_new_dial(cell: Cell) {
    let Some((guard, _)) = cell.shape(rate).await else {
        return;
    };
    cell.works().await;
    cell.heal(guard).await;
    cell.works().await;
}

async fn rate_in_flight(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    let Some((guard, begin)) = cell.shape(rate).await else {
        return;
    };
    let sent = vec![7; HALF + SOME];
    let write = async { dialed.write_all(&sent).await.expect("it is open") };
    let read = async { reads(&mut accepted, &sent).await };
    tokio::join!(write, read);
    assert_late(begin, Duration::from_millis(500));
    cell.heal(guard).await;
    passes(&mut dialed, &mut accepted).await;
}

async fn rate_close(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    let Some((guard, _)) = cell.shape(rate).await else {
        return;
    };
    let sent = writes(&mut dialed).await;
    drop(dialed);
    reads(&mut accepted, &sent).await;
    assert_eq!(accepted.read(&mut [0]).await.expect("it ends cleanly"), 0);
    cell.heal(guard).await;
}

/// Slower, never wrong.
pub async fn loss_cells(bed: &dyn Bed) {
    cells!(bed: lose_all, duplicate_all, reorder_all);
}

async fn lose_all(cell: Cell) {
    never_wrong(cell, lose).await;
}

async fn duplicate_all(cell: Cell) {
    never_wrong(cell, duplicate).await;
}

async fn reorder_all(cell: Cell) {
    never_wrong(cell, reorder).await;
}

async fn never_wrong(cell: Cell, rule: MakeRule) {
    let (mut dialed, mut accepted) = cell.connect().await;
    let sent = writes(&mut dialed).await;
    let set = cell.shape(rule).await;
    reads(&mut accepted, &sent).await;
    for _ in 0..8 {
        let sent = writes(&mut accepted).await;
        reads(&mut dialed, &sent).await;
        passes(&mut dialed, &mut accepted).await;
    }
    let sent = writes(&mut dialed).await;
    dialed.shutdown().await.expect("it is open");
    reads(&mut accepted, &sent).await;
    assert_eq!(accepted.read(&mut [0]).await.expect("it ends cleanly"), 0);
    passes(&mut accepted, &mut dialed).await;
    drop(accepted);
    assert_eq!(dialed.read(&mut [0]).await.expect("it ends cleanly"), 0);
    if let Some((guard, _)) = set {
        cell.works().await;
        cell.heal(guard).await;
    }
    cell.works().await;
}

/// Bits are wrong; nobody is told, and nothing else is changed.
pub async fn corrupt_cells(bed: &dyn Bed) {
    cells!(bed: corrupt_new_dial, corrupt_in_flight, corrupt_close);
}

/// Each byte has one wrong bit.
fn assert_wrong(sent: &[u8], received: &[u8]) {
    assert_eq!(sent.len(), received.len());
    let one_bit = |(sent, received): (&u8, &u8)| (sent ^ received).count_ones() == 1;
    assert!(sent.iter().zip(received).all(one_bit));
}

async fn corrupt_new_dial(cell: Cell) {
    let Some((guard, _)) = cell.shape(corrupt).await else {
        return;
    };
    let (mut dialed, mut accepted) = cell.connect().await;
    cell.heal(guard).await;
    passes(&mut dialed, &mut accepted).await;
}

async fn corrupt_in_flight(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    let Some((guard, _)) = cell.shape(corrupt).await else {
        return;
    };
    let sent = writes(&mut dialed).await;
    let mut received = vec![0; SOME];
    let read = accepted.read_exact(&mut received).await;
    read.expect("nothing ended");
    assert_wrong(&sent, &received);
    cell.heal(guard).await;
    passes(&mut dialed, &mut accepted).await;
}

async fn corrupt_close(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    let Some((guard, _)) = cell.shape(corrupt).await else {
        return;
    };
    let sent = writes(&mut dialed).await;
    drop(dialed);
    let mut received = Vec::new();
    let read = accepted.read_to_end(&mut received).await;
    read.expect("it ends cleanly");
    assert_wrong(&sent, &received);
    cell.heal(guard).await;
}
