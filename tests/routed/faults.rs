//! Faults of the network's plan between clouds, set at a machine that has none of the hosts.
//!
//! Owns what cut, hold and delay do across a router. Never changes a route or a rule of a firewall.

use std::time::Duration;

use crate::member::Member;
use crate::page;
use crate::support::{Running, assert_pings_take, ping_of, run, start};
use crate::talk::{DIAL, SLACK};
use crate::world::{At, CloudA, CloudB, World};

fn set(world: &World, fault: &[&str]) {
    let args = [&["fault"], fault, &["--for", "60"]].concat();
    run(&mut world.virtnet(At::Redis, &args)).success();
}

fn heal(world: &World) {
    run(&mut world.virtnet(At::Redis, &["fault", "heal"])).success();
}

fn echoing(world: &World, host: &str) -> Running {
    let mut echo = start(&mut world.virtnet(CloudA, &["echo", &format!("{host}:1")]));
    echo.expect_stdout(format!("listening {host}:1\n"));
    echo
}

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn cut_hold_and_delay_between_clouds() {
    let world = World::new();
    world.only(&page::rules());
    let _hosts = ["β", "γ"].map(|host| echoing(&world, host));
    let mut member = Member::start(&world, CloudB, "α");
    assert_eq!(member.dial("β:1").1.as_deref(), Ok("α:1->β:2"));

    // One way: what β answers is lost.
    set(&world, &["cut", "β", "α"]);
    let (took, said) = member.dial("β:1");
    let said = said.unwrap_err();
    println!("faults: a dial that is cut: {took:.1?} of {DIAL:?}: {said}");
    assert!(said.contains("no answer from host \"β\""), "{said}");
    assert!(DIAL <= took && took < DIAL + SLACK, "{took:?}");
    // Another pair of the same machines.
    assert_eq!(member.dial("γ:1").1.as_deref(), Ok("α:2->γ:2"));
    heal(&world);
    // Less than the idle time: what was open goes on.
    member.talk().1.unwrap();
    let dialed = member.dial("β:1").1.unwrap();
    assert!(dialed.starts_with("α:3->β:"), "{dialed}");

    // It is held until the command's time is over.
    run(&mut world.virtnet(At::Redis, &["fault", "hold", "α", "β", "--for", "2"])).success();
    let (took, said) = member.talk();
    println!("faults: held for 2 s, a word is back after {took:.1?}");
    said.unwrap();
    assert!(took >= Duration::from_secs(1), "{took:?}");
    heal(&world);

    // What was held arrives in order, when it is healed.
    let mut dialed = start(&mut world.virtnet(CloudB, &["dial", "γ:1", "--from", "δ"]));
    dialed.write("open\n");
    dialed.expect_stdout("open\n");
    set(&world, &["hold", "δ", "γ"]);
    for word in ["first\n", "second\n", "third\n"] {
        dialed.write(word);
    }
    heal(&world);
    dialed.expect_stdout("first\nsecond\nthird\n");
    dialed.close_stdin();
    dialed.end().success();

    let delay = Duration::from_millis(400);
    set(&world, &["delay", "α", "γ", "400ms"]);
    let (took, said) = member.talk();
    println!("faults: with a delay of {delay:?} a word is back after {took:.1?}");
    said.unwrap();
    assert!(took >= delay, "{took:?}");
    heal(&world);
    member.talk().1.unwrap();

    // A ping shows it, also by a host that comes later.
    set(&world, &["delay", "pinger", "β", "400ms"]);
    let pinged = run(&mut world.virtnet(CloudB, &ping_of("β:1"))).success();
    assert_pings_take(&pinged, Duration::from_millis(400));
    heal(&world);
}
