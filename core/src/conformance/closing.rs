//! Checks of closing, and that nothing is left after it.

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bed::{Bed, Pair, connect, connected, drop_after, eventually, read_text};
use super::matrix::{Closed, MATRIX, Order, check_cell};
use crate::error::Op;
use crate::{Cause, OpError};

/// Every cell of the close matrix, with the close before the operation.
pub async fn the_matrix_with_the_close_first(bed: &dyn Bed) {
    for cell in MATRIX {
        check_cell(Pair::new(bed).await, *cell, Order::CloseFirst).await;
    }
}

/// Every cell of the close matrix, with the close while the operation waits.
///
/// `listen` is left out because it never waits, and `new_host` because it waits only
/// for the engine and the registry.
pub async fn the_matrix_with_the_operation_blocked(bed: &dyn Bed) {
    for cell in MATRIX.iter().filter(|cell| waits(cell.0)) {
        check_cell(Pair::new(bed).await, *cell, Order::OperationBlocked).await;
    }
}

fn waits(op: Op) -> bool {
    !matches!(op, Op::Listen | Op::NewHost)
}

/// Both orders again, with both hosts on one subnetwork: no operation mistakes the
/// close of the other end for the cause.
pub async fn the_matrix_within_one_subnetwork(bed: &dyn Bed) {
    for cell in MATRIX.iter().filter(|cell| cell.1 != Closed::PeerSubnet) {
        check_cell(Pair::within_one(bed).await, *cell, Order::CloseFirst).await;
        if waits(cell.0) {
            check_cell(Pair::within_one(bed).await, *cell, Order::OperationBlocked).await;
        }
    }
}

/// Only the first close of an object determines the cause.
pub async fn the_first_close_counts(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let (dialed, accepted, listener) = connected(&pair).await;
    listener.close();
    pair.alpha.close();
    dialed.close();
    pair.subnet_a.close().await.unwrap();
    pair.subnet_b.close().await.unwrap();
    assert_eq!(
        listener.accept().await.unwrap_err().cause(),
        Cause::SocketDown
    );
    assert_eq!(
        pair.alpha.dial("β:1").await.unwrap_err().cause(),
        Cause::HostDown
    );
    assert_eq!(
        pair.beta.dial("α:1").await.unwrap_err().cause(),
        Cause::NetworkDown
    );
    for (mut conn, cause) in [(dialed, Cause::SocketDown), (accepted, Cause::HostDown)] {
        let err = conn.read(&mut [0]).await.unwrap_err();
        assert_eq!(OpError::of(&err).unwrap().cause(), cause);
    }
    pair.close().await;
}

/// Closing again, concurrently or later, returns the same result and has no effect.
pub async fn closing_twice(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let (dialed, _accepted, listener) = connected(&pair).await;
    for _ in 0..2 {
        dialed.close();
        listener.close();
        pair.alpha.close();
        let (a, b) = (pair.subnet_a.clone(), pair.subnet_b.clone());
        let closes = tokio::join!(a.close(), a.close(), b.close(), b.close());
        assert!(matches!(closes, (Ok(()), Ok(()), Ok(()), Ok(()))));
    }
    pair.close().await;
}

/// With auto close, closing the last open host closes the subnetwork.
pub async fn auto_close(bed: &dyn Bed) {
    let subnet = bed.subnetwork().await;
    let err = subnet.auto_close().unwrap_err();
    let expected = format!(
        "virtnet {:?}: auto close: expected at least one open host, got none",
        subnet.network()
    );
    assert_eq!((err.cause(), err.to_string()), (Cause::Other, expected));

    let first = subnet.new_host("α").await.unwrap();
    subnet.auto_close().unwrap();
    let second = subnet.new_host("β").await.unwrap();
    first.close();
    first.close();
    assert!(second.listen("").is_ok(), "one host is open still");
    second.close();
    let err = subnet.new_host("γ").await.unwrap_err();
    assert_eq!(err.cause(), Cause::NetworkDown);
    subnet.close().await.unwrap();

    let again = bed.subnetwork().await;
    let host = again.new_host("α").await.expect("the name is free");
    again.auto_close().unwrap();
    drop(host);
    let err = again.new_host("γ").await.unwrap_err();
    assert_eq!(
        err.cause(),
        Cause::NetworkDown,
        "a host that nobody holds is closed"
    );
    again.close().await.unwrap();
}

/// Hosts and connections keep working when all other handles are dropped.
pub async fn handles_keep_their_subnetwork(bed: &dyn Bed) {
    let alpha = bed.subnetwork().await.new_host("α").await.unwrap();
    let beta = bed.subnetwork().await.new_host("β").await.unwrap();
    let listener = alpha.listen("").unwrap();
    let (mut dialed, mut accepted) = connect(&beta, &listener).await;
    drop((alpha, beta, listener));
    dialed.write_all(b"held").await.unwrap();
    drop(dialed);
    assert_eq!(read_text(&mut accepted).await, "held");
    drop(accepted);

    // Both subnetworks now close in the background and free their names.
    let subnet = bed.subnetwork().await;
    let mut freed = None;
    while freed.is_none() {
        freed = subnet.new_host("β").await.ok();
        tokio::task::yield_now().await;
    }
    subnet.close().await.unwrap();
}

/// A dial that is refused because its listener closed leaves nothing behind.
pub async fn a_refused_dial_is_gone(bed: &dyn Bed) {
    let pair = Pair::new(bed).await;
    let listener = pair.alpha.listen(":1").unwrap();
    let beta = pair.beta.clone();
    let dial = tokio::spawn(async move { beta.dial("α:1").await });
    eventually("the dial waits", || listener.pending() == 1).await;
    drop(listener);
    let err = dial.await.unwrap().unwrap_err();
    assert_eq!(err.cause(), Cause::ConnectionRefused);
    assert_eq!(pair.beta.sockets(), []);
    assert_eq!(pair.alpha.sockets(), []);
    pair.close().await;
}

/// A subnetwork is closed while a dial to it completes. The dialer is refused; or reads
/// end-of-file if the accept returned the connection, or a cut if it did not.
pub async fn a_close_right_after_a_dial(bed: &dyn Bed) {
    for _ in 0..20 {
        let pair = Pair::new(bed).await;
        let listener = pair.alpha.listen(":1").unwrap();
        let accepting = tokio::spawn(async move { listener.accept().await.map(drop) });
        let dialed = pair.beta.dial("α:1").await;
        let subnet = pair.subnet_a.clone();
        let closing = tokio::spawn(async move { subnet.close().await });
        let end = match dialed {
            Ok(mut conn) => Some(conn.read(&mut [0]).await),
            Err(err) => {
                assert_eq!(err.cause(), Cause::ConnectionRefused);
                None
            }
        };
        closing.await.unwrap().unwrap();
        let accepted = accepting.await.unwrap();
        match end.map(|end| end.map_err(|err| OpError::of(&err).unwrap().cause())) {
            // If the accept returns during the close, either result is possible.
            Some(Ok(0)) => assert!(accepted.is_ok(), "end-of-file, but no accept returned it"),
            Some(Err(Cause::ConnectionCut)) | None => {}
            Some(end) => panic!("{end:?}"),
        }
        pair.close().await;
    }
}

/// When a runtime ends, the subnetworks created on it go down. Blocked and later
/// operations, on any runtime, report that at once.
///
/// It is not part of [`conformance!`](crate::conformance!), because leased names stay
/// taken after it until their lease expires.
pub async fn a_runtime_that_ends(bed: &dyn Bed) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let there = bed.subnetwork().await;
    let beta = there.new_host("β").await.unwrap();
    let listener = beta.listen(":1").unwrap();
    let (subnet, alpha) = std::thread::scope(|scope| {
        let make = async {
            let subnet = bed.subnetwork().await;
            let alpha = subnet.new_host("α").await.unwrap();
            (subnet, alpha)
        };
        scope.spawn(|| runtime.block_on(make)).join().unwrap()
    });

    let (dialed, accepted) = connect(&alpha, &listener).await;
    let (mut reader, mut writer) = dialed.into_split();
    while let Some(some) = drop_after(1, writer.write(&[0; 65536])).await {
        some.unwrap();
    }
    let (listens, dials, makes) = (alpha.listen("").unwrap(), alpha.clone(), subnet.clone());
    let cause = |err: &std::io::Error| OpError::of(err).unwrap().cause();
    let mut blocked = tokio::task::JoinSet::new();
    blocked.spawn(async move { cause(&reader.read_u8().await.unwrap_err()) });
    blocked.spawn(async move { cause(&writer.write_u8(0).await.unwrap_err()) });
    blocked.spawn(async move { listens.accept().await.unwrap_err().cause() });
    blocked.spawn(async move { dials.dial("β:1").await.unwrap_err().cause() });
    eventually("the dial waits", || listener.pending() == 1).await;
    runtime.shutdown_background();
    for cause in blocked.join_all().await {
        assert_eq!(cause, Cause::NetworkDown);
    }
    let long = Duration::from_secs(600);
    let from_no_runtime = std::thread::spawn({
        let makes = makes.clone();
        move || {
            let waits = async {
                makes
                    .wait_for_hosts(&["γ"], long)
                    .await
                    .unwrap_err()
                    .cause()
            };
            let makes = async { makes.new_host_within("γ", long).await.unwrap_err().cause() };
            [polled_once(waits), polled_once(makes)]
        }
    });
    assert_eq!(
        from_no_runtime.join().unwrap(),
        [Some(Cause::NetworkDown); 2]
    );
    for late in [
        makes.new_host("γ").await.map(drop).unwrap_err(),
        alpha.dial("β:1").await.map(drop).unwrap_err(),
        alpha.listen("").map(drop).unwrap_err(),
    ] {
        assert_eq!(late.cause(), Cause::NetworkDown, "{late}");
    }
    let closed = subnet.close().await.unwrap_err();
    assert!(
        closed
            .to_string()
            .ends_with("the runtime ended before the subnetwork was closed"),
        "{closed}"
    );
    drop(accepted);
    there.close().await.unwrap();
}

/// What a future that is ready at once, and needs no runtime, comes to.
fn polled_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut cx) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}
