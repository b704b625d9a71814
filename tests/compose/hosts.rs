//! Hosts that are killed, paused, or cut off.
//!
//! Owns what happens to their connections and names, and to dials to them. Never touches
//! the registry.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::docker::{Project, until};
use crate::talk::{SLACK, Talk, dial};

/// The bounds within which a cut connection fails, and a dial without an answer.
const NOTICED: Duration = Duration::from_secs(10);
const DIAL: Duration = Duration::from_secs(3);
/// The lease of a name, and how long until its host has it back.
const LEASE: Duration = Duration::from_secs(15);
const BACK: Duration = Duration::from_secs(5);

#[track_caller]
fn within(what: &str, took: Duration, bound: Duration) {
    println!("{what}: {took:.1?} of {bound:?}");
    assert!(took < bound + SLACK, "{what}: {took:?}");
}

/// Whether the name is registered.
fn there(project: &Project, name: &str) -> bool {
    let mut wait = project.virtnet("gamma", &["wait", name, "--timeout", "0"]);
    wait.close_stdin();
    wait.end().code == Some(0)
}

/// Waits until α can be dialed again, and returns how long that took and which of
/// its ports accepted.
fn reached(project: &Project) -> (Duration, String) {
    let mut port = None;
    let took = until("α is reached", || {
        let dialed = dial(project, "gamma", "y", "α:1").1;
        let ends = dialed.as_deref().unwrap_or_default();
        port = ends.strip_prefix("connected y:1->α:").map(str::to_owned);
        port.is_some()
    });
    (took, port.expect("it was reached"))
}

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn killed_and_started_again() {
    let project = Project::up();
    let talk = Talk::open(&project, "beta", "x", "α:1");
    let fault = Instant::now();
    project.inflict(&["kill"], "alpha");
    let (took, why) = dial(&project, "gamma", "y", "α:1");
    within("killed: a dial fails", took, DIAL);
    assert!(why.unwrap_err().starts_with("dial compose y:1->α:1: "));
    let (took, why) = talk.cut(fault);
    within("killed: a connection fails", took, NOTICED);
    assert!(why.starts_with("read compose α:2->x:1: "), "{why}");

    // Its name is still leased to the killed process, so it waits for the lease to end.
    project.inflict(&["start"], "alpha");
    let (took, port) = reached(&project);
    assert_eq!(port, "2");
    within("killed: reached again after its start", took, LEASE + BACK);
}

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn paused_for_less_than_the_idle_time() {
    let project = Project::up();
    let mut talk = Talk::open(&project, "beta", "x", "α:1");
    project.inflict(&["pause"], "alpha");
    // The test is about the length of the pause.
    sleep(Duration::from_secs(4));
    project.inflict(&["unpause"], "alpha");
    talk.goes_on();
    talk.end();
    println!("paused for 4 s: nothing happened");
}

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn paused_for_longer_than_the_lease() {
    let project = Project::up();
    let talk = Talk::open(&project, "beta", "x", "α:1");
    let fault = Instant::now();
    project.inflict(&["pause"], "alpha");
    let (took, why) = talk.cut(fault);
    within("paused: a connection fails", took, NOTICED);
    assert!(why.starts_with("read compose α:2->x:1: "), "{why}");
    until("its lease is over", || !there(&project, "α"));
    within("paused: the name is free", fault.elapsed(), LEASE);

    project.inflict(&["unpause"], "alpha");
    // It now receives what was sent to it meanwhile, so its own end of the connection may
    // keep its port for a while.
    let (took, port) = reached(&project);
    assert!(["2", "3"].contains(&&*port), "{port}");
    within("paused: reached again after its end", took, BACK);
}

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn paused_and_its_name_taken() {
    let project = Project::up();
    project.inflict(&["pause"], "alpha");
    let mut taker = project.virtnet("beta", &["echo", "α:1", "--within", "40"]);
    taker.expect_stdout("listening α:1\n");
    project.inflict(&["unpause"], "alpha");

    // The former α goes down, and accepts nothing until then.
    let mut talk = Talk::open(&project, "gamma", "y", "α:1");
    taker.expect_stdout("connected y:1->α:2\n");
    let exited = ["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}"];
    let took = until("it ends", || {
        project.inflict(&exited, "alpha").trim() == "exited 1"
    });
    within("paused and taken: it ends", took, BACK);
    let said = project.logs("alpha");
    assert!(
        said.contains("virtnet: accept compose α:1: host is down"),
        "{said}"
    );
    assert!(!said.contains("connected"), "{said}");
    talk.goes_on();
    talk.end();
}

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn cut_off_and_back() {
    let project = Project::up();
    let talk = Talk::open(&project, "beta", "x", "α:1");
    let outgoing = Talk::open(&project, "alpha", "z", "β:1");
    let fault = Instant::now();
    project.cut_off("alpha");
    let (took, why) = dial(&project, "gamma", "y", "α:1");
    within("cut off: a dial fails", took, DIAL);
    assert!(why.unwrap_err().starts_with("dial compose y:1->α:1: "));
    for (talk, ends) in [(talk, "α:2->x:1"), (outgoing, "β:2->z:1")] {
        let (took, why) = talk.cut(fault);
        within("cut off: a connection fails", took, NOTICED);
        assert!(why.starts_with(&format!("read compose {ends}: ")), "{why}");
    }
    until("its lease is over", || !there(&project, "α"));

    project.put_back("alpha");
    let (took, port) = reached(&project);
    assert_eq!(port, "2");
    within("cut off: reached again after it is back", took, BACK);
}

/// A host without an advertised name, which would stay the same.
const NO_NAME: &str = r#"
services:
  alpha: {environment: {VIRTNET_ADVERTISE: "", VIRTNET_LEASE: "3"}}
"#;

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn put_back_at_another_address() {
    let project = Project::new(Some(NO_NAME));
    project.run(&["up", "-d", "alpha", "gamma"]);
    let (_, port) = reached(&project);
    assert_eq!(port, "2");
    let inspect = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = || project.inflict(&["inspect", "-f", inspect], "alpha");
    let before = address();

    // Somebody else gets its address meanwhile, or the next one is given to it.
    project.cut_off("alpha");
    project.run(&["up", "-d", "beta"]);
    project.put_back("alpha");
    let (before, after) = (before.trim(), address());
    assert_ne!(before, after.trim());
    let (took, port) = reached(&project);
    assert_eq!(port, "2");
    within("moved: reached at another address", took, BACK);
    let said = project.logs("alpha");
    let moved = format!("was {before} and is {} now", after.trim());
    assert!(said.contains(&moved), "{moved}: {said}");
    let mut hosts = project.virtnet("gamma", &["hosts"]);
    hosts.close_stdin();
    let hosts = hosts.end().success();
    assert!(hosts.contains(&format!("α\t{}:", after.trim())), "{hosts}");
}
