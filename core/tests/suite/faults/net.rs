//! Two hosts on two subnetworks, and what their ends see.
//!
//! Owns the helpers of these tests. Never decides what a fault does.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use virtnet_core::conformance::enforce;
use virtnet_core::pipe::PipeNetwork;
use virtnet_core::{Cause, Conn, FaultStats, Host, Listener, OpError, SubNetwork};

pub(crate) const IDLE: Duration = Duration::from_secs(10);
pub(crate) const DIAL: Duration = Duration::from_secs(3);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The hosts α and β, and a listener on β:1.
pub(crate) struct Net {
    pub(crate) subnets: [SubNetwork; 2],
    pub(crate) alpha: Host,
    pub(crate) beta: Host,
    pub(crate) listener: Listener,
}

impl Net {
    pub(crate) async fn new() -> Net {
        Net::of(PipeNetwork::new("pipet").unwrap()).await
    }

    pub(crate) async fn of(network: PipeNetwork) -> Net {
        let subnets = [network.subnetwork(), network.subnetwork()];
        let alpha = subnets[0].new_host("α").await.unwrap();
        let beta = subnets[1].new_host("β").await.unwrap();
        let listener = beta.listen("β:1").unwrap();
        Net {
            subnets,
            alpha,
            beta,
            listener,
        }
    }

    /// Both members enforce the plan from now on.
    pub(crate) fn set(&self, plan: &str) {
        let plan = plan.parse().unwrap();
        for subnet in &self.subnets {
            enforce(subnet, &plan).unwrap();
        }
    }

    pub(crate) fn heal(&self) {
        self.set("");
    }

    /// A connection from α to β: the dialing and the accepting end.
    pub(crate) async fn connect(&self) -> (Conn, Conn) {
        let (dialed, accepted) = tokio::join!(self.alpha.dial("β:1"), self.listener.accept());
        (dialed.unwrap(), accepted.unwrap().0)
    }

    /// What α's and β's members counted, added up.
    pub(crate) fn counted(&self, name: &str) -> u64 {
        let counted = |faults: FaultStats| faults.by_name().find(|(n, _)| *n == name).unwrap().1;
        self.subnets.iter().map(|s| counted(s.stats().faults)).sum()
    }
}

/// The result of what takes this time, within the timer's 2 ms.
pub(crate) async fn takes<T>(time: Duration, what: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let done = what.await;
    let took = start.elapsed();
    let latest = time + Duration::from_millis(2);
    assert!(
        (time..=latest).contains(&took),
        "expected {time:?}, took {took:?}"
    );
    done
}

/// Asserts that nothing comes of `what` for so long.
pub(crate) async fn hangs<T: Debug>(time: Duration, what: impl Future<Output = T>) {
    let done = timeout(time, what).await;
    assert!(done.is_err(), "it does not hang: {done:?}");
}

/// The cause of a read's or write's failure.
pub(crate) fn cause<T: Debug>(done: io::Result<T>) -> Cause {
    let err = done.expect_err("it fails");
    OpError::of(&err).expect("it is an operation's").cause()
}

/// Reads exactly `text`.
pub(crate) async fn reads(conn: &mut Conn, text: &str) {
    let mut read = vec![0; text.len()];
    conn.read_exact(&mut read).await.unwrap();
    assert_eq!(String::from_utf8(read).unwrap(), text);
}

pub(crate) async fn writes(conn: &mut Conn, text: &str) {
    conn.write_all(text.as_bytes()).await.unwrap();
}

/// Nothing is wrong with the connection: bytes go both ways, and both ends end cleanly.
pub(crate) async fn works((mut one, mut other): (Conn, Conn)) {
    writes(&mut one, "ping").await;
    reads(&mut other, "ping").await;
    writes(&mut other, "pong").await;
    reads(&mut one, "pong").await;
    drop(one);
    assert_eq!(other.read(&mut [0]).await.unwrap(), 0);
}

/// Both ends read this cause, now.
pub(crate) async fn both_see(cause_of: Cause, one: &mut Conn, other: &mut Conn) {
    for conn in [one, other] {
        assert_eq!(cause(conn.read_u8().await), cause_of, "{conn:?} reads");
        assert_eq!(
            cause(conn.write_all(b"x").await),
            cause_of,
            "{conn:?} writes"
        );
    }
}
