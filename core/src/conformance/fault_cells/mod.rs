//! Checks of faults: what each kind does to a new dial, a dial under way, an idle connection, bytes in
//! flight, a half-closed connection, a close and a listener, and what is left after healing.
//!
//! Owns the matrix of docs/faults.md over every engine and registry. The cells of a kind run at the same
//! time, each between two hosts of its own, because some wait for the
//! time limits of [`Bed::quick_subnetwork`].

mod cut;
mod ends;
mod hold;
mod shape;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub use cut::cut_cells;
pub use ends::{refuse_cells, reset_cells};
pub use hold::hold_cells;
pub use shape::{corrupt_cells, delay_cells, loss_cells, rate_cells};

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

    /// After healing, nobody listens any more: a dial is refused, and not by a rule.
    async fn nobody_listens(&self) {
        let err = self.dial().await.unwrap_err();
        assert_eq!(err.cause(), Cause::ConnectionRefused, "{err}");
        assert!(!format!("{err:?}").contains("fault rule"), "{err:?}");
    }

    /// β dials itself: a rule for α changes nothing for a listener's other dialers.
    async fn others_are_heard(&self) {
        let (mut dialed, mut accepted) = connect(&self.beta, &self.listener).await;
        passes(&mut dialed, &mut accepted).await;
        passes(&mut accepted, &mut dialed).await;
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

/// Runs the cells of a kind: functions, by their names.
macro_rules! cells {
    ($bed:ident: $($cell:ident),+ $(,)?) => {
        super::run($bed, vec![$((stringify!($cell), |cell| Box::pin($cell(cell)))),+]).await
    };
}
use cells;
