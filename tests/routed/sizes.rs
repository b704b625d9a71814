//! Packet sizes: paths with a smaller MTU than Ethernet's, and with a larger one.
//!
//! Owns what the page says about the MTU. Never lets a router send ICMP where the page says
//! that it is not needed.

use std::time::{Duration, Instant};

use crate::page;
use crate::support::{figure, run};
use crate::talk::{CUT, MIB, bytes, dialing, listening, meet, refused};
use crate::world::{At, CloudA, CloudB, World};

/// The smallest MTU over IPv4: QUIC's 1200 bytes (RFC 9000), 8 of UDP, 20 of IP.
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
    // Smaller paths are too small for QUIC, but TCP still gets through.
    world.path_mtu(CloudA, CloudB, LEAST - 1);
    let _listener = listening(&world, CloudA, "β");
    let why = refused(&world, CloudB, "α", "β");
    assert!(why.contains("no answer from host \"β\""), "{why}");
}

/// Routers may report by ICMP that a packet was too long, or drop it silently.
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

/// Runs a connection over a shrinking path; returns how long a MiB took just before, just
/// after, and at the end.
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
            // After this time the connection would be cut.
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
    // Only up to the cloud's edge, which sends no ICMP.
    world.mute_icmp();
    world.path_mtu(CloudA, CloudB, 1500);
    let took = meet(&world, (CloudA, "β"), (CloudB, "α"));
    println!("MTU 9000 within, 1500 between: 8 MiB both ways in {took:.2?}");
}

/// Only virtnet's TCP needs ICMP: a segment to Redis may be longer than the path's MTU.
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
    // Forgets what ICMP reported.
    world.forget(CloudA);
    world.forget(At::Redis);
    page::tells(&dial("registry is down"));
    for rule in page::lines("iptables -t mangle ") {
        world.rule(&format!("-t mangle {rule}"));
    }
    dial("no such host");
}
