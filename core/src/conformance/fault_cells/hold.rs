//! The cells of *hold*: nothing is lost, nothing ends, and all goes on in order.
//!
//! Owns this row of the matrix. Never lets a time limit end what is held.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::{Cell, MOMENT, cells, hangs, passes, reads, writes};
use crate::conformance::Bed;
use crate::faults::Rule;

/// Everything waits, as long as it takes, and goes on in order.
pub async fn hold_cells(bed: &dyn Bed) {
    cells!(bed: hold_new_dial, hold_answer, hold_dial_under_way, hold_idle, hold_in_flight, hold_half_closed,
        hold_close, hold_listener);
}

async fn hold_new_dial(cell: Cell) {
    let guard = cell.set(Rule::hold, false).await;
    let heal = async {
        // Longer than a dial may take.
        sleep(cell.idle).await;
        assert_eq!(cell.listener.pending(), 0, "the listener sees nothing");
        cell.heal(guard).await;
    };
    let (dialed, accepted, ()) = tokio::join!(cell.dial(), cell.listener.accept(), heal);
    let (mut dialed, mut accepted) = (dialed.expect("it goes on"), accepted.expect("it is open").0);
    passes(&mut dialed, &mut accepted).await;
}

async fn hold_answer(cell: Cell) {
    // The other way: what the acceptor answers waits.
    let there = cell.alpha.listen(":1").expect("the port is free");
    let guard = cell.set(Rule::hold, false).await;
    let heal = async {
        sleep(MOMENT).await;
        cell.heal(guard).await;
    };
    let dial = cell.beta.dial(there.local_addr());
    let (dialed, accepted, ()) = tokio::join!(dial, there.accept(), heal);
    let (mut dialed, mut accepted) = (dialed.expect("it goes on"), accepted.expect("it is open").0);
    passes(&mut accepted, &mut dialed).await;
}

async fn hold_dial_under_way(cell: Cell) {
    let accepting = async {
        cell.under_way().await;
        let guard = cell.set(Rule::hold, true).await;
        let heal = async {
            sleep(MOMENT).await;
            cell.heal(guard).await;
        };
        let (accepted, ()) = tokio::join!(cell.listener.accept(), heal);
        accepted.expect("it is open").0
    };
    let (dialed, mut accepted) = tokio::join!(cell.dial(), accepting);
    let mut dialed = dialed.expect("it goes on");
    passes(&mut dialed, &mut accepted).await;
}

async fn hold_idle(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    let guard = cell.set(Rule::hold, true).await;
    // No time limit ends it.
    sleep(cell.idle + MOMENT).await;
    hangs(&mut accepted).await;
    cell.heal(guard).await;
    passes(&mut dialed, &mut accepted).await;
    passes(&mut accepted, &mut dialed).await;
}

async fn hold_in_flight(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    let guard = cell.set(Rule::hold, false).await;
    let sent = writes(&mut dialed).await;
    hangs(&mut accepted).await;
    passes(&mut accepted, &mut dialed).await;
    cell.heal(guard).await;
    reads(&mut accepted, &sent).await;
}

async fn hold_half_closed(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    let guard = cell.set(Rule::hold, false).await;
    dialed.shutdown().await.expect("it is open");
    hangs(&mut accepted).await;
    passes(&mut accepted, &mut dialed).await;
    cell.heal(guard).await;
    assert_eq!(accepted.read(&mut [0]).await.expect("it ends cleanly"), 0);
}

async fn hold_close(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    let guard = cell.set(Rule::hold, false).await;
    let sent = writes(&mut dialed).await;
    drop(dialed);
    assert_eq!(cell.alpha.sockets().len(), 0, "its port is free");
    hangs(&mut accepted).await;
    cell.heal(guard).await;
    reads(&mut accepted, &sent).await;
    assert_eq!(accepted.read(&mut [0]).await.expect("it ends cleanly"), 0);
}

async fn hold_listener(cell: Cell) {
    let guard = cell.set(Rule::hold, false).await;
    cell.others_are_heard().await;
    let closing = async {
        sleep(MOMENT).await;
        cell.listener.close();
        cell.heal(guard).await;
    };
    // It arrives when nobody listens any more.
    tokio::join!(cell.nobody_listens(), closing);
}
