//! Checks of faults: a plan that one subnetwork sets is felt by all, over every engine and registry.
//!
//! Owns what the words cut, hold, refuse and reset mean. Never checks how long a silence lasts:
//! that takes each engine's own time.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bed::{Bed, Pair, assert_cut, connect, connected};
use crate::faults::{FaultError, FaultGuard, Faults, Plan, Rule};
use crate::{Cause, Conn};

/// Bytes that a buffer holds.
const SOME: usize = 16 * 1024;

fn faults(pair: &Pair) -> Faults {
    // The hosts of a check share two busy processors with others.
    pair.subnet_a.faults().within(Duration::from_secs(30))
}

/// Sets the plan at α's subnetwork.
async fn set(pair: &Pair, plan: impl Into<Plan>) -> FaultGuard {
    let set = faults(pair).apply(plan).await;
    set.unwrap_or_else(|err| panic!("the plan can be set: {err}"))
}

async fn heal(guard: FaultGuard) {
    let healed = guard.heal().await;
    healed.unwrap_or_else(|err| panic!("the plan can be healed: {err}"));
}

/// Whether the registry can share a plan. If not, setting one says so.
async fn can_share(pair: &Pair) -> bool {
    if pair
        .subnet_a
        .directory
        .context
        .registry
        .documents()
        .is_some()
    {
        return true;
    }
    let set = faults(pair).apply(Rule::cut("α", "β")).await;
    assert!(matches!(set, Err(FaultError::NoDocuments)), "{set:?}");
    false
}

/// Writes a byte at one end, and reads it at the other.
async fn passes(from: &mut Conn, to: &mut Conn) {
    from.write_all(&[7]).await.expect("it is open");
    assert_eq!(to.read_u8().await.expect("it is open"), 7);
}

/// Asserts that nothing can be read now.
async fn hangs(conn: &mut Conn) {
    let read = tokio::time::timeout(Duration::from_millis(50), conn.read_u8()).await;
    assert!(read.is_err(), "{read:?}");
}

/// A refused dial ends at once and says why; what is open goes on, and so do dials the other way.
pub async fn refusing(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    if can_share(&pair).await {
        let (mut dialed, mut accepted, listener) = connected(&pair).await;
        let guard = set(&pair, Rule::refuse("β", "α")).await;
        let err = pair.beta.dial(listener.local_addr()).await.unwrap_err();
        assert_eq!(err.cause(), Cause::ConnectionRefused);
        assert!(format!("{err:?}").contains("fault rule"), "{err:?}");
        passes(&mut dialed, &mut accepted).await;
        let there = pair.beta.listen("").expect("a port is free");
        drop(connect(&pair.alpha, &there).await);
        heal(guard).await;
        drop(connect(&pair.beta, &listener).await);
    }
    pair.close().await;
}

/// A reset cuts both ends of what is open, and never ends it.
pub async fn resetting(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    if can_share(&pair).await {
        let (mut dialed, mut accepted, listener) = connected(&pair).await;
        let guard = set(&pair, Rule::reset("β", "α")).await;
        assert_cut(&mut dialed).await;
        assert_cut(&mut accepted).await;
        heal(guard).await;
        drop((dialed, accepted));
        let (mut dialed, mut accepted) = connect(&pair.beta, &listener).await;
        passes(&mut dialed, &mut accepted).await;
    }
    pair.close().await;
}

/// What is held arrives after healing, in order and whole; the other way is not touched.
pub async fn holding(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    if can_share(&pair).await {
        let (mut dialed, mut accepted, _listener) = connected(&pair).await;
        let guard = set(&pair, Rule::hold("β", "α")).await;
        let sent: Vec<u8> = (0..SOME).map(|at| at as u8).collect();
        dialed.write_all(&sent).await.expect("a buffer has space");
        dialed.shutdown().await.expect("it is open");
        hangs(&mut accepted).await;
        passes(&mut accepted, &mut dialed).await;
        heal(guard).await;
        let mut received = Vec::new();
        let read = accepted.read_to_end(&mut received).await;
        read.expect("it ends cleanly");
        assert!(received == sent, "{} bytes", received.len());
    }
    pair.close().await;
}

/// What was written during a cut arrives after healing, whole; nobody was told.
pub async fn cutting(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    if can_share(&pair).await {
        let (mut dialed, mut accepted, listener) = connected(&pair).await;
        for rules in [
            vec![("β", "α")],
            vec![("α", "β")],
            vec![("α", "β"), ("β", "α")],
        ] {
            let plan: Plan = rules.iter().map(|(from, to)| Rule::cut(from, to)).collect();
            let guard = set(&pair, plan).await;
            let sent: Vec<u8> = (0..SOME).map(|at| at as u8).collect();
            dialed.write_all(&sent).await.expect("a buffer has space");
            if rules.contains(&("β", "α")) {
                hangs(&mut accepted).await;
            }
            heal(guard).await;
            let mut received = vec![0; SOME];
            let read = accepted.read_exact(&mut received).await;
            read.expect("nothing ended");
            assert!(received == sent);
            passes(&mut accepted, &mut dialed).await;
        }
        drop(connect(&pair.beta, &listener).await);
    }
    pair.close().await;
}

/// A subnetwork that comes later has the plan before its first dial, and a guard that is dropped heals.
pub async fn joining_later(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    if can_share(&pair).await {
        let listener = pair.alpha.listen("").expect("a port is free");
        let guard = set(&pair, Rule::refuse("γ", "*")).await;
        let subnet = bed.subnetwork().await;
        let gamma = subnet.new_host("γ").await.expect("γ is new");
        let err = gamma.dial(listener.local_addr()).await.unwrap_err();
        assert!(format!("{err:?}").contains("fault rule"), "{err:?}");
        drop(connect(&pair.beta, &listener).await);
        drop(guard);
        while !faults(&pair)
            .status()
            .await
            .expect("it is shared")
            .rules
            .is_empty()
        {
            tokio::task::yield_now().await;
        }
        let recovered = subnet.faults().recovered(Duration::from_secs(30)).await;
        recovered.expect("all healed");
        drop(connect(&gamma, &listener).await);
        subnet.close().await.expect("γ's subnetwork closes");
    }
    pair.close().await;
}
