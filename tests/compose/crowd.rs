//! Many at the same time: all hosts restarted under load, and parallel runs on one Redis.
//!
//! Owns that they do not disturb each other. Never causes a fault except a clean end.

use crate::docker::{Project, docker, output, stdout, until};
use crate::support::start;
use crate::talk::{Load, dial};

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn all_hosts_restarted_under_load() {
    let project = Project::up();
    let load = Load::start(&project);
    for (service, name) in [("alpha", "α"), ("beta", "β"), ("gamma", "γ")] {
        let began = std::time::Instant::now();
        project.run(&["restart", "-t", "10", service]);
        let restarted = began.elapsed();
        let again = format!("listening {name}:1");
        until("it listens again", || {
            project.logs(service).matches(&again).count() == 2
        });
        let to = format!("{name}:1");
        let again = until("it is reached", || {
            dial(&project, "beta", "x", &to).1.is_ok()
        });
        println!("{service} restarted in {restarted:.1?}, reached again {again:.1?} later");
    }
    // It fails if an answer is wrong or missing.
    let outcomes = load.stop();
    // An echo that a signal ends cuts what it has not sent back yet: never a clean end.
    let orderly = ["same", "connection refused", "no such host"];
    for what in outcomes.keys() {
        let is_cut = what.ends_with(": connection cut");
        assert!(is_cut || orderly.contains(&&**what), "{outcomes:?}");
    }
}

/// Overrides for a second run: the first one's Redis, and another network.
const SECOND: &str = "
x-member: &member
  VIRTNET_NETWORK: second
  VIRTNET_REGISTRY: redis://names
services:
  alpha: {environment: *member}
  beta: {environment: *member}
  gamma: {environment: *member}
  runner: {environment: *member}
";

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn two_runs_side_by_side_on_one_redis() {
    // The first one's Redis is on the second's network, so it goes first.
    let second = Project::new(Some(SECOND));
    let first = Project::up();
    second.run(&["up", "--no-start", "alpha", "beta", "gamma"]);
    let network = second.network();
    first.inflict(
        &["network", "connect", "--alias", "names", &network],
        "redis",
    );
    second.run(&["up", "-d", "alpha", "beta", "gamma"]);
    second.all_there();

    let run =
        |project: &Project| start(&mut project.compose(&["run", "-T", "--no-deps", "runner"]));
    let running = [run(&first), run(&second)];
    for (runner, network) in running.into_iter().zip(["compose", "second"]) {
        let said = runner.end().success();
        assert!(said.starts_with(&format!("network {network}: ")), "{said}");
        assert!(said.contains("passed: 10 events as expected"), "{said}");
    }
    // The second's own Redis was up all the time, and unused.
    let keys = |project: &Project| {
        let redis = project.container("redis");
        stdout(&mut docker(&["exec", &redis, "redis-cli", "dbsize"]))
    };
    assert_eq!(keys(&second).trim(), "0");
    assert_ne!(keys(&first).trim(), "0");
}

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn two_networks_in_the_same_containers() {
    let project = Project::up();
    let mut other = project.virtnet("beta", &["echo", "--network", "other", "α:1"]);
    other.expect_stdout("listening α:1\n");
    let hosts = |network: &str| {
        let mut hosts = project.virtnet("gamma", &["hosts", "--network", network]);
        hosts.close_stdin();
        hosts.end().success()
    };
    assert_eq!(hosts("other").lines().count(), 1);
    assert_eq!(hosts("compose").lines().count(), 3);

    let ran = output(&mut project.compose(&["run", "-T", "--no-deps", "runner"]));
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    let mut dialed = project.virtnet(
        "gamma",
        &["dial", "--network", "other", "--from", "x", "α:1"],
    );
    dialed.wait_for("connected x:1->α:2");
    other.expect_stdout("connected x:1->α:2\n");
}
