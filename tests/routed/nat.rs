//! NAT: clouds whose machines have a public address that they do not know, and machines
//! that share one public address.
//!
//! Owns what the page says about `VIRTNET_ADVERTISE` there, and about entries that a NAT has forgotten. Never lets a private address
//! pass from one cloud to the other.

use std::time::Instant;

use crate::page;
use crate::support::start;
use crate::talk::{CUT, SLACK, dialing, exchange, hosts, leave, listening, refused};
use crate::world::{At, CloudA, CloudB, World};

/// The public addresses of the clouds (RFC 5737).
const PUBLIC: [(At, &str); 2] = [(CloudA, "203.0.113.1"), (CloudB, "198.51.100.2")];

/// A world whose clouds see only public addresses of each other.
fn private() -> World {
    let world = World::new();
    for (at, _) in PUBLIC {
        let (link, other) = (at.link(), if at == CloudA { CloudB } else { CloudA });
        let private = other.ip();
        world.rule(&format!(
            "-t raw -A PREROUTING -i {link} -d {private} -j DROP"
        ));
    }
    world
}

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn public_addresses_one_to_one_are_advertised() {
    let world = private();
    for (at, public) in PUBLIC {
        let (private, redis) = (at.ip(), At::Redis.ip());
        world.rule(&format!(
            "-t nat -A PREROUTING -d {public} -j DNAT --to {private}"
        ));
        world.rule(&format!(
            "-t nat -A POSTROUTING -s {private} ! -d {redis} -j SNAT --to {public}"
        ));
    }
    // Security groups see private addresses: the page's ports are enough.
    world.only(&page::rules());
    let listener = listening(&world, CloudA, "β");
    page::tells(&refused(&world, CloudB, "α", "β"));
    leave(listener);
    for ((listens, public), (dials, _)) in [(PUBLIC[0], PUBLIC[1]), (PUBLIC[1], PUBLIC[0])] {
        let mut listener = world.virtnet(listens, &["listen", "β:1"]);
        let mut listener = start(listener.env("VIRTNET_ADVERTISE", public));
        listener.wait_for("listening β:1");
        assert_eq!(hosts(&world, dials)[0][1], format!("{public}:20000"));
        // A host that only dials needs no address that others reach.
        let dialer = dialing(&world, dials, "α", "β");
        let took = exchange(listener, dialer);
        println!("1:1 NAT, {listens:?} listens: 8 MiB both ways in {took:.2?}");
    }
}

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn behind_a_shared_address_hosts_dial_and_are_dialed_by_mapped_ports_only() {
    let world = private();
    let shared = "203.0.113.9";
    let (private, link) = (CloudA.ip(), CloudB.link());
    world.rule(&format!(
        "-t nat -A POSTROUTING -o {link} -s {private} -j SNAT --to {shared}"
    ));
    // The other cloud's machine has the public address itself.
    world.rule("-t raw -F PREROUTING");
    let drop = format!("-t raw -A PREROUTING -i {link} -d {private} -j DROP");
    world.rule(&drop);
    let behind = |host: &str| {
        let mut listener = world.virtnet(CloudA, &["listen", &format!("{host}:1")]);
        let mut listener = start(listener.env("VIRTNET_ADVERTISE", shared));
        listener.wait_for(&format!("listening {host}:1"));
        listener
    };
    let unmapped = behind("β");
    let why = refused(&world, CloudB, "α", "β");
    let said = "no answer from host \"β\" at 203.0.113.9:20000";
    assert!(why.contains(said), "{why}");
    leave(unmapped);
    let listener = listening(&world, CloudB, "γ");
    let took = exchange(listener, dialing(&world, CloudA, "α", "γ"));
    println!("from behind a shared address: 8 MiB both ways in {took:.2?}");

    world.rule(&format!(
        "-t nat -A PREROUTING -p udp -d {shared} --dport 20000:20099 -j DNAT --to {private}"
    ));
    let listener = behind("β");
    let took = exchange(listener, dialing(&world, CloudB, "α", "β"));
    println!("to a mapped port: 8 MiB both ways in {took:.2?}");
}

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn an_idle_connection_outlives_its_entry_in_a_nat_but_not_another_port() {
    let world = World::new();
    let (link, private) = (CloudB.link(), CloudA.ip());
    let snat = |port: u16| format!("-o {link} -s {private} -p udp -j SNAT --to 203.0.113.9:{port}");
    world.rule(&format!("-t nat -A POSTROUTING {}", snat(40000)));
    // Entries end between two packets of an idle connection, so each packet makes one anew.
    for timeout in ["udp_timeout", "udp_timeout_stream"] {
        world.route(&format!(
            "sysctl -qw net.netfilter.nf_conntrack_{timeout}=1"
        ));
    }
    let mut listener = listening(&world, CloudB, "β");
    let dialer = dialing(&world, CloudA, "α", "β");
    listener.wait_for("connected α:1->β:2");
    world.translated(3);
    let took = exchange(listener, dialer);
    println!("entries that ended: 8 MiB both ways in {took:.2?}");

    let listener = listening(&world, CloudB, "γ");
    let dialer = dialing(&world, CloudA, "α", "γ");
    world.rule(&format!("-t nat -R POSTROUTING 1 {}", snat(40001)));
    world.translated(1);
    let begun = Instant::now();
    for (end, read) in [(listener, "α:1->γ:2"), (dialer, "γ:2->α:1")] {
        let why = end.end().failure();
        assert!(why.contains(&format!("{read}: timed out")), "{why}");
    }
    let took = begun.elapsed();
    println!("another port: both ends time out within {took:.1?}");
    assert!(took < CUT + SLACK, "{took:?}");
}
