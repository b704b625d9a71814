//! Packet sizes: paths that take less than Ethernet's, and more.
//!
//! Owns what the page says of the MTU. Never lets a path's router answer where
//! the page says that it need not.

use std::time::{Duration, Instant};

use crate::page;
use crate::support::{figure, run};
use crate::talk::{CUT, MIB, bytes, dialing, listening, meet, refused};
use crate::world::{At, CloudA, CloudB, World};

/// Of a path over IPv4: QUIC's 1200 bytes (RFC 9000), 8 of UDP, 20 of IP.
const LEAST: u16 = 1200 + 8 + 20;

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn paths_of_any_size_from_the_least_one_with_icmp_and_without() {
    let world = World::new();
    for icmp in ["with", "without"] {
        if icmp == "without" {
            world.mute_icmp();
        }
        for mtu in [1400, 1280, LEAST] {
            world.path_mtu(CloudA, CloudB, mtu);
            let took = meet(&world, (CloudA, "β"), (CloudB, "α"));
            println!("MTU {mtu}, {icmp} ICMP: 8 MiB both ways in {took:.2?}");
        }
    }
    // Smaller ones are none of QUIC's, and TCP gets through all the same.
    world.path_mtu(CloudA, CloudB, LEAST - 1);
    let _listener = listening(&world, CloudA, "β");
    let why = refused(&world, CloudB, "α", "β");
    assert!(why.contains("no answer from host \"β\""), "{why}");
}

/// Routers may say that a packet was too long, or drop it without a word.
#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn a_path_that_shrinks_under_a_connection() {
    let mut took = Vec::new();
    for icmp in ["with", "without"] {
        let world = World::new();
        if icmp == "without" {
            world.mute_icmp();
        }
        let [before, at_once, then] = shrinks(&world);
        took.push(format!(
            "{icmp} ICMP a MiB takes {before:.2?} before, {at_once:.2?} at once after, \
             {then:.2?} then"
        ));
    }
    figure("the path's MTU shrinks", took.join("; "));
}

/// A connection goes on, byte by byte; how long a MiB took just before the path shrank,
/// just after, and at last.
fn shrinks(world: &World) -> [Duration; 3] {
    let mut listener = listening(world, CloudA, "β");
    let mut dialer = dialing(world, CloudB, "α", "β");
    let sent = bytes(3, MIB);
    let mut took = Vec::new();
    for mtu in [1500, 1280] {
        world.path_mtu(CloudA, CloudB, mtu);
        for _ in 0..4 {
            let begun = Instant::now();
            dialer.write(&sent);
            listener.expect_stdout(&sent);
            took.push(begun.elapsed());
            // A cut would take this long.
            assert!(begun.elapsed() < CUT, "{took:?}");
        }
    }
    dialer.close_stdin();
    listener.close_stdin();
    assert_eq!(listener.end().code, Some(0));
    assert_eq!(dialer.end().code, Some(0));
    [took[3], took[4], took[7]]
}

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn jumbo_frames() {
    let world = World::with_mtu(9000);
    let took = meet(&world, (CloudA, "β"), (CloudB, "α"));
    println!("MTU 9000: 8 MiB both ways in {took:.2?}");
    // As far as the cloud's edge, without a word from there.
    world.mute_icmp();
    world.path_mtu(CloudA, CloudB, 1500);
    let took = meet(&world, (CloudA, "β"), (CloudB, "α"));
    println!("MTU 9000 within, 1500 between: 8 MiB both ways in {took:.2?}");
}

/// Of what virtnet sends it is TCP that needs ICMP: what is said to Redis at once
/// may be longer than the path takes.
#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn a_small_path_to_redis_needs_icmp_or_a_clamp() {
    let world = World::new();
    world.path_mtu(CloudA, At::Redis, 1280);
    let dial = |said: &str| {
        let begun = Instant::now();
        let why = run(&mut world.virtnet(CloudA, &["dial", "--from", "α", "β:1"])).failure();
        println!("after {:.1?}: {why}", begun.elapsed());
        assert!(why.contains(said), "{why}");
        why
    };
    dial("no such host");
    world.mute_icmp();
    // What was learned by ICMP is forgotten.
    world.forget(CloudA);
    world.forget(At::Redis);
    page::tells(&dial("registry is down"));
    for rule in page::lines("iptables -t mangle ") {
        world.rule(&format!("-t mangle {rule}"));
    }
    dial("no such host");
}
