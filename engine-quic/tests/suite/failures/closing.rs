//! Closing with megabytes of unsent data: it is delivered, or the close reports
//! within its timeout that it is not.
//!
//! Owns what the closing side reports and what the other side reads.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use virtnet_core::{Cause, Conn};

use super::SLACK;
use super::world::World;
use crate::common::relay::{Path, bytes};
use crate::common::{HANG, figure};

/// The drain timeout.
const DRAIN: Duration = Duration::from_secs(5);

/// How long it may take on top of that to tell the peers.
const GOODBYE: Duration = Duration::from_millis(1500);

/// Less than a reader may lag behind, so that all of it is taken at once.
const UNSENT: usize = 3 << 19;

/// Far away, so that little is sent before the first acknowledgements are back.
const FAR: Path = Path {
    delay: Duration::from_millis(40),
    ..Path::CLEAN
};

/// A connection on which β has written data, most of it not sent yet.
async fn unsent(world: &World) -> (Conn, Conn) {
    let (mut dialed, accepted) = world.connect().await;
    world.relay.set(FAR);
    let before = world.relay.fates().bytes;
    dialed.write_all(&bytes(1, UNSENT)).await.unwrap();
    let sent = (world.relay.fates().bytes - before) as usize;
    assert!(sent < UNSENT / 2, "{sent}");
    (dialed, accepted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn megabytes_that_are_delivered_after_the_close() {
    let world = World::new(1).await;
    let (_dialed, mut accepted) = unsent(&world).await;
    let begun = Instant::now();
    let mut received = Vec::new();
    let closing = async {
        world.there.close().await.unwrap();
        begun.elapsed()
    };
    let reading = timeout(HANG, accepted.read_to_end(&mut received));
    let (closed, read) = tokio::join!(closing, reading);
    read.unwrap().unwrap();
    assert!(
        received == bytes(1, UNSENT),
        "{} of {UNSENT}",
        received.len()
    );
    assert!(closed < DRAIN + SLACK, "{closed:?}");

    // No data is read until all is closed.
    let next = World::new(1).await;
    let (_dialed, mut accepted) = unsent(&next).await;
    let begun = Instant::now();
    timeout(HANG, next.there.close()).await.unwrap().unwrap();
    let unread = begun.elapsed();
    assert!(unread < DRAIN + SLACK, "{unread:?}");
    received.clear();
    let read = timeout(HANG, accepted.read_to_end(&mut received)).await;
    read.unwrap().unwrap();
    assert!(
        received == bytes(1, UNSENT),
        "{} of {UNSENT}",
        received.len()
    );
    figure(
        "closing with megabytes still unsent, delivered",
        format!(
            "1536 KiB over 80 ms of round trip, the close took {closed:.1?}, \
             {unread:.1?} where the peer reads only afterwards"
        ),
    );
    world.here.close().await.unwrap();
    next.here.close().await.unwrap();
}

/// What the close says; when it did, and how much α reads before an error.
async fn given_up(path: Path) -> (Duration, usize) {
    let world = World::new(1).await;
    let (_dialed, mut accepted) = unsent(&world).await;
    world.relay.set(path);
    let begun = Instant::now();
    let closing = async {
        let closed = timeout(HANG, world.there.close()).await.unwrap();
        (closed, begun.elapsed())
    };
    let mut received = Vec::new();
    let reading = timeout(HANG, accepted.read_to_end(&mut received));
    let ((closed, took), read) = tokio::join!(closing, reading);
    let err = closed.unwrap_err();
    assert_eq!(err.cause(), Cause::ConnectionCut);
    let said = "host \"β\" cut 1 connection: what was written could not be delivered within 5s";
    assert!(err.to_string().contains(said), "{err}");
    assert!(took < DRAIN + GOODBYE + SLACK, "{took:?}");
    read.unwrap()
        .expect_err("what is not whole has no clean end");
    assert!(bytes(1, UNSENT).starts_with(&received));
    assert!(received.len() < UNSENT);
    world.here.close().await.unwrap();
    (took, received.len() >> 10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn megabytes_that_cannot_be_delivered() {
    // So slow that it takes far longer than the drain timeout.
    let slow = Path {
        delay: Duration::from_millis(200),
        lost: 100,
        ..Path::ROUGH
    };
    let (cut, slow) = tokio::join!(given_up(Path::CUT), given_up(slow));
    figure(
        "closing with megabytes still unsent, undelivered",
        format!(
            "an error after {:.1?} of {DRAIN:?} where the peer is cut off, after {:.1?} where \
             it is too far; it reads {} and {} of 1536 KiB, and then an error",
            cut.0, slow.0, cut.1, slow.1
        ),
    );
}
