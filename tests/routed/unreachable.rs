//! Addresses to which the kernel refuses to send: no route, a blocked route, a local
//! firewall, or a loopback interface that is down.
//!
//! Owns how each is set up, and that a dial's error has the kernel's reason. Never touches
//! the router.

use std::process::Command;

use crate::member::{Done, Member};
use crate::page;
use crate::support::{member, run, start};
use crate::talk::{listening, refused};
use crate::world::{CloudA, CloudB, World};

/// The kernel's error for each type of blocked route.
const CLOSED: [(&str, &str); 3] = [
    ("unreachable", "No route to host (os error 113)"),
    ("prohibit", "Permission denied (os error 13)"),
    ("blackhole", "Invalid argument (os error 22)"),
];

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn a_dial_that_has_no_route_fails_at_once() {
    let world = World::new();
    let _listener = listening(&world, CloudA, "β");
    for (kind, said) in CLOSED {
        world.has(CloudB, &format!("ip route add {kind} 10.1.0.0/24"));
        let why = refused(&world, CloudB, "α", "β");
        assert!(why.ends_with(said), "{kind}: {why}");
        page::tells(&why);
        world.has(CloudB, "ip route del 10.1.0.0/24");
    }
    // The loopback address has no route to another machine.
    let mut bound = world.virtnet(CloudB, &["dial", "--from", "α", "β:1"]);
    page::tells(&run(bound.env("VIRTNET_BIND", "127.0.0.1:0")).failure());

    world.has(CloudB, "ip route add 10.3.0.0/24 via 10.2.0.1");
    world.has(CloudB, "ip route del default");
    page::tells(&refused(&world, CloudB, "α", "β"));
    let mut ping = world.virtnet(CloudB, &["ping", "β", "--count", "1"]);
    let pinged = String::from_utf8(run(&mut ping).stdout).unwrap();
    assert!(pinged.contains("Network is unreachable"), "{pinged}");
}

/// Also over an existing QUIC connection, which later goes on.
#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn a_route_that_is_closed_and_opened_again() {
    let world = World::new();
    let mut echo = start(&mut world.virtnet(CloudA, &["echo", "β:1"]));
    echo.expect_stdout("listening β:1\n");
    let mut member = Member::start(&world, CloudB, "α");
    let ends = |(_, said): Done| said.unwrap();
    assert_eq!(ends(member.dial("β:1")), "α:1->β:2");
    for (kind, said) in CLOSED {
        world.has(CloudB, &format!("ip route add {kind} 10.1.0.0/24"));
        let (took, dialed) = member.dial("β:1");
        let why = dialed.unwrap_err();
        println!("{kind}: {why} after {took:.1?}");
        assert!(
            why.contains("cannot reach host") && why.ends_with(said),
            "{why}"
        );
        world.has(CloudB, "ip route del 10.1.0.0/24");
        ends(member.talk());
    }
    // It is the first dial's QUIC connection, so its virtual ports are still in use.
    assert_eq!(ends(member.dial("β:1")), "α:2->β:3");
    ends(member.talk());
}

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn a_firewall_of_ones_own_is_named_when_nothing_came_back() {
    let world = World::new();
    let _listener = listening(&world, CloudA, "β");
    for target in ["REJECT", "DROP"] {
        let rule = format!("OUTPUT -p udp --dport 20000:20099 -j {target}");
        world.has(CloudB, &format!("iptables -w -A {rule}"));
        page::tells(&refused(&world, CloudB, "α", "β"));
        let mut ping = world.virtnet(CloudB, &["ping", "β", "--count", "1"]);
        let pinged = String::from_utf8(run(&mut ping).stdout).unwrap();
        assert!(pinged.contains("Operation not permitted"), "{pinged}");
        world.has(CloudB, &format!("iptables -w -D {rule}"));
    }
}

/// Like the sandboxes in which distributions build packages.
#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn a_loopback_interface_that_is_down_is_named_by_the_first_host() {
    let folder = tempfile::tempdir().unwrap();
    let registry = format!("local:{}", folder.path().join("names").display());
    let alone = |bind: &str, args: &[&str]| {
        let member = member(&registry, args);
        let mut there = Command::new("unshare");
        there.arg("-n").arg(member.get_program()).args(args);
        there.envs(
            member
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        run(there.env("VIRTNET_BIND", bind)).failure()
    };
    page::tells(&alone("127.0.0.1:20000", &["listen", "β:1"]));
    for (bind, args) in [
        ("127.0.0.1:0", &["demo", "--registry", &*registry][..]),
        ("[::1]:0", &["listen", "β:1"]),
    ] {
        let said = alone(bind, args);
        assert!(said.contains("the loopback interface is down"), "{said}");
    }
}
