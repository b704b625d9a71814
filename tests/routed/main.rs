//! Tests docs/many-machines.md: two clouds and a Redis in network namespaces, with a router
//! between them that lets through what the page says, and nothing else.
//!
//! Owns which host reaches which, through which firewall, at which address. The page's
//! packet sizes are in `sizes.rs`, outages in `outage.rs`, faults of the network's plan in `faults.rs`, NAT in
//! `nat.rs`, unreachable addresses in `unreachable.rs`, quoted errors in
//! `words.rs`, and packet loss in `rough.rs`. Never touches the network of
//! the machine: everything is in namespaces, which end with the test.

// The feature builds the command, and only Linux has network namespaces.
#![cfg(all(feature = "cli", target_os = "linux"))]

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod member;
mod nat;
mod outage;
mod page;
mod rough;
mod sizes;
mod talk;
mod unreachable;
mod words;
mod world;

use support::{run, start};
use talk::{dialing, exchange, hosts, leave, listening, meet, refused};
use world::{At, CloudA, CloudB, REDIS_BOTH_WAYS, World};

/// The page's rules for a stateful firewall, such as security groups.
const STATEFUL: [&str; 3] = [
    "-m conntrack --ctstate ESTABLISHED -j ACCEPT",
    "-p tcp -d 10.3.0.2 --dport 6379 -j ACCEPT",
    "-p udp --dport 20000:20099 -j ACCEPT",
];

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn the_ports_of_the_page_are_all_it_takes() {
    let world = World::new();
    for (firewall, rules) in [("stateless", page::rules()), ("stateful", STATEFUL.into())] {
        world.only(&rules);
        // In both directions: each cloud dials the other.
        for (listens, dials) in [(CloudA, CloudB), (CloudB, CloudA)] {
            let took = meet(&world, (listens, "β"), (dials, "α"));
            println!("{firewall} firewall, {listens:?} listens: 8 MiB both ways in {took:.2?}");
        }
    }
    // A host at a port that the page does not name: the firewall blocks it.
    let mut elsewhere = world.virtnet(CloudA, &["listen", "γ:1"]);
    let mut elsewhere = start(elsewhere.env("VIRTNET_BIND", "0.0.0.0:30000"));
    elsewhere.wait_for("listening γ:1");
    page::tells(&refused(&world, CloudB, "α", "γ"));
}

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn hosts_take_the_lowest_ports_and_the_address_by_which_redis_is_reached() {
    let world = World::new();
    let place = |name: &str, place: &str| [name.to_owned(), place.to_owned()];
    let first = listening(&world, CloudA, "α");
    let _second = listening(&world, CloudA, "β");
    let _other = listening(&world, CloudB, "γ");
    let expected = [
        place("α", "10.1.0.2:20000"),
        place("β", "10.1.0.2:20001"),
        place("γ", "10.2.0.2:20000"),
    ];
    assert_eq!(hosts(&world, CloudB), expected);
    run(&mut world.virtnet(At::Redis, &["wait", "α", "β", "γ"])).success();
    leave(first);
    let _next = listening(&world, CloudA, "δ");
    assert!(hosts(&world, CloudB).contains(&place("δ", "10.1.0.2:20000")));

    // All ports of a range are taken.
    let mut full = world.virtnet(CloudA, &["listen", "ε:1"]);
    full.env("VIRTNET_BIND", "0.0.0.0:20000-20001");
    page::tells(&run(&mut full).failure());
    full.env("VIRTNET_BIND", "0.0.0.0:20000");
    page::tells(&run(&mut full).failure());
}

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn without_udp_hosts_are_listed_and_dials_fail_in_time() {
    let world = World::new();
    world.only(&REDIS_BOTH_WAYS);
    let _listener = listening(&world, CloudA, "β");
    run(&mut world.virtnet(CloudB, &["wait", "β"])).success();
    let listed = hosts(&world, CloudB);
    assert_eq!(listed, [["β".to_owned(), "10.1.0.2:20000".to_owned()]]);
    page::tells(&refused(&world, CloudB, "α", "β"));
}

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn udp_that_is_open_one_way_only() {
    let world = World::new();
    let no_answer = |from, listens, host: &str| {
        let why = refused(&world, from, "α", host);
        let place = format!("{}:20000 within 3s", listens);
        assert!(why.contains("no answer") && why.ends_with(&place), "{why}");
    };
    // A stateful firewall lets answers in. The blocked direction is tested first: the
    // firewall remembers pairs of ports, so an allowed dial over the same pair would open
    // the other direction for a while.
    let out = ["-p udp -s 10.1.0.0/24 --dport 20000:20099 -j ACCEPT"];
    world.only(&[&STATEFUL[..2], &out].concat());
    let listener = listening(&world, CloudA, "β");
    no_answer(CloudB, "10.1.0.2", "β");
    leave(listener);
    let took = meet(&world, (CloudB, "β"), (CloudA, "α"));
    println!("UDP from A to B, and answers: 8 MiB both ways in {took:.2?}");
    // Without answers no dial succeeds.
    world.only(&[&REDIS_BOTH_WAYS[..], &out].concat());
    let _a = listening(&world, CloudA, "γ");
    let _b = listening(&world, CloudB, "δ");
    no_answer(CloudB, "10.1.0.2", "γ");
    no_answer(CloudA, "10.2.0.2", "δ");
}

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn a_wrong_address_is_named_by_who_dials_it() {
    let world = World::new();
    world.names(CloudB, "10.1.0.2 vm-a.example\n");
    let mut other = world.virtnet(CloudA, &["listen", "γ:1"]);
    let mut other = start(other.env("VIRTNET_BIND", "0.0.0.0:20009"));
    other.wait_for("listening γ:1");
    for advertised in [
        // Unused; the dialer's own machine; another host's; a name that does not exist.
        "10.1.0.99",
        "127.0.0.1",
        "10.1.0.2:20009",
        "vm-a.exampel",
    ] {
        let mut listener = world.virtnet(CloudA, &["listen", "β:1"]);
        listener.env("VIRTNET_ADVERTISE", advertised);
        if advertised.contains(':') {
            page::tells(&run(&mut listener).usage_error());
            listener.env("VIRTNET_BIND", "0.0.0.0:20007");
        }
        let mut listener = start(&mut listener);
        listener.wait_for("listening β:1");
        page::tells(&refused(&world, CloudB, "α", "β"));
        leave(listener);
    }
}

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn a_name_is_looked_up_by_who_dials() {
    let world = World::new();
    world.only(&page::rules());
    // The advertising machine need not know its name.
    world.names(CloudB, "10.1.0.2 vm-a.example\n");
    let mut listener = world.virtnet(CloudA, &["listen", "β:1"]);
    let mut listener = start(listener.env("VIRTNET_ADVERTISE", "vm-a.example"));
    listener.wait_for("listening β:1");
    let listed = hosts(&world, CloudB);
    assert_eq!(listed, [["β".to_owned(), "vm-a.example:20000".to_owned()]]);
    let dialer = dialing(&world, CloudB, "α", "β");
    let took = exchange(listener, dialer);
    println!("by a DNS name: 8 MiB both ways in {took:.2?}");
}

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn over_ipv6_as_over_ipv4() {
    if !std::path::Path::new("/proc/net/if_inet6").exists() {
        println!("not tested: this machine has no IPv6");
        return;
    }
    let world = World::new();
    world.add_ipv6();
    world.only(&[]);
    world.route("ip6tables -w -P FORWARD DROP");
    for rule in page::rules() {
        let rule = rule.replace("10.3.0.2", "fd00:3::2");
        world.route(&format!("ip6tables -w -A FORWARD {rule}"));
    }
    let member = |at, args: &[&str]| {
        let mut member = world.virtnet(at, args);
        member.env("VIRTNET_REGISTRY", "redis://[fd00:3::2]");
        member.env("VIRTNET_BIND", page::setting_in("IPv6", "VIRTNET_BIND"));
        start(&mut member)
    };
    let mut listener = member(CloudA, &["listen", "β:1"]);
    listener.wait_for("listening β:1");
    let listed = member(CloudB, &["hosts"]).end().success();
    assert!(listed.starts_with("β\t[fd00:1::2]:20000\t"), "{listed}");
    let mut dialer = member(CloudB, &["dial", "--from", "α", "β:1"]);
    dialer.wait_for("connected α:1->β:2");
    let took = exchange(listener, dialer);
    println!("over IPv6: 8 MiB both ways in {took:.2?}");

    // The same setting over IPv4.
    world.open();
    let mut listener = world.virtnet(CloudA, &["listen", "β:1"]);
    listener.env("VIRTNET_BIND", page::setting_in("IPv6", "VIRTNET_BIND"));
    let mut listener = start(&mut listener);
    listener.wait_for("listening β:1");
    assert_eq!(hosts(&world, CloudB)[0][1], "10.1.0.2:20000");
    let took = exchange(listener, dialing(&world, CloudB, "α", "β"));
    println!("bound to both, over IPv4: 8 MiB both ways in {took:.2?}");
}
