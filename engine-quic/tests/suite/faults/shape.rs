//! Delay, rate, loss, duplication, reordering: their size, and their seeds.
//!
//! Owns figures for connections that stay whole.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use virtnet_core::Conn;

use super::world::World;
use crate::common::relay::bytes;
use crate::common::{HANG, figure};

/// Moves `count` bytes, byte by byte the same. Returns how long the part from `from` on took.
async fn pass(writer: &mut Conn, reader: &mut Conn, count: usize, from: usize) -> Duration {
    let sent = bytes(count as u64, count);
    let mut got = vec![0; count];
    let read = async {
        let (first, rest) = got.split_at_mut(from);
        reader.read_exact(first).await.unwrap();
        let since = Instant::now();
        reader.read_exact(rest).await.unwrap();
        since.elapsed()
    };
    let both = async { tokio::join!(writer.write_all(&sent), read) };
    let (written, took) = timeout(HANG, both).await.expect("it does not stall");
    written.unwrap();
    assert!(got == sent, "byte by byte");
    took
}

async fn round_trip(dialed: &mut Conn, accepted: &mut Conn) -> Duration {
    let since = Instant::now();
    pass(dialed, accepted, 1, 0).await;
    pass(accepted, dialed, 1, 0).await;
    since.elapsed()
}

/// Which datagrams are lost depends on nothing but the seed: the counts are those of a table that decided about
/// as many datagrams, whenever these were sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seed_decides_what_is_lost() {
    let plan = "seed 7\nlose α -> β 10%\nlose β -> α 20%\nduplicate α -> β 5%\n\
                reorder β -> α 10% by 3ms";
    let world = World::new(|config| config).await;
    let (mut dialed, mut accepted) = world.connect().await;
    world.enforce(plan);
    for _ in 0..20 {
        pass(&mut dialed, &mut accepted, 64 << 10, 0).await;
        pass(&mut accepted, &mut dialed, 64 << 10, 0).await;
    }
    let counts = world.counts();
    world.enforce("");
    for (nth, counts) in counts.iter().enumerate() {
        println!("rule {nth}: {counts:?}");
        assert!(counts.matched > 20 && counts.hit > 0, "{counts:?}");
        let pair = if nth % 2 == 0 {
            ("α", "β")
        } else {
            ("β", "α")
        };
        let expected = World::decided(plan, pair, counts.matched)[nth];
        assert_eq!(*counts, expected, "rule {nth}");
    }
    drop((dialed, accepted));
    world.close().await;
}

/// The delay is that of the rule, and the rate is that of the window.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delay_does_not_limit_the_rate() {
    const DELAY: Duration = Duration::from_millis(50);
    // The default of `Tuning`: data in flight to one peer.
    const WINDOW: usize = 2 << 20;
    let world = World::new(|config| config).await;
    let (mut dialed, mut accepted) = world.connect().await;
    world.enforce("delay * -> * 50ms");
    let mut trips = Vec::new();
    for _ in 0..11 {
        trips.push(round_trip(&mut dialed, &mut accepted).await);
    }
    trips.sort();
    let half = trips[5];
    assert!(trips[0] >= 2 * DELAY, "{trips:?}");
    // The first part is QUIC's slow start.
    let (start, rest) = (24 << 20, 16 << 20);
    let took = pass(&mut dialed, &mut accepted, start + rest, start).await;
    let most = WINDOW as f64 / (2 * DELAY).as_secs_f64();
    let rate = rest as f64 / took.as_secs_f64();
    figure(
        "delay 50 ms each way",
        format!(
            "a round trip takes {half:.1?}, bulk is {:.1} MB/s, {:.0} % of the window's limit",
            rate / 1e6,
            100.0 * rate / most
        ),
    );
    assert!(half < 6 * DELAY, "{trips:?}");
    assert!(rate > 0.2 * most, "{rate} of {most}");
    world.enforce("");
    drop((dialed, accepted));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_is_kept() {
    const RATE: f64 = 10e6;
    let world = World::new(|config| config).await;
    let (mut dialed, mut accepted) = world.connect().await;
    world.enforce("rate β -> α 10MB/s");
    let (start, rest) = (4 << 20, 16 << 20);
    let took = pass(&mut dialed, &mut accepted, start + rest, start).await;
    let rate = rest as f64 / took.as_secs_f64();
    figure("rate 10 MB/s", format!("bulk is {:.2} MB/s", rate / 1e6));
    assert!(0.4 * RATE < rate && rate < 1.1 * RATE, "{rate}");
    // The other direction has none.
    pass(&mut accepted, &mut dialed, 1 << 20, 0).await;
    world.enforce("");
    drop((dialed, accepted));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_gets_through_losses() {
    let world = World::new(|config| config).await;
    let (mut dialed, mut accepted) = world.connect().await;
    for plan in ["lose * -> * 10%", "lose * -> * 10%\ndelay * -> * 5ms"] {
        world.enforce(plan);
        let count = 4 << 20;
        let took = pass(&mut dialed, &mut accepted, count, 0).await;
        let lost = world.counts()[0];
        figure(
            "loss of 10 %",
            format!(
                "{plan:?}: {:.1} MB/s, {} of {} datagrams lost",
                count as f64 / took.as_secs_f64() / 1e6,
                lost.hit,
                lost.matched
            ),
        );
        assert!(lost.hit > 0);
    }
    world.enforce("");
    drop((dialed, accepted));
    world.close().await;
}
