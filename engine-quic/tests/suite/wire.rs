//! An observer between two hosts: what it can read, and what it can achieve by
//! replaying packets.
//!
//! Owns attacks without a key; `hostile` and `impostors` own those with one.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::common::tap::{Seen, Tap, begun, readable, shows};
use crate::common::{HANG, Net, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use virtnet_core::memory::{MemoryHub, MemoryRegistry};
use virtnet_core::{Cause, Conn, Registry};
use virtnet_engine_quic::{Secret, Stats, dns_name};

/// Texts that must not be readable. Each is too long to occur by chance.
const NETWORK: &str = "network-in-plain";
const ALPHA: &str = "alpha-in-plain";
const BETA: &str = "beta-in-plain";
const SPOKEN: &[u8] = b"spoken-in-plain";

/// The members of a network whose registry has the tap's address for α.
async fn through(secret: &Secret, network: &'static str, tap: &Tap) -> (Net, MemoryRegistry) {
    let (secret, hub) = (secret.clone(), MemoryHub::new());
    let registry = hub.registry();
    let place = tap.place.to_string();
    registry.announce(ALPHA, &place).await.unwrap();
    let net = Net {
        network,
        secret,
        hub,
    };
    (net, registry)
}

/// Sends the secret text `count` times in both directions, closes both ends, and
/// asserts that each has read exactly that.
async fn talk((mut here, mut there): (Conn, Conn), count: usize) -> u64 {
    let all = SPOKEN.repeat(count);
    let mut received = [Vec::new(), Vec::new()];
    let [at_here, at_there] = &mut received;
    let both = async {
        tokio::join!(
            async {
                here.write_all(&all).await.unwrap();
                here.shutdown().await.unwrap();
                here.read_to_end(at_here).await.unwrap();
            },
            async {
                there.read_to_end(at_there).await.unwrap();
                there.write_all(at_there).await.unwrap();
                there.shutdown().await.unwrap();
            }
        )
    };
    timeout(HANG, both).await.unwrap();
    assert!(
        received.iter().all(|received| *received == all),
        "it came as it was sent"
    );
    2 * all.len() as u64
}

/// All bytes that must not be readable without a key.
fn hidden(secret: &Secret) -> Vec<Vec<u8>> {
    let digits = secret.reveal();
    // The first one is used.
    let digits = &digits[..64];
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    let raw: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
    let names = [NETWORK, ALPHA, BETA, digits, &dns_name(NETWORK, BETA)];
    let mut hidden: Vec<_> = names.map(|text| text.as_bytes().to_vec()).into();
    hidden.extend([raw, SPOKEN.to_vec(), b"virtnet host".to_vec()]);
    hidden
}

/// Asserts that none of these is readable, and nothing but what docs/protocol.md says.
fn assert_hidden(seen: &[Seen], secret: &Secret) {
    let clear = readable(seen);
    for needle in hidden(secret) {
        let text = String::from_utf8_lossy(&needle).into_owned();
        assert!(!shows(seen, &needle), "{text} is in a datagram");
        assert!(
            !shows(&clear, &needle),
            "{text} is in a packet that all can read"
        );
    }
    // Proves that the tap works, so that finding nothing means something.
    assert!(shows(&clear, dns_name(NETWORK, ALPHA).as_bytes()));
    assert!(shows(&clear, b"virtnet/2"));
    assert!(
        !shows(seen, b"virtnet/2"),
        "not even that, without a look into packets"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_listens_hears_no_names_and_no_data() {
    let net = Net::new(NETWORK);
    let here = net.join();
    let alpha = here.new_host(ALPHA).await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    let tap = Tap::to(net.real_addr(ALPHA)).await;
    let (by_tap, _registry) = through(&net.secret, NETWORK, &tap).await;
    let there = by_tap.join();
    let beta = there.new_host(BETA).await.unwrap();
    let said = talk(dial(&beta, &listener).await, 10_000).await;
    there.close().await.unwrap();
    here.close().await.unwrap();
    let seen = tap.seen();
    assert!(seen.iter().map(|seen| seen.bytes.len() as u64).sum::<u64>() > said);
    assert_hidden(&seen, &net.secret);
    println!(
        "failures: no plaintext: {said} bytes said, {} datagrams seen, 0 of {} secrets in them",
        seen.len(),
        hidden(&net.secret).len()
    );
}

async fn dial(from: &virtnet_core::Host, listener: &virtnet_core::Listener) -> (Conn, Conn) {
    let to = format!("{ALPHA}:1");
    let both = async { tokio::join!(from.dial(&to), listener.accept()) };
    let (dialed, accepted) = timeout(HANG, both).await.unwrap();
    (dialed.unwrap(), accepted.unwrap().0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_no_member_is_refused_and_nothing_is_said() {
    const OTHER: &str = "another-network-in-plain";
    let net = Net::new(NETWORK);
    let (ours, other) = (net.secret.reveal(), Secret::random().reveal());
    let trusting = format!("{other},{ours}").parse().unwrap();
    let other = other.parse().unwrap();
    let (here, counters) = net.join_with(net.config());
    let alpha = here.new_host(ALPHA).await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    let mut slowest = Duration::ZERO;
    for (secret, network, said) in [
        (
            &other,
            NETWORK,
            "got a peer with another secret for network",
        ),
        (
            &net.secret,
            OTHER,
            "is not on network \"another-network-in-plain\"",
        ),
        // It trusts α, so it completes its handshake before it is refused.
        (
            &trusting,
            NETWORK,
            "rejected this host's certificate: the hosts have different secrets",
        ),
    ] {
        let tap = Tap::to(net.real_addr(ALPHA)).await;
        let (by_tap, _registry) = through(secret, network, &tap).await;
        let there = by_tap.join();
        let beta = there.new_host(BETA).await.unwrap();
        let start = Instant::now();
        let err = beta.dial(format!("{ALPHA}:1")).await.unwrap_err();
        slowest = slowest.max(start.elapsed());
        assert_eq!(err.cause(), Cause::PermissionDenied, "{err}");
        let text = err.to_string();
        assert!(text.contains(said), "{text}");
        assert!(
            text.contains(&format!("host {ALPHA:?} at {}", tap.place)),
            "{text}"
        );
        there.close().await.unwrap();
        let seen = tap.seen();
        for needle in [hidden(secret), hidden(&net.secret), vec![OTHER.into()]].concat() {
            assert!(!shows(&seen, &needle) && !shows(&readable(&seen), &needle));
        }
        // One connection with QUIC version 1, and no fallback.
        let versions: Vec<_> = begun(&seen).into_iter().map(|begun| begun.0).collect();
        assert_eq!(versions, [[0, 0, 0, 1]], "{said}");
    }
    assert_eq!(listener.pending(), 0);
    let failed = || counters.stats().handshakes_failed;
    eventually("they are counted", || failed() == 3).await;
    here.close().await.unwrap();
    println!(
        "failures: no secret, another secret, another network: 3 of 3 refused, slowest {slowest:?}"
    );
}

/// Sends from one end to the other, and asserts that it reads exactly that.
async fn pass(from: &mut Conn, to: &mut Conn) {
    let mut received = [0; SPOKEN.len()];
    from.write_all(SPOKEN).await.unwrap();
    timeout(HANG, to.read_exact(&mut received))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(received, SPOKEN);
}

async fn round(here: &mut Conn, there: &mut Conn) {
    pass(here, there).await;
    pass(there, here).await;
}

/// Replays all datagrams from their sources, and those to the host from another address, too.
async fn replay(tap: &Tap, host: std::net::SocketAddr, seen: &[Seen]) -> usize {
    let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    for seen in seen {
        tap.replay(seen).await;
        if seen.to_host {
            other.send_to(&seen.bytes, host).await.unwrap();
        }
    }
    seen.len() + seen.iter().filter(|seen| seen.to_host).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_again_is_done_once() {
    let net = Net::new(NETWORK);
    let bound = Duration::from_millis(300);
    let (here, counters) = net.join_with(net.config().handshake_timeout(bound));
    let alpha = here.new_host(ALPHA).await.unwrap();
    let listener = Arc::new(alpha.listen(":1").unwrap());
    let tap = Tap::to(net.real_addr(ALPHA)).await;
    let (by_tap, _registry) = through(&net.secret, NETWORK, &tap).await;
    let (there, dialers) = by_tap.join_with(by_tap.config());
    let beta = there.new_host(BETA).await.unwrap();
    let member = net.join().new_host("γ").await.unwrap();
    let (mut dialed, mut accepted) = dial(&beta, &listener).await;
    round(&mut dialed, &mut accepted).await;

    // From now on, nothing may be accepted that was not dialed here.
    let more = Arc::new(AtomicUsize::new(0));
    let counting = tokio::spawn({
        let (listener, more) = (listener.clone(), more.clone());
        async move {
            while let Ok((_conn, peer)) = listener.accept().await {
                more.fetch_add(usize::from(peer.host() != "γ"), Relaxed);
            }
        }
    });
    // Datagrams are processed in order: once the dial was, all before it were.
    let to = format!("{ALPHA}:1");
    let handled = async || drop(timeout(HANG, member.dial(&to)).await.unwrap().unwrap());
    let mut said = replay(&tap, net.real_addr(ALPHA), &tap.seen()).await;
    handled().await;
    round(&mut dialed, &mut accepted).await;
    dialed.shutdown().await.unwrap();
    let end = accepted.read(&mut [0]).await;
    assert_eq!(end.unwrap(), 0, "no byte twice, and then the end");
    said += replay(&tap, net.real_addr(ALPHA), &tap.seen()).await;
    handled().await;
    drop((dialed, accepted));
    there.close().await.unwrap();
    said += replay(&tap, net.real_addr(ALPHA), &tap.seen()).await;
    handled().await;

    // After the host has dropped the connection, its first datagram begins a new
    // handshake, which cannot be completed.
    let failed = || counters.stats().handshakes_failed;
    let seen = tap.seen();
    while failed() == 0 {
        said += replay(&tap, net.real_addr(ALPHA), &seen).await;
        handled().await;
    }
    eventually("α's ports are free", || alpha.sockets().len() == 1).await;
    assert_eq!(more.load(Relaxed), 0, "a second accept");
    here.close().await.unwrap();
    counting.await.unwrap();
    // Nothing else was counted. The dialer, too, treats datagrams of a dropped
    // connection as new ones.
    for counters in [&counters, &dialers] {
        let mut counted = counters.stats();
        counted.handshakes_failed = 0;
        assert_eq!(counted, Stats::default());
    }
    println!(
        "failures: recorded packets replayed: {said} said again, 0 done again, \
         handshakes begun in vain: {}",
        failed()
    );
}
