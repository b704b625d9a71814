//! The leader of three nodes in three containers is cut off while a client writes
//! all the time, and comes back.
//!
//! Owns what must hold then. Needs Docker, with compose in either version:
//!
//! ```sh
//! cargo test --test partition -- --ignored --nocapture
//! ```

mod compose;

use std::time::Duration;

use compose::{Environment, Running, until};

/// How long an election may take, and finding out about it.
const ELECTED: Duration = Duration::from_secs(60);
/// How long some more writes may take to be acknowledged.
const ACKED: Duration = Duration::from_secs(60);
/// How long a name may take to lapse: its lease is 15 seconds.
const LAPSED: Duration = Duration::from_secs(40);
/// How long a node may take to follow again once it can.
const REJOINED: Duration = Duration::from_secs(60);

const NODES: [(&str, &str); 3] = [("α", "alpha"), ("β", "beta"), ("γ", "gamma")];

/// A node's line of `raft-kv status`.
#[derive(Debug, Clone)]
struct Line {
    name: String,
    role: String,
    term: u64,
    leader: String,
    applied: u64,
}

impl Line {
    fn parse(line: &str) -> Option<Line> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [
            name,
            role,
            "term",
            term,
            "leader",
            leader,
            "applied",
            applied,
        ] = words[..]
        else {
            return None;
        };
        Some(Line {
            name: name.to_owned(),
            role: role.to_owned(),
            term: term.parse().ok()?,
            leader: leader.to_owned(),
            applied: applied.parse().ok()?,
        })
    }
}

/// What all nodes say of themselves; `None` when nobody could be asked just now, which
/// happens while all of it changes.
async fn status(environment: &Environment) -> Option<String> {
    let args = ["status", "--as", "onlooker"];
    let ran = environment.client(&args, "").await;
    if ran.code != Some(0) {
        environment.step(&format!("nobody can be asked: {}", ran.stderr.trim()));
        return None;
    }
    Some(ran.stdout)
}

/// The line of the leader in whose term all of `names` follow, if there is one.
fn agreed(status: &str, names: &[&str]) -> Option<Line> {
    let lines: Vec<Line> = status.lines().filter_map(Line::parse).collect();
    let line = |name: &str| lines.iter().find(|line| line.name == name);
    let leader = line(&line(names[0])?.leader)?;
    let follows = |name: &&str| {
        line(name).is_some_and(|it| it.leader == leader.name && it.term == leader.term)
    };
    let led = leader.role == "leader" && names.iter().all(follows);
    led.then(|| leader.clone())
}

fn service(name: &str) -> &'static str {
    let node = NODES.iter().find(|(node, _)| *node == name);
    node.expect("a node's name").1
}

/// Waits for a leader that all of `names` follow, in a term after `term`.
async fn elected(environment: &Environment, names: &[&str], term: u64) -> Line {
    let what = format!("a leader of {names:?} after term {term}");
    let look = async || {
        let status = status(environment).await?;
        let leader = agreed(&status, names).filter(|leader| leader.term > term)?;
        Some((leader, status))
    };
    let (leader, status) = until(&what, ELECTED, look).await;
    environment.step(&status);
    leader
}

async fn some_more_writes(environment: &Environment, load: &mut Running, count: usize) {
    let before = load.lines().len();
    load.lines_at_least(before + count, ACKED).await;
    let lines = load.lines();
    let last = lines.last().expect("there are some");
    environment.step(&format!("{} writes so far; {last}", lines.len()));
}

/// What the cut leaves the old leader: the name, until it lapses; and nothing that
/// it could acknowledge.
async fn isolated(environment: &Environment, old: &Line) {
    let service = service(&old.name);
    let knows = format!(
        "{} leads term {}, but no majority answers",
        old.name, old.term
    );
    let look = async || {
        environment
            .log(service)
            .await
            .contains(&knows)
            .then_some(())
    };
    until(&knows, ELECTED, look).await;
    environment.step(&format!("{}'s log: {knows}", old.name));

    let put = [
        "put", "isolated", "lost", "--as", "isolated", "--within", "8",
    ];
    let ran = environment.exec(service, &put).await;
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert_eq!(ran.stdout, "");
    let why = ran.stderr.trim();
    environment.step(&format!("a put from beside {} fails: {why}", old.name));

    let lapsed = format!("{} unreachable: ", old.name);
    let look = async || {
        let status = status(environment).await?;
        let line = status.lines().find(|line| line.starts_with(&lapsed))?;
        line.ends_with("no such host").then(|| line.to_owned())
    };
    let line = until("the name lapses", LAPSED, look).await;
    environment.step(&line);
}

/// Waits until all nodes follow the same leader, and `name` has applied whatever
/// that leader had when it was first seen to.
async fn caught_up(environment: &Environment, name: &str) {
    let all = NODES.map(|(name, _)| name);
    let leader = elected(environment, &all, 0).await;
    let look = async || {
        let status = status(environment).await?;
        let line = status.lines().filter_map(Line::parse);
        let mut line = line.filter(|line| line.name == name);
        line.find(|line| line.term >= leader.term && line.applied >= leader.applied)
    };
    let line = until("it has applied everything", REJOINED, look).await;
    let (term, applied, upto) = (line.term, line.applied, leader.applied);
    environment.step(&format!(
        "{name} is in term {term} and has applied {applied}, which includes {upto}"
    ));
}

#[tokio::test]
#[ignore = "needs Docker: cargo test --test partition -- --ignored --nocapture"]
async fn a_leader_is_cut_off_and_comes_back() {
    let environment = Environment::up().await;
    let old = elected(&environment, &NODES.map(|(name, _)| name), 0).await;
    environment.step(&format!("{} leads term {}", old.name, old.term));

    environment.step("a client writes all the time");
    let mut load = environment.start_client(&["load", "--as", "load", "--within", "60"]);
    some_more_writes(&environment, &mut load, 50).await;

    environment.step(&format!("cutting {} off", old.name));
    environment.cut_off(service(&old.name)).await;
    let others: Vec<&str> = NODES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| *name != old.name)
        .collect();
    let new = elected(&environment, &others, old.term).await;
    environment.step(&format!("{} leads term {}", new.name, new.term));
    some_more_writes(&environment, &mut load, 50).await;
    isolated(&environment, &old).await;
    some_more_writes(&environment, &mut load, 50).await;
    let until_healed = load.lines();

    environment.step(&format!("connecting {} again", old.name));
    environment.heal(service(&old.name)).await;
    caught_up(&environment, &old.name).await;
    some_more_writes(&environment, &mut load, 50).await;
    let record = load.end().await;
    environment.step(&format!("{} writes acknowledged", record.len()));

    // Since another leads, and as long as it was cut off, the old leader
    // acknowledged nothing.
    let by_old = format!("by {}", old.name);
    let by_new = |line: &String| !line.ends_with(&by_old);
    let first = until_healed.iter().position(by_new).expect("others led");
    assert!(until_healed[first..].iter().all(by_new), "{until_healed:?}");

    let ran = environment.client(&["get", "isolated"], "").await;
    assert_eq!((ran.code, &*ran.stdout), (Some(1), ""));
    environment.step("what was put beside it while it was cut off is nowhere");

    let ran = environment
        .client(&["check", "--acked", "-"], &record.join("\n"))
        .await;
    environment.step(&ran.stdout);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}
