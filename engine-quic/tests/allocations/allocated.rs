//! How much memory peers without a certificate and hostile members can make a host
//! allocate. The allocator counts the whole process, including the attacker.
//!
//! Owns these limits. Never tests who is refused and how: `flood.rs` and
//! `frames.rs` do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::raw::{self, Pki, first_datagrams, hello};
use crate::common::{HANG, Net, connect, eventually};
use crate::{profiler, turn};
use quinn::Connection;
use tokio::time::timeout;
use virtnet_core::{Host, Listener};
use virtnet_engine_quic::{Counters, QuicConfig, dns_name};

/// The number of addresses that send the flood.
const ADDRESSES: usize = 500;
/// How many datagrams the flood may be ahead of the host, and how long until they
/// count as lost.
const AHEAD: u64 = 64;
const LOST: Duration = Duration::from_millis(1);
/// The number of streams of each kind.
const STREAMS: u64 = 100;
/// The number of members that connect during the flood.
const MEMBERS: usize = 10;

/// One of many loopback addresses, if this machine has them.
fn address(number: usize) -> SocketAddr {
    let ip = match cfg!(target_os = "linux") {
        true => Ipv4Addr::new(127, 0, 1 + (number / 250) as u8, 1 + (number % 250) as u8),
        false => Ipv4Addr::LOCALHOST,
    };
    (IpAddr::from(ip), 0).into()
}

/// Begins handshakes from all addresses until `stop`, and returns the number of
/// datagrams. It sends only as fast as the host processes them, so that full kernel
/// queues do not drop the datagrams of members.
fn flood(
    place: SocketAddr,
    datagrams: Vec<Vec<u8>>,
    counters: Counters,
    stop: Arc<AtomicBool>,
) -> u64 {
    let bind = |number| UdpSocket::bind(address(number)).unwrap();
    let sockets: Vec<_> = (0..datagrams.len()).map(bind).collect();
    let looked_at = || counters.stats().handshakes_retried;
    let mut sent = 0;
    for (socket, datagram) in sockets.iter().zip(&datagrams).cycle() {
        let until = Instant::now() + LOST;
        while sent > looked_at() + AHEAD && Instant::now() < until {
            thread::yield_now();
        }
        if stop.load(Relaxed) {
            break;
        }
        socket.send_to(datagram, place).unwrap();
        sent += 1;
    }
    sent
}

/// Heap use of the whole process: the maximum, and now.
fn heap() -> (usize, usize) {
    let stats = dhat::HeapStats::get();
    (stats.max_bytes, stats.curr_bytes)
}

async fn members_come(members: &[Host], listener: &Listener) -> Duration {
    let mut slowest = Duration::ZERO;
    for member in members {
        let start = Instant::now();
        timeout(HANG, connect(member, listener))
            .await
            .expect("it is accepted");
        slowest = slowest.max(start.elapsed());
    }
    slowest
}

async fn a_flood(net: &Net, pki: &Pki, listener: &Listener, counters: &Counters, others: &[Host]) {
    let datagrams = first_datagrams(pki, ADDRESSES)
        .await
        .into_values()
        .collect();
    let (stop, place) = (Arc::new(AtomicBool::new(false)), net.real_addr("α"));
    let (calm, before) = (members_come(&others[..MEMBERS], listener).await, heap());
    let flooding = tokio::task::spawn_blocking({
        let stop = stop.clone();
        let counters = counters.clone();
        move || flood(place, datagrams, counters, stop)
    });
    let retried = || counters.stats().handshakes_retried;
    eventually("the flood has come", || retried() > ADDRESSES as u64).await;
    let slowest = members_come(&others[MEMBERS..], listener).await;
    stop.store(true, Relaxed);
    let (sent, grown) = (flooding.await.unwrap(), heap().0 - before.1);
    println!(
        "failures: handshake flood: {sent} first packets of {ADDRESSES} addresses, {} made to \
         prove theirs; heap at most {} kB more; {MEMBERS} members' first dials in {slowest:?} at \
         the slowest, {calm:?} without a flood",
        retried(),
        grown >> 10
    );
    assert!(grown < 16 << 20, "{grown} bytes");
}

/// The bytes that a stream with this content allocates, on both sides together.
async fn cost(conn: &Connection, sent: &[u8], received: &[u8]) -> u64 {
    let mut before = 0;
    // The first round is a warm-up.
    for round in 0..2 * STREAMS {
        if round == STREAMS {
            before = dhat::HeapStats::get().total_bytes;
        }
        let (mut send, mut recv) = conn.open_bi().await.unwrap();
        send.write_all(sent).await.unwrap();
        let reply = timeout(HANG, recv.read_to_end(16)).await.unwrap();
        assert_eq!(reply.unwrap(), received);
    }
    (dhat::HeapStats::get().total_bytes - before) / STREAMS
}

async fn lengths(conn: &Connection) {
    let other = cost(conn, &[1, 0, 0], &[2, 6, 2]).await;
    let most = cost(conn, &[2, 0xff, 0xff], &[2, 7]).await;
    let mut filled = hello("net", (&"γ".repeat(127), 9), (&"α".repeat(127), 1));
    filled.truncate(3 + 772);
    let filled = cost(conn, &filled, &[2, 3]).await;
    println!(
        "failures: first frame, allocated: {most} bytes for a length of 65,535, {filled} for a \
         long one, {other} for another version's"
    );
    assert!(most < other + 1_024, "{most}, {other}");
    assert!(filled < other + 16 * 1_024, "{filled}, {other}");
}

/// One test, as the allocator counts for the whole process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_and_members_allocate_little() {
    let _turn = turn().await;
    let (net, pki) = (Net::new("net"), Pki::new());
    let names: Vec<_> = (0..2 * MEMBERS)
        .map(|number| format!("m{number}"))
        .collect();
    let mut proved: Vec<&str> = names.iter().map(String::as_str).collect();
    proved.push("α");
    let identity = pki.identity(&pki.leaf("net", &proved));
    let config = QuicConfig::new(identity).bind((Ipv4Addr::LOCALHOST, 0).into());
    let (here, counters) = net.join_with(config.clone());
    let (there, _) = net.join_with(config);
    let alpha = here.new_host("α").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    let mut others = Vec::new();
    for name in &names {
        others.push(there.new_host(name).await.unwrap());
    }
    let gamma = pki.leaf("net", &["γ"]);
    let name = dns_name("net", "α");
    let (_endpoint, conn) = raw::connect(&pki, Some(&gamma), net.real_addr("α"), &name).await;

    let _profiler = profiler();
    lengths(&conn).await;
    a_flood(&net, &pki, &listener, &counters, &others).await;
    here.close().await.unwrap();
    there.close().await.unwrap();
}
