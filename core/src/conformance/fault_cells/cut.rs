//! The cells of *cut*: silence, until it is healed or the time limits are over.
//!
//! Owns this row of the matrix. Never ends what is healed in time.

use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use super::{Cell, MOMENT, cells, ends, hangs, passes, reads, writes};
use crate::Cause;
use crate::conformance::Bed;
use crate::faults::Rule;

/// Silence, which is an error for everybody after the time limits, or nothing at all if it is healed before.
pub async fn cut_cells(bed: &dyn Bed) {
    cells!(bed: cut_new_dial, cut_dial_that_is_healed, cut_dial_under_way, cut_idle,
        cut_in_flight, cut_half_closed, cut_close, cut_listener);
}

async fn cut_new_dial(cell: Cell) {
    let guard = cell.set(Rule::cut, false).await;
    let err = cell.dial().await.unwrap_err();
    assert_eq!(err.cause(), Cause::TimedOut, "{err}");
    assert_eq!(
        (cell.listener.pending(), cell.alpha.sockets().len()),
        (0, 0)
    );
    cell.heal(guard).await;
    cell.works().await;
}

async fn cut_dial_that_is_healed(cell: Cell) {
    let guard = cell.set(Rule::cut, true).await;
    let heal = async {
        sleep(MOMENT).await;
        cell.heal(guard).await;
    };
    let (dialed, accepted, ()) = tokio::join!(cell.dial(), cell.listener.accept(), heal);
    let (mut dialed, mut accepted) = (dialed.expect("it goes on"), accepted.expect("it is open").0);
    passes(&mut dialed, &mut accepted).await;
}

async fn cut_dial_under_way(cell: Cell) {
    let accepting = async {
        cell.under_way().await;
        let guard = cell.set(Rule::cut, true).await;
        let (mut accepted, _) = cell.listener.accept().await.expect("it is open");
        ends(&mut accepted, Cause::TimedOut).await;
        guard
    };
    let (dialed, guard) = tokio::join!(cell.dial(), accepting);
    let err = dialed.unwrap_err();
    assert_eq!(err.cause(), Cause::TimedOut, "{err}");
    cell.heal(guard).await;
    cell.works().await;
}

async fn cut_idle(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    // One direction is enough.
    let guard = cell.set(Rule::cut, false).await;
    tokio::join!(
        ends(&mut dialed, Cause::TimedOut),
        ends(&mut accepted, Cause::TimedOut)
    );
    cell.heal(guard).await;
    ends(&mut dialed, Cause::TimedOut).await;
    cell.works().await;
}

async fn cut_in_flight(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    let guard = cell.set(Rule::cut, true).await;
    let sent = writes(&mut dialed).await;
    hangs(&mut accepted).await;
    cell.heal(guard).await;
    reads(&mut accepted, &sent).await;
    passes(&mut accepted, &mut dialed).await;
}

async fn cut_half_closed(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    let guard = cell.set(Rule::cut, true).await;
    dialed.shutdown().await.expect("it is open");
    tokio::join!(
        ends(&mut dialed, Cause::TimedOut),
        ends(&mut accepted, Cause::TimedOut)
    );
    cell.heal(guard).await;
}

async fn cut_close(cell: Cell) {
    let (dialed, mut accepted) = cell.connect().await;
    let guard = cell.set(Rule::cut, true).await;
    drop(dialed);
    assert_eq!(cell.alpha.sockets().len(), 0, "its port is free");
    ends(&mut accepted, Cause::TimedOut).await;
    cell.heal(guard).await;
    cell.works().await;
}

async fn cut_listener(mut cell: Cell) {
    let guard = cell.set(Rule::cut, true).await;
    cell.others_are_heard().await;
    cell.listener.close();
    cell.heal(guard).await;
    cell.nobody_listens().await;
    cell.listener = cell.beta.listen(":1").expect("the port is free");
    cell.works().await;
}
