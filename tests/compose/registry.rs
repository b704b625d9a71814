//! Redis killed, restarted empty, and cut off.
//!
//! Owns what members notice: new dials and names, but not open connections. Never touches a
//! host.

use std::time::Duration;

use crate::docker::Project;
use crate::talk::{Load, SLACK, Talk, dial};

/// The bounds within which it is reported, and within which everything works again.
const SAID: Duration = Duration::from_secs(2);
const BACK: Duration = Duration::from_secs(5);
/// How long a cached answer is used without asking Redis.
const KEPT: Duration = Duration::from_secs(5);

/// Breaks Redis and repairs it, while connections are open and new ones are dialed.
fn outage(what: &str, break_it: impl FnOnce(&Project), mend_it: impl FnOnce(&Project)) {
    let project = Project::up();
    let mut talk = Talk::open(&project, "beta", "x", "α:1");
    let mut load = Load::start(&project);

    break_it(&project);
    let down = [
        "α registry is down",
        "β registry is down",
        "γ registry is down",
    ];
    let took = load.wait_for(&down);
    println!(
        "{what}: the last answer is forgotten after {took:.1?} of {:?}",
        KEPT + SAID
    );
    assert!(took < KEPT + SAID + SLACK, "{took:?}");
    let (took, joined) = dial(&project, "beta", "z", "α:1");
    println!("{what}: who joins is told after {took:.1?} of {SAID:?}");
    assert!(took < SAID + SLACK, "{took:?}");
    let why = joined.unwrap_err();
    assert!(
        why.contains("redis://redis") && why.contains("registry is down"),
        "{why}"
    );
    talk.goes_on();

    mend_it(&project);
    let took = load.wait_for(&["α same", "β same", "γ same"]);
    println!("{what}: works again after {took:.1?} of {BACK:?}");
    assert!(took < BACK + SLACK, "{took:?}");
    talk.goes_on();
    talk.end();
    let outcomes = load.stop();
    let (_, longest) = outcomes["registry is down"];
    println!("{what}: dials said so after {longest:?} of {SAID:?} at most");
    assert!(longest < SAID + SLACK, "{longest:?}");
    // An empty Redis has no hosts until they register again. Nothing else fails: open
    // connections go on.
    let expected = ["same", "registry is down", "no such host"];
    for what in outcomes.keys() {
        assert!(expected.contains(&&**what), "{outcomes:?}");
    }
}

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn redis_killed_and_started_empty() {
    outage(
        "Redis killed",
        |project| drop(project.inflict(&["kill"], "redis")),
        |project| drop(project.inflict(&["start"], "redis")),
    );
}

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn redis_cut_off_and_back() {
    outage(
        "Redis cut off",
        |project| project.cut_off("redis"),
        |project| project.put_back("redis"),
    );
}

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn redis_restarted_empty_while_nobody_looks() {
    let project = Project::up();
    let mut talk = Talk::open(&project, "beta", "x", "α:1");
    project.inflict(&["restart", "-t", "5"], "redis");
    // Every host registers again, even without a dial.
    let began = std::time::Instant::now();
    project.all_there();
    let took = began.elapsed();
    println!("Redis restarted empty: all are there again after {took:.1?} of {BACK:?}");
    assert!(took < BACK + SLACK, "{took:?}");
    talk.goes_on();
    talk.end();
    let (_, dialed) = dial(&project, "gamma", "y", "α:1");
    assert_eq!(dialed.unwrap(), "connected y:1->α:2");
}
