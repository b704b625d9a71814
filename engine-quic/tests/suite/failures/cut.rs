//! Hosts that are cut off from each other, with the default timeouts.
//!
//! Owns what each end of a connection reports, for each operation in progress.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use virtnet_core::{Cause, Conn};

use super::SLACK;
use super::world::World;
use crate::common::relay::Path;
use crate::common::{HANG, eventually, figure};

const CUT: Duration = Duration::from_secs(10);
const DIAL: Duration = Duration::from_secs(3);

/// What an end was doing when the path was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Doing {
    /// Waits for what the other end would say.
    Reads,
    /// Sends a few bytes regularly to a reader.
    Writes,
    /// Waits to write, as the buffers are full.
    Presses,
}

/// Continues until an error, and returns it. A clean end is not an error.
async fn until_cut(mut conn: Conn, doing: Doing) -> std::io::Error {
    let mut now_and_then = interval(Duration::from_millis(100));
    loop {
        let done = match doing {
            Doing::Reads => match conn.read(&mut [0; 64]).await {
                Ok(0) => panic!("a cut is no end of file"),
                done => done.map(drop),
            },
            Doing::Writes => {
                now_and_then.tick().await;
                conn.write_all(b"x").await
            }
            Doing::Presses => conn.write_all(&[7; 64 << 10]).await,
        };
        if let Err(err) = done {
            return err;
        }
    }
}

/// Both ends of connections, each in the midst of something; the set ends with
/// how long each took to fail after `cut` was called.
async fn ends(world: &World) -> JoinSet<(&'static str, Doing, Instant, std::io::Error)> {
    let mut ends = JoinSet::new();
    let mut busy = |side, doing, conn| {
        ends.spawn(async move {
            let err = until_cut(conn, doing).await;
            (side, doing, Instant::now(), err)
        });
    };
    // One that is silent in both directions, one where each side writes to a reader,
    // and for each side one whose data is not read.
    let (dialed, accepted) = world.connect().await;
    busy("dialed", Doing::Reads, dialed);
    busy("accepted", Doing::Reads, accepted);
    for from in ["dialed", "accepted"] {
        let (dialed, accepted) = world.connect().await;
        let (writer, reader, other) = match from {
            "dialed" => (dialed, accepted, "accepted"),
            _ => (accepted, dialed, "dialed"),
        };
        busy(from, Doing::Writes, writer);
        busy(other, Doing::Reads, reader);
    }
    let (dialed, accepted) = world.connect().await;
    busy("dialed", Doing::Presses, dialed);
    busy("accepted", Doing::Presses, accepted);
    ends
}

/// Waits for all ends; the longest that any took, of each side.
async fn all_fail(
    mut ends: JoinSet<(&'static str, Doing, Instant, std::io::Error)>,
    since: Instant,
) -> [Duration; 2] {
    let mut longest = [Duration::ZERO; 2];
    let count = ends.len();
    assert_eq!(count, 8);
    while let Some(end) = timeout(HANG, ends.join_next()).await.unwrap() {
        let (side, doing, failed, err) = end.unwrap();
        assert_eq!(err.kind(), ErrorKind::TimedOut, "{side} {doing:?}: {err}");
        let took = failed - since;
        let of = &mut longest[usize::from(side == "accepted")];
        *of = took.max(*of);
    }
    longest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_are_cut_off_from_each_other() {
    let world = World::new(1).await;
    let ends = ends(&world).await;
    // One dial waits for its accept, and ends with the connections.
    let waiting = tokio::spawn({
        let beta = world.beta.clone();
        async move { beta.dial("α:1").await }
    });
    eventually("the dial waits", || world.listener.pending() == 1).await;
    world.relay.set(Path::CUT);
    let since = Instant::now();
    let dialed = world.beta.dial("α:1").await;
    let refused = since.elapsed();
    let err = dialed.unwrap_err();
    assert_eq!(err.cause(), Cause::TimedOut);
    assert!(refused < DIAL + SLACK, "{refused:?}");
    let waited = waiting.await.unwrap();
    let gave_up = since.elapsed();
    assert_eq!(waited.unwrap_err().cause(), Cause::TimedOut);
    assert!(gave_up < CUT + SLACK, "{gave_up:?}");
    let [there, here] = all_fail(ends, since).await;
    assert!(
        there < CUT + SLACK && here < CUT + SLACK,
        "{there:?} {here:?}"
    );
    assert_eq!(world.listener.pending(), 0, "no dial waits any more");
    figure(
        "hosts cut off from each other",
        format!(
            "8 ends failed within {there:.1?} (dialed) and {here:.1?} (accepted) of {CUT:?}; \
             a dial within {refused:.1?} of {DIAL:?}, one that waited for its accept \
             within {gave_up:.1?}"
        ),
    );
    // The path works again.
    world.relay.set(Path::CLEAN);
    drop(timeout(DIAL + SLACK, world.connect()).await.unwrap());
    world.close().await;
}

/// Only one direction works. The side that receives nothing times out first; only then
/// does the timer of the other side start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_of_which_only_one_hears_the_other() {
    let one_way = async |there, back| {
        let world = World::new(1).await;
        let ends = ends(&world).await;
        world.relay.set_each(there, back);
        let since = Instant::now();
        let err = world.beta.dial("α:1").await.unwrap_err();
        let refused = since.elapsed();
        assert_eq!(err.cause(), Cause::TimedOut);
        assert!(refused < DIAL + SLACK, "{refused:?}");
        let longest = all_fail(ends, since).await;
        world.relay.set(Path::CLEAN);
        world.close().await;
        longest
    };
    let (to_alpha, to_beta) = tokio::join!(
        one_way(Path::CUT, Path::CLEAN),
        one_way(Path::CLEAN, Path::CUT)
    );
    let deaf = to_alpha[1].max(to_beta[0]);
    let received = to_alpha[0].max(to_beta[1]);
    figure(
        "hosts cut off from each other, one way",
        format!(
            "the side that receives nothing fails within {deaf:.1?}, the other one within {received:.1?}"
        ),
    );
    assert!(deaf < CUT + SLACK, "{deaf:?}");
    assert!(received < 2 * CUT + SLACK, "{received:?}");
}
