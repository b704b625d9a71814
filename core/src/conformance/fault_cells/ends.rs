//! The cells of *refuse* and *reset*: what ends at once.
//!
//! Owns these rows of the matrix. Never waits for a time limit.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Cell, cells, ends, passes, reads, writes};
use crate::Cause;
use crate::conformance::Bed;
use crate::conformance::bed::connect;
use crate::faults::Rule;

/// Dials end at once; nothing else does.
pub async fn refuse_cells(bed: &dyn Bed) {
    cells!(bed: refuse_new_dial, refuse_dial_under_way, refuse_open, refuse_listener);
}

async fn refuse_new_dial(cell: Cell) {
    let guard = cell.set(Rule::refuse, false).await;
    let err = cell.dial().await.unwrap_err();
    assert_eq!(err.cause(), Cause::ConnectionRefused, "{err}");
    assert!(format!("{err:?}").contains("fault rule"), "{err:?}");
    assert_eq!(
        (cell.listener.pending(), cell.alpha.sockets().len()),
        (0, 0)
    );
    // The other way is open.
    let there = cell.alpha.listen(":1").expect("the port is free");
    drop(connect(&cell.beta, &there).await);
    cell.heal(guard).await;
    cell.works().await;
}

async fn refuse_dial_under_way(cell: Cell) {
    let accepting = async {
        cell.under_way().await;
        let guard = cell.set(Rule::refuse, true).await;
        (cell.listener.accept().await.expect("it is open").0, guard)
    };
    let (dialed, (mut accepted, guard)) = tokio::join!(cell.dial(), accepting);
    let mut dialed = dialed.expect("it came before the rule");
    passes(&mut dialed, &mut accepted).await;
    cell.heal(guard).await;
}

async fn refuse_open(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    let sent = writes(&mut dialed).await;
    let guard = cell.set(Rule::refuse, true).await;
    reads(&mut accepted, &sent).await;
    passes(&mut dialed, &mut accepted).await;
    dialed.shutdown().await.expect("it is open");
    assert_eq!(accepted.read(&mut [0]).await.expect("it ends cleanly"), 0);
    passes(&mut accepted, &mut dialed).await;
    drop(accepted);
    assert_eq!(dialed.read(&mut [0]).await.expect("it ends cleanly"), 0);
    cell.heal(guard).await;
}

async fn refuse_listener(cell: Cell) {
    let guard = cell.set(Rule::refuse, false).await;
    cell.others_are_heard().await;
    cell.listener.close();
    cell.heal(guard).await;
    cell.nobody_listens().await;
}

/// What is open ends at once at both ends, and is no end of file.
pub async fn reset_cells(bed: &dyn Bed) {
    cells!(bed: reset_new_dial, reset_dial_under_way, reset_idle, reset_in_flight, reset_half_closed,
        reset_close, reset_listener, reset_other_way);
}

async fn reset_new_dial(cell: Cell) {
    let guard = cell.set(Rule::reset, false).await;
    let (dialed, accepted) = tokio::join!(cell.dial(), cell.listener.accept());
    cell.is_reset(dialed).await;
    ends(&mut accepted.expect("it connects").0, Cause::ConnectionCut).await;
    cell.heal(guard).await;
    cell.works().await;
}

async fn reset_dial_under_way(cell: Cell) {
    let accepting = async {
        cell.under_way().await;
        let guard = cell.set(Rule::reset, false).await;
        (cell.listener.accept().await.expect("it is open").0, guard)
    };
    let (dialed, (mut accepted, guard)) = tokio::join!(cell.dial(), accepting);
    cell.is_reset(dialed).await;
    ends(&mut accepted, Cause::ConnectionCut).await;
    cell.heal(guard).await;
}

async fn reset_idle(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    let guard = cell.set(Rule::reset, false).await;
    ends(&mut dialed, Cause::ConnectionCut).await;
    ends(&mut accepted, Cause::ConnectionCut).await;
    cell.heal(guard).await;
    ends(&mut dialed, Cause::ConnectionCut).await;
    drop((dialed, accepted));
    cell.works().await;
}

async fn reset_in_flight(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    writes(&mut dialed).await;
    writes(&mut accepted).await;
    let guard = cell.set(Rule::reset, false).await;
    ends(&mut dialed, Cause::ConnectionCut).await;
    ends(&mut accepted, Cause::ConnectionCut).await;
    cell.heal(guard).await;
    cell.works().await;
}

async fn reset_half_closed(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    accepted.shutdown().await.expect("it is open");
    assert_eq!(dialed.read(&mut [0]).await.expect("it ends cleanly"), 0);
    let guard = cell.set(Rule::reset, false).await;
    ends(&mut accepted, Cause::ConnectionCut).await;
    cell.heal(guard).await;
}

async fn reset_close(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    // What is held is still under way when its writer closes.
    let held = cell.set(Rule::hold, false).await;
    writes(&mut dialed).await;
    drop(dialed);
    let guard = cell.set(Rule::reset, false).await;
    ends(&mut accepted, Cause::ConnectionCut).await;
    cell.heal(guard).await;
    cell.heal(held).await;
    ends(&mut accepted, Cause::ConnectionCut).await;
    drop(accepted);
    cell.works().await;
}

async fn reset_listener(cell: Cell) {
    let guard = cell.set(Rule::reset, false).await;
    cell.others_are_heard().await;
    cell.listener.close();
    cell.nobody_listens().await;
    cell.heal(guard).await;
    cell.nobody_listens().await;
}

async fn reset_other_way(cell: Cell) {
    let there = cell.alpha.listen(":1").expect("the port is free");
    let (mut dialed, mut accepted) = connect(&cell.beta, &there).await;
    let guard = cell.set(Rule::reset, false).await;
    passes(&mut dialed, &mut accepted).await;
    passes(&mut accepted, &mut dialed).await;
    cell.heal(guard).await;
}
