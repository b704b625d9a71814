//! Faults between hosts in different containers, set by the command in a third one, without any
//! privilege.
//!
//! Owns what cut, hold and delay do to dials and open connections. Never touches a container's network.

use std::time::{Duration, Instant};

use crate::docker::Project;
use crate::support::{assert_pings_take, ping_of};
use crate::talk::{SLACK, Talk, dial};

/// Of a dial without an answer.
const DIAL: Duration = Duration::from_secs(3);

/// Runs the command in γ's container, which has neither of the two hosts.
fn virtnet(project: &Project, args: &[&str]) -> String {
    let mut command = project.virtnet("gamma", args);
    command.close_stdin();
    command.end().success()
}

fn set(project: &Project, fault: &[&str]) {
    let args = [&["fault"], fault, &["--for", "60"]].concat();
    virtnet(project, &args);
}

fn heal(project: &Project) {
    virtnet(project, &["fault", "heal"]);
}

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn cut_hold_and_delay_between_containers() {
    let project = Project::up();
    let mut talk = Talk::open(&project, "beta", "x", "α:1");
    let mut other = Talk::open(&project, "beta", "y", "α:1");

    set(&project, &["cut", "x", "α", "--both"]);
    let (took, dialed) = dial(&project, "gamma", "z", "α:1");
    println!("faults: a dial of another pair took {took:.1?}");
    assert!(dialed.unwrap().starts_with("connected z:1->α:"));
    talk.asks("through the cut");
    other.goes_on();
    let listed = virtnet(&project, &["faults"]);
    for rule in ["cut x -> α", "cut α -> x"] {
        assert!(listed.contains(rule), "{listed}");
    }
    let healed = Instant::now();
    heal(&project);
    talk.hears("through the cut");
    println!("faults: healed and heard after {:.1?}", healed.elapsed());

    // A host that comes later meets the rule, too.
    set(&project, &["cut", "late", "α"]);
    let (took, dialed) = dial(&project, "beta", "late", "α:1");
    let why = dialed.unwrap_err();
    assert!(
        why.starts_with("dial compose late:1->α:1: no answer from host \"α\""),
        "{why}"
    );
    println!("faults: a dial that is cut: {took:.1?} of {DIAL:?}");
    assert!(took < DIAL + SLACK, "{took:?}");
    heal(&project);

    set(&project, &["hold", "x", "α"]);
    talk.asks("first");
    talk.asks("second");
    other.goes_on();
    heal(&project);
    talk.hears("first\nsecond");

    set(&project, &["delay", "x", "α", "400ms"]);
    let asked = Instant::now();
    talk.goes_on();
    let took = asked.elapsed();
    println!("faults: with a delay of 400 ms a line is back after {took:.1?}");
    assert!(took >= Duration::from_millis(400), "{took:?}");
    heal(&project);

    // A ping shows it, also by a host that comes later.
    set(&project, &["delay", "pinger", "α", "400ms"]);
    let pinged = virtnet(&project, &ping_of("α:1"));
    assert_pings_take(&pinged, Duration::from_millis(400));
    heal(&project);
    talk.end();
    other.end();
}
