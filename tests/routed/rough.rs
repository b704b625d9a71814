//! A path between machines that loses packets.
//!
//! Owns that all data gets through. Never reorders or duplicates packets, which a firewall
//! cannot do: the engine's `failures/rough.rs` does.

use crate::support::figure;
use crate::talk::{dialing, exchange, listening};
use crate::world::{CloudA, CloudB, World};

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn a_router_that_loses_a_tenth() {
    let world = World::new();
    let listener = listening(&world, CloudA, "β");
    let dialer = dialing(&world, CloudB, "α", "β");
    world.rule("-A FORWARD -p udp -m statistic --mode random --probability 0.1 -j DROP");
    let took = exchange(listener, dialer);
    figure(
        "packet loss 10 %, between machines",
        format!("8 MiB both ways byte-exact in {took:.1?}"),
    );
}
