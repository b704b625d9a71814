//! Outages: a firewall that closes in front of Redis, unplugged machines, killed processes.
//!
//! Owns the bounds within which they are noticed, and within which everything works again.
//! Never restarts anything for that.

use std::time::{Duration, Instant};

use crate::member::{Done, Member};
use crate::page;
use crate::support::{Running, figure, start};
use crate::talk::{CUT, DIAL, SLACK, dialing, hosts, listening, refused};
use crate::world::{At, CloudA, CloudB, World};

/// Time within which a call to Redis ends, for which an answer of Redis is valid, and
/// within which everything works again after an outage.
const CALL: Duration = Duration::from_secs(2);
const REMEMBERED: Duration = Duration::from_secs(5);
const HEALED: Duration = Duration::from_secs(5);

fn echoing(world: &World, at: At, host: &str) -> Running {
    let mut echo = start(&mut world.virtnet(at, &["echo", &format!("{host}:1")]));
    echo.expect_stdout(format!("listening {host}:1\n"));
    echo
}

/// Dials until the result is as wanted, within the bound; returns how long it took.
fn until(
    what: &str,
    member: &mut Member,
    to: &str,
    bound: Duration,
    wanted: impl Fn(&Done) -> bool,
) -> Duration {
    let begun = Instant::now();
    loop {
        let done = member.dial(to);
        let took = begun.elapsed();
        if wanted(&done) {
            println!("{what}: after {took:.1?}, by a dial of {:.1?}", done.0);
            assert!(took < bound + SLACK, "{took:?}: {done:?}");
            return took;
        }
        assert!(took < bound + SLACK, "{what}: {done:?}");
    }
}

fn is_down(done: &Done) -> bool {
    let said = done.1.as_ref().err();
    said.is_some_and(|said| said.contains("registry is down"))
}

fn is_done(done: &Done) -> bool {
    done.1.is_ok()
}

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn a_firewall_that_closes_before_redis_and_opens_again() {
    let world = World::new();
    let rules = page::rules();
    world.only(&rules);
    let _hosts = ["β", "γ"].map(|host| echoing(&world, CloudA, host));
    let mut member = Member::start(&world, CloudB, "α");
    assert_eq!(member.dial("β:1").1.as_deref(), Ok("α:1->β:2"));

    let udp: Vec<_> = rules.iter().filter(|rule| rule.contains("udp")).collect();
    world.only(&udp.into_iter().copied().collect::<Vec<_>>());
    let closed = Instant::now();
    // A name that it has not queried yet.
    let (took, said) = member.dial("γ:1");
    let said = said.unwrap_err();
    println!("Redis out of reach: a dial says so after {took:.1?}");
    page::tells(&said);
    assert!(took < CALL + SLACK, "{took:?}");
    until(
        "Redis out of reach: a name looked up before",
        &mut member,
        "β:1",
        REMEMBERED + CALL,
        is_down,
    );
    // Open connections go on, in both directions.
    let (_, talked) = member.talk();
    println!(
        "Redis out of reach for {:.1?}: {talked:?}",
        closed.elapsed()
    );
    talked.unwrap();
    // A process that starts now fails to open the network.
    let late = start(&mut world.virtnet(CloudB, &["dial", "--from", "δ", "β:1"]));
    let begun = Instant::now();
    page::tells(&late.end().failure());
    assert!(begun.elapsed() < CALL + SLACK);

    world.only(&rules);
    until("Redis in reach again", &mut member, "γ:1", HEALED, is_done);
    until("another name", &mut member, "β:1", HEALED, is_done);
    member.talk().1.unwrap();
}

/// The error of the remaining end of a cut connection.
fn cut(what: &str, since: Instant, end: Running) -> String {
    let why = end.end().failure();
    let took = since.elapsed();
    figure(
        &format!("machines, {what}"),
        format!("an open connection fails after {took:.1?} of {CUT:?}: {why}"),
    );
    assert!(took < CUT + SLACK, "{took:?}");
    why
}

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn a_machine_that_is_unplugged_and_plugged_in_again() {
    let world = World::new();
    world.only(&page::rules());
    let mut echo = echoing(&world, CloudA, "β");
    let _listener = listening(&world, CloudA, "γ");
    let mut member = Member::start(&world, CloudB, "α");
    assert_eq!(member.dial("β:1").1.as_deref(), Ok("α:1->β:2"));
    echo.expect_stdout("connected α:1->β:2\n");
    let dialer = dialing(&world, CloudB, "δ", "γ");

    world.plug(CloudA, "down");
    let since = Instant::now();
    let (took, said) = member.dial("β:1");
    figure(
        "machines, unplugged",
        format!("a dial fails after {took:.1?} of {DIAL:?}"),
    );
    let said = said.unwrap_err();
    assert!(said.contains("no answer from host \"β\""), "{said}");
    assert!(took < DIAL + SLACK, "{took:?}");
    page::tells(&cut("unplugged", since, dialer));
    echo.expect_stdout("cut α:1->β:2: read virtnet α:1->β:2: timed out\n");
    let took = since.elapsed();
    println!("unplugged: the machine itself has noticed after {took:.1?}");
    assert!(took < CUT + SLACK, "{took:?}");
    assert!(member.talk().1.is_err(), "no end-of-file, no echo");

    world.plug(CloudA, "up");
    until("plugged in again", &mut member, "β:1", HEALED, is_done);
}

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn a_process_that_is_killed_on_another_machine() {
    let world = World::new();
    world.only(&page::rules());
    let mut listener = listening(&world, CloudA, "β");
    let dialer = dialing(&world, CloudB, "α", "β");
    listener.kill();
    cut("killed", Instant::now(), dialer);
    // Its name stays leased until the lease ends.
    let lease = Duration::from_secs(15);
    let mut next = world.virtnet(CloudA, &["listen", "β:1", "--within", "30"]);
    let begun = Instant::now();
    let mut next = start(&mut next);
    next.wait_for("listening β:1");
    let took = begun.elapsed();
    println!("killed: its name is taken again {took:.1?} after the cut was noticed");
    assert!(took < lease + SLACK, "{took:?}");
}

/// With a range of ports, the next host gets the port of a killed one, whose name still
/// leads there.
#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn a_port_of_a_killed_process_that_another_host_takes() {
    let world = World::new();
    world.only(&page::rules());
    let mut killed = listening(&world, CloudA, "β");
    let dialer = dialing(&world, CloudB, "α", "β");
    killed.kill();
    let since = Instant::now();
    let _next = listening(&world, CloudA, "γ");
    let places = hosts(&world, CloudB).into_iter();
    let places: Vec<_> = places.filter(|[name, _]| name != "α").collect();
    assert_eq!(places[0][1], places[1][1], "{places:?}");
    page::tells(&refused(&world, CloudB, "δ", "β"));
    let why = cut("killed, and its port taken", since, dialer);
    assert!(why.ends_with("timed out"), "{why}");
}

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn clouds_that_are_cut_off_from_each_other_and_not_from_redis() {
    let world = World::new();
    let rules = page::rules();
    world.only(&rules);
    let _echo = echoing(&world, CloudA, "β");
    let mut member = Member::start(&world, CloudB, "α");
    member.dial("β:1").1.unwrap();
    let tcp: Vec<_> = rules.iter().filter(|rule| rule.contains("tcp")).collect();
    world.only(&tcp.into_iter().copied().collect::<Vec<_>>());
    let begun = Instant::now();
    // A word in flight, and an answer that never comes.
    let (took, said) = member.talk();
    let open = took;
    assert!(said.is_err() && took < CUT + SLACK, "{took:?}: {said:?}");
    let (took, said) = member.dial("β:1");
    figure(
        "machines, cut off from each other and not from Redis",
        format!(
            "an open connection fails after {open:.1?} of {CUT:?}, a dial after {took:.1?} of {DIAL:?}"
        ),
    );
    assert!(said.is_err() && took < DIAL + SLACK, "{took:?}: {said:?}");
    println!("cut off for {:.1?}", begun.elapsed());
    world.only(&rules);
    until("joined again", &mut member, "β:1", HEALED, is_done);
}
