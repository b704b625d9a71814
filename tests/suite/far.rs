//! Latency: opening a subnetwork, creating a host and dialing, counted in round trips to
//! Redis and to the peer.
//!
//! Owns links that delay TCP and UDP. Never asserts a speed: a round trip is so long that
//! other work does not count.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use virtnet::quic::Secret;
use virtnet::{Config, Host, Listener};
use virtnet_testkit::redis::RedisServer;

/// The default one-way delay of a link.
const ONE_WAY: Duration = Duration::from_millis(150);

/// How many times to repeat a count that a busy machine made too slow.
const ROUNDS: usize = 5;

/// Passes on the chunks of `take` in order, each after the delay.
async fn carry(
    one_way: Duration,
    mut take: impl AsyncFnMut() -> Option<Vec<u8>>,
    mut give: impl AsyncFnMut(Vec<u8>),
) {
    let (enter, mut leave) = mpsc::unbounded_channel();
    let entering = async move {
        while let Some(piece) = take().await {
            let _ = enter.send((Instant::now() + one_way, piece));
        }
    };
    let leaving = async move {
        while let Some((due, piece)) = leave.recv().await {
            sleep_until(due).await;
            give(piece).await;
        }
    };
    tokio::join!(entering, leaving);
}

/// A TCP link to a server on this machine. Its tasks end with the set.
async fn far_tcp(tasks: &mut JoinSet<()>, one_way: Duration, to: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            let ((near_out, near_in), (far_out, far_in)) = (near.into_split(), far.into_split());
            for (mut from, mut to) in [(near_out, far_in), (far_out, near_in)] {
                let take = async move || {
                    let mut piece = Vec::with_capacity(64 << 10);
                    let read = from.read_buf(&mut piece).await.ok()?;
                    (read > 0).then_some(piece)
                };
                let give = async move |piece: Vec<u8>| drop(to.write_all(&piece).await);
                connections.spawn(carry(one_way, take, give));
            }
        }
    });
    port
}

/// A UDP link to a socket on this machine; answers go to the last sender.
async fn far_udp(tasks: &mut JoinSet<()>, to: SocketAddr) -> SocketAddr {
    let near = std::sync::Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let far = std::sync::Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    far.connect(to).await.unwrap();
    let place = near.local_addr().unwrap();
    let (last, speaks) = tokio::sync::watch::channel(place);
    let (from, into) = (near.clone(), far.clone());
    let there = async move || {
        let mut piece = vec![0; 64 << 10];
        let (read, who) = from.recv_from(&mut piece).await.ok()?;
        last.send_replace(who);
        Some(piece[..read].to_vec())
    };
    tasks.spawn(carry(ONE_WAY, there, async move |piece: Vec<u8>| {
        drop(into.send(&piece).await);
    }));
    let back = async move || {
        let mut piece = vec![0; 64 << 10];
        let read = far.recv(&mut piece).await.ok()?;
        Some(piece[..read].to_vec())
    };
    tasks.spawn(carry(ONE_WAY, back, async move |piece: Vec<u8>| {
        let who = *speaks.borrow();
        drop(near.send_to(&piece, who).await);
    }));
    place
}

/// The result of the work; adds its number of round trips to `counts`.
async fn trips<T>(what: &str, counts: &mut Vec<u32>, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = work.await;
    let took = begun.elapsed();
    let trips = took.as_secs_f64() / (2 * ONE_WAY).as_secs_f64();
    println!("{what}: {took:.0?}, {trips:.2} round trips");
    counts.push(trips as u32);
    done
}

/// Dials twice, and accepts both.
async fn dial_twice(counts: &mut Vec<u32>, from: &Host, listener: &Listener) {
    for what in ["first dial", "second dial"] {
        let dialing = trips(what, counts, from.dial(listener.local_addr()));
        let (dialed, accepted) = tokio::join!(dialing, listener.accept());
        dialed.unwrap();
        accepted.unwrap();
    }
}

/// Counts until the counts are as expected; fewer round trips are not possible.
async fn counted(expected: &[u32], round: impl AsyncFn() -> Vec<u32>) {
    for _ in 0..ROUNDS {
        let counts = round().await;
        for (counted, expected) in counts.iter().zip(expected) {
            assert!(counted >= expected, "{counts:?}");
        }
        if counts == expected {
            return;
        }
    }
    panic!("it is never {expected:?}");
}

#[tokio::test]
async fn round_trips_to_redis() {
    let (server, mut tasks) = (RedisServer::start(), JoinSet::new());
    let port = far_tcp(&mut tasks, ONE_WAY, server.port()).await;
    let secret = Secret::random();
    let config = |url| Config::new("far").registry(url).secret(secret.clone());
    let near = config(server.url()).open().await.unwrap();
    let beta = near.new_host("β").await.unwrap();
    let listener = beta.listen("β:1").unwrap();
    // Joining; making a host, which is listed, reads the plan of faults, and is announced; dialing
    // it for the first time, and once more.
    counted(&[5, 2, 1, 0], async || {
        let mut counts = Vec::new();
        let joining = config(format!("redis://127.0.0.1:{port}")).open();
        let far = trips("join", &mut counts, joining).await.unwrap();
        let making = far.new_host("α");
        let alpha = trips("new host", &mut counts, making).await.unwrap();
        dial_twice(&mut counts, &alpha, &listener).await;
        far.close().await.unwrap();
        counts
    })
    .await;
    near.close().await.unwrap();
}

#[tokio::test]
async fn round_trips_to_a_peer() {
    let (server, mut tasks) = (RedisServer::start(), JoinSet::new());
    let secret = Secret::random();
    let config = || {
        let config = Config::new("far").registry(server.url());
        config.secret(secret.clone())
    };
    // A port that is free again afterwards.
    let place = std::net::UdpSocket::bind("127.0.0.1:0").map(|socket| socket.local_addr());
    let place = place.unwrap().unwrap();
    let link = far_udp(&mut tasks, place).await;
    let far = config().bind(place.to_string()).advertise(link.to_string());
    let far = far.open().await.unwrap();
    let beta = far.new_host("β").await.unwrap();
    let listener = beta.listen("β:1").unwrap();
    counted(&[2, 1], async || {
        let mut counts = Vec::new();
        let near = config().open().await.unwrap();
        let alpha = near.new_host("α").await.unwrap();
        dial_twice(&mut counts, &alpha, &listener).await;
        near.close().await.unwrap();
        counts
    })
    .await;
    far.close().await.unwrap();
}

/// Joining makes several round trips within one deadline, which can be set.
#[tokio::test]
async fn a_redis_that_is_too_far_for_the_deadline() {
    let (server, mut tasks) = (RedisServer::start(), JoinSet::new());
    let one_way = Duration::from_millis(400);
    let port = far_tcp(&mut tasks, one_way, server.port()).await;
    let url = format!("redis://127.0.0.1:{port}");
    let config = || Config::new("far").registry(&url).secret(Secret::random());
    let err = config().open().await.unwrap_err().to_string();
    assert!(err.ends_with(": registry is down"), "{err}");
    let patient = config().tune_redis(|mut redis| {
        redis.deadline = Duration::from_secs(8);
        redis
    });
    let subnet = patient.open().await.unwrap();
    subnet.new_host("α").await.unwrap();
    subnet.close().await.unwrap();
}
