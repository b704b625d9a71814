//! Checks of faults: what each kind does to a new dial, a dial under way, an idle connection, bytes in
//! flight, a half-closed connection, a close and a listener, and what is left after healing.
//!
//! Owns the matrix of docs/faults.md for cut, hold, refuse and reset, over every engine and registry. The cells of
//! a kind run at the same time, each between two hosts of its own, because some wait for the
//! time limits of [`Bed::quick_subnetwork`].

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::bed::{Bed, connect};
use crate::faults::{FaultGuard, Faults, Plan, Rule};
use crate::{Cause, Conn, Host, Listener, OpError, SubNetwork};

/// Bytes that the buffers of a connection hold.
const SOME: usize = 16 * 1024;

/// Long enough for what is not cut or held to arrive; a slow machine only weakens a check.
const MOMENT: Duration = Duration::from_millis(100);

/// The hosts of one cell: α dials β, each on a subnetwork of its own.
struct Cell {
    faults: Faults,
    alpha: Host,
    beta: Host,
    listener: Listener,
    /// So long a silence lasts at most.
    idle: Duration,
    /// Nothing is on its way between the hosts ([`Bed::is_exact`]).
    exact: bool,
}

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A cell's name, and the cell.
type NamedCell<'a> = (&'a str, fn(Cell) -> Running);

/// Runs the cells of a kind at the same time; nothing happens if the registry can't share a plan.
async fn run(bed: &dyn Bed, cells: Vec<NamedCell<'_>>) {
    let nets = [bed.quick_subnetwork().await, bed.quick_subnetwork().await];
    let context = &nets[0].directory.context;
    if context.registry.documents().is_some() {
        let idle = context.engine().idle_bound();
        let mut running = JoinSet::new();
        for (name, cell) in cells {
            let made = Cell::new(&nets, name, idle, bed.is_exact()).await;
            running.spawn(cell(made));
        }
        while let Some(ended) = running.join_next().await {
            ended.expect("the cell holds");
        }
    }
    for net in nets {
        // What was cut off could not be delivered.
        let closed = net.close_expecting(Cause::ConnectionCut).await;
        closed.expect("it closes");
    }
}

impl Cell {
    async fn new([here, there]: &[SubNetwork; 2], name: &str, idle: Duration, exact: bool) -> Cell {
        let alpha = here.new_host(&format!("α {name}")).await;
        let beta = there.new_host(&format!("β {name}")).await;
        let beta = beta.expect("β is new");
        Cell {
            // The cells share two busy processors.
            faults: here.faults().within(Duration::from_secs(30)),
            alpha: alpha.expect("α is new"),
            listener: beta.listen(":1").expect("the port is free"),
            beta,
            idle,
            exact,
        }
    }

    /// Sets rules of this kind: for what α sends to β, or both ways.
    async fn set(&self, rule: fn(&str, &str) -> Rule, both: bool) -> FaultGuard {
        let (alpha, beta) = (self.alpha.name(), self.beta.name());
        let mut plan = Plan::new().with(rule(alpha, beta));
        if both {
            plan = plan.with(rule(beta, alpha));
        }
        let set = self.faults.apply(plan).await;
        set.unwrap_or_else(|err| panic!("{alpha}: the plan can be set: {err}"))
    }

    async fn heal(&self, guard: FaultGuard) {
        let healed = guard.heal().await;
        healed.unwrap_or_else(|err| panic!("{}: {err}", self.alpha.name()));
    }

    async fn connect(&self) -> (Conn, Conn) {
        connect(&self.alpha, &self.listener).await
    }

    /// After healing, a new connection works, both ways and to its end.
    async fn works(&self) {
        let (mut dialed, mut accepted) = self.connect().await;
        passes(&mut dialed, &mut accepted).await;
        passes(&mut accepted, &mut dialed).await;
        dialed.shutdown().await.expect("it is open");
        assert_eq!(accepted.read(&mut [0]).await.expect("it ends cleanly"), 0);
    }

    async fn dial(&self) -> Result<Conn, OpError> {
        self.alpha.dial(self.listener.local_addr()).await
    }

    /// The dial connects and is cut. Over a network the reset may overtake the answer: then it was
    /// refused.
    async fn is_reset(&self, dialed: Result<Conn, OpError>) {
        match dialed {
            Ok(mut dialed) => ends(&mut dialed, Cause::ConnectionCut).await,
            Err(err) => {
                assert_eq!(err.cause(), Cause::ConnectionRefused, "{err}");
                assert!(!self.exact, "{err}");
            }
        }
    }

    /// Waits until the dial waits at the listener.
    async fn under_way(&self) {
        while self.listener.pending() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn passes(from: &mut Conn, to: &mut Conn) {
    from.write_all(&[7]).await.expect("it is open");
    assert_eq!(to.read_u8().await.expect("it is open"), 7);
}

/// Asserts that nothing can be read now.
async fn hangs(conn: &mut Conn) {
    let read = timeout(MOMENT, conn.read_u8()).await;
    assert!(read.is_err(), "{read:?}");
}

/// Asserts that a read fails with this cause; what arrived before is passed over.
async fn ends(conn: &mut Conn, expected: Cause) {
    let mut buffer = [0; 1024];
    loop {
        match conn.read(&mut buffer).await {
            Ok(0) => panic!("{expected:?} is no end of file"),
            Ok(_) => {}
            Err(err) => {
                let cause = OpError::of(&err).expect("an OpError").cause();
                assert_eq!(cause, expected, "{err}");
                return;
            }
        }
    }
}

async fn writes(conn: &mut Conn) -> Vec<u8> {
    let sent: Vec<u8> = (0..SOME).map(|at| at as u8).collect();
    conn.write_all(&sent).await.expect("a buffer has space");
    sent
}

async fn reads(conn: &mut Conn, sent: &[u8]) {
    let mut received = vec![0; sent.len()];
    let read = conn.read_exact(&mut received).await;
    read.expect("nothing ended");
    assert!(received == sent, "other bytes");
}

/// Names each cell's function, as the cells of a kind.
macro_rules! cells {
    ($bed:ident: $($cell:ident),+ $(,)?) => {
        run($bed, vec![$((stringify!($cell), |cell| Box::pin($cell(cell)))),+]).await
    };
}

/// Silence, which is an error for everybody after the time limits, or nothing at all if it is healed before.
pub async fn cut_cells(bed: &dyn Bed) {
    cells!(bed: cut_new_dial, cut_dial_that_is_healed, cut_dial_under_way, cut_idle,
        cut_in_flight, cut_half_closed, cut_close);
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

/// Everything waits, as long as it takes, and goes on in order.
pub async fn hold_cells(bed: &dyn Bed) {
    cells!(bed: hold_new_dial, hold_answer, hold_idle, hold_in_flight, hold_half_closed, hold_close);
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

/// Dials end at once; nothing else does.
pub async fn refuse_cells(bed: &dyn Bed) {
    cells!(bed: refuse_new_dial, refuse_dial_under_way, refuse_open);
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
    let guard = cell.set(Rule::refuse, true).await;
    passes(&mut dialed, &mut accepted).await;
    dialed.shutdown().await.expect("it is open");
    assert_eq!(accepted.read(&mut [0]).await.expect("it ends cleanly"), 0);
    passes(&mut accepted, &mut dialed).await;
    drop(accepted);
    assert_eq!(dialed.read(&mut [0]).await.expect("it ends cleanly"), 0);
    cell.heal(guard).await;
}

/// What is open ends at once at both ends, and is no end of file.
pub async fn reset_cells(bed: &dyn Bed) {
    cells!(bed: reset_new_dial, reset_dial_under_way, reset_idle, reset_half_closed, reset_other_way);
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

async fn reset_half_closed(cell: Cell) {
    let (mut dialed, mut accepted) = cell.connect().await;
    accepted.shutdown().await.expect("it is open");
    assert_eq!(dialed.read(&mut [0]).await.expect("it ends cleanly"), 0);
    let guard = cell.set(Rule::reset, false).await;
    ends(&mut accepted, Cause::ConnectionCut).await;
    cell.heal(guard).await;
}

async fn reset_other_way(cell: Cell) {
    let there = cell.alpha.listen(":1").expect("the port is free");
    let (mut dialed, mut accepted) = connect(&cell.beta, &there).await;
    let guard = cell.set(Rule::reset, false).await;
    passes(&mut dialed, &mut accepted).await;
    passes(&mut accepted, &mut dialed).await;
    cell.heal(guard).await;
}
