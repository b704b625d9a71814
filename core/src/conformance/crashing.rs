//! Checks of hosts that crash: their peers hear nothing, and they come back.
//!
//! Owns what a crash means at both ends. Never waits for the end of a silence: that takes each engine's
//! own time. An engine that cannot crash a host says so, and passes.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::bed::{Bed, Pair, connect, connected};
use crate::{Cause, Conn, Host, OpError};

/// Crashes the host; false if the engine cannot.
fn crash(host: &Host) -> bool {
    match host.crash() {
        Ok(()) => true,
        Err(err) => {
            let expected = format!(
                "virtnet {:?}: crash {:?}: this engine cannot crash a host",
                host.network(),
                host.name()
            );
            assert_eq!((err.cause(), err.to_string()), (Cause::Other, expected));
            false
        }
    }
}

/// Asserts that nothing can be read now.
async fn hears_nothing(conn: &mut Conn) {
    let read = timeout(Duration::from_millis(50), conn.read_u8()).await;
    assert!(read.is_err(), "{read:?}");
}

/// The cause of an error of a read or a write.
fn cause(err: std::io::Error) -> Cause {
    OpError::of(&err).expect("an OpError").cause()
}

/// The host's own handles are down at once, also those that wait. Its peer hears nothing, and a dial to it is
/// not refused.
pub async fn peers_hear_nothing(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let (mut dialed, mut accepted, listener) = connected(&pair).await;
    let there = pair.beta.listen("").expect("a port is free");
    let accept = tokio::spawn(async move { there.accept().await.map(drop) });
    let waiting = pair.beta.dial(listener.local_addr());
    let mut waiting = Box::pin(waiting);
    let polled = timeout(Duration::from_millis(20), &mut waiting).await;
    assert!(polled.is_err(), "nobody accepts");
    if !crash(&pair.beta) {
        drop(waiting);
        drop((dialed, accepted, listener));
        accept.abort();
        let _ = accept.await;
        return pair.close().await;
    }
    assert_eq!(waiting.await.unwrap_err().cause(), Cause::HostDown);
    let err = accept.await.expect("no panic").unwrap_err();
    assert_eq!(err.cause(), Cause::HostDown);
    assert!(format!("{err:?}").contains("it was crashed"), "{err:?}");
    let err = dialed.read_u8().await.unwrap_err();
    assert_eq!(cause(err), Cause::HostDown);
    let err = pair.beta.listen("").unwrap_err();
    assert_eq!(err.cause(), Cause::HostDown);
    assert!(pair.beta.crash().is_ok(), "a second crash does nothing");
    pair.beta.close();
    assert!(pair.beta.sockets().is_empty());

    hears_nothing(&mut accepted).await;
    let err = pair.alpha.dial("β:1").await.unwrap_err();
    // Some registries free the name of a process that was killed at once.
    let expected = [Cause::TimedOut, Cause::NoSuchHost];
    assert!(expected.contains(&err.cause()), "{err}");
    hears_nothing(&mut accepted).await;
    drop(accepted);
    back(&pair).await;
    pair.close().await;
}

/// β is made again, so that its name is freed at the end.
async fn back(pair: &Pair) {
    let beta = pair.subnet_b.new_host("β").await;
    beta.expect("β is back");
}

/// The same subnetwork makes the host again at once, however often: with ports from 1, and with nothing of its
/// former life.
pub async fn restarting(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let (_dialed, mut before, _listener) = connected(&pair).await;
    let mut beta = pair.beta.clone();
    for round in 1..=3 {
        if !crash(&beta) {
            break;
        }
        let restarted = pair.subnet_b.new_host("β").await;
        beta = restarted.unwrap_or_else(|err| panic!("round {round}: {err}"));
        let listener = beta.listen("").expect("a port is free");
        assert_eq!(listener.local_addr(), "β:1");
        let (mut dialed, mut accepted) = connect(&pair.alpha, &listener).await;
        assert_eq!(dialed.peer_addr(), "β:2");
        dialed.write_all(b"again").await.expect("it is open");
        dialed.shutdown().await.expect("it is open");
        let mut heard = String::new();
        let read = accepted.read_to_string(&mut heard).await;
        read.expect("it ends cleanly");
        assert_eq!(heard, "again");
        accepted.shutdown().await.expect("it is open");
        assert_eq!(dialed.read(&mut [0]).await.expect("it ends cleanly"), 0);
        drop((dialed, accepted));
        // What it was before stays silent.
        hears_nothing(&mut before).await;
        assert!(pair.beta.listen("").is_err(), "the former host is down");
    }
    drop((before, beta));
    pair.close().await;
}

/// A crash is no close: a subnetwork that closes by itself goes on. A host that was closed cannot crash.
pub async fn a_crash_is_no_close(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let (mut dialed, mut accepted, _listener) = connected(&pair).await;
    if !crash(&pair.beta) {
        drop((dialed, accepted));
        return pair.close().await;
    }
    let err = dialed.write_all(b"x").await.unwrap_err();
    assert_eq!(cause(err), Cause::HostDown);
    let gamma = pair.subnet_b.new_host("γ").await.expect("γ is new");
    pair.subnet_b.auto_close().expect("γ is open");
    gamma.crash().expect("it is open");
    hears_nothing(&mut accepted).await;
    drop(accepted);
    let again = pair.subnet_b.new_host("γ").await.expect("it is back");
    back(&pair).await;
    assert_eq!(gamma.listen("").unwrap_err().cause(), Cause::HostDown);
    // The last one.
    again.close();
    let err = pair.subnet_b.new_host("δ").await.unwrap_err();
    assert_eq!(err.cause(), Cause::NetworkDown);

    pair.alpha.close();
    let err = pair.alpha.crash().unwrap_err();
    assert_eq!(err.cause(), Cause::HostDown, "{err}");
    pair.close().await;
}
