//! `examples/etcd`: the leader is isolated by a plan of faults.
//!
//! Owns the outcome: another leader, no write at the old one, and no acknowledged write lost. Never
//! touches a container.

use std::process::Output;

use serde_json::Value;

use crate::docker::{Project, until};
use crate::register::{Operation, check};
use crate::support::{Running, start};

const MEMBERS: [&str; 3] = ["alpha", "beta", "gamma"];

/// Operations at each member, before and after each change.
const SOME: usize = 5;

/// The cluster, and a load on all of its members.
struct Etcd {
    project: Project,
    history: Vec<Operation>,
    by_member: Vec<(String, bool)>,
}

impl Etcd {
    /// Runs etcdctl, for one member.
    fn ctl(&self, member: &str, args: &[&str]) -> Output {
        let endpoint = format!("ETCDCTL_ENDPOINTS=http://{member}:2379");
        let args = [&["etcdctl"], args].concat();
        self.project.exec("etcdctl", &[&endpoint], &args)
    }

    /// The member that `member` takes for the leader, and its term.
    fn leader(&self, member: &str) -> Option<(&'static str, u64)> {
        let status = |of: &str| -> Option<Value> {
            let output = self.ctl(of, &["endpoint", "status", "-w", "json"]);
            let all: Value = serde_json::from_slice(&output.stdout).ok()?;
            all.pointer("/0/Status").cloned()
        };
        let status_here = status(member)?;
        let leader = status_here.get("leader").filter(|id| **id != 0)?;
        let is_it = |of: &&str| {
            let status = status(of);
            status.is_some_and(|status| status.pointer("/header/member_id") == Some(leader))
        };
        let leader = MEMBERS.into_iter().find(is_it)?;
        Some((leader, status_here.get("raftTerm")?.as_u64()?))
    }

    /// Reads the load's lines until each of these members has done [`SOME`] more writes.
    fn goes_on(&mut self, load: &mut Running, at: &[&str]) {
        let before = self.by_member.len();
        let missing = |done: &[(String, bool)]| {
            let short = |member: &&str| {
                let wanted = (member.to_string(), true);
                done.iter().filter(|it| **it == wanted).count() < SOME
            };
            at.iter().any(short)
        };
        while missing(&self.by_member[before..]) {
            let line = load.wait_for_stdout_beginning("");
            self.note(&line);
        }
    }

    fn note(&mut self, line: &str) {
        let operation = Operation::parse(line).unwrap_or_else(|err| panic!("{err}"));
        let member = line.split(' ').next().unwrap_or_default().to_owned();
        let acknowledged = operation.is_write && operation.ended.is_some();
        self.by_member.push((member, acknowledged));
        self.history.push(operation);
    }
}

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn an_isolated_leader_loses_no_acknowledged_write() {
    let mut etcd = Etcd {
        project: Project::example("examples/etcd/docker-compose.yml"),
        history: Vec::new(),
        by_member: Vec::new(),
    };
    let took = until("a value can be written at each member", || {
        let write = |member| etcd.ctl(member, &["put", "register", "first"]);
        MEMBERS.iter().all(|member| write(member).status.success())
    });
    println!("etcd: ready after {took:.1?}");
    let mut load = {
        let container = etcd.project.container("etcdctl");
        let exec = ["exec", "-i", &container, "load"];
        start(crate::docker::docker(&exec).args(MEMBERS))
    };
    etcd.goes_on(&mut load, &MEMBERS);

    let mut old = ("", 0);
    until("there is a leader", || {
        etcd.leader("alpha")
            .inspect(|leader| old = *leader)
            .is_some()
    });
    let (old, term) = old;
    let others: Vec<_> = MEMBERS.into_iter().filter(|it| *it != old).collect();
    for other in &others {
        let cut = ["cut", old, other, "--both", "--for", "120"];
        etcd.project.fault("client", &cut);
    }
    let mut new = ("", 0);
    let took = until("the others have elected another", || {
        let elected = etcd.leader(others[0]);
        elected.inspect(|leader| new = *leader);
        others.contains(&new.0) && new.1 > term
    });
    println!("etcd: {old} of term {term} is isolated, {new:?} leads after {took:.1?}");
    // The others' writes are acknowledged, and the old one's are not.
    etcd.goes_on(&mut load, &others);
    let lost = etcd.ctl(old, &["put", "isolated", "lost", "--command-timeout", "2s"]);
    assert!(!lost.status.success(), "{lost:?}");
    let why = String::from_utf8_lossy(&lost.stderr).into_owned();
    // Either the client's own clock ended it, or the member's answer did.
    assert!(why.ends_with("context deadline exceeded\n"), "{why}");

    etcd.project.fault("client", &["heal"]);
    let took = until("the old one follows", || {
        etcd.leader(old).is_some_and(|(_, its)| its >= new.1)
    });
    println!("etcd: healed, {old} follows after {took:.1?}");
    etcd.goes_on(&mut load, &MEMBERS);
    load.close_stdin();
    for line in load.end().success().lines() {
        etcd.note(line);
    }
    let lost = etcd.ctl(old, &["get", "isolated", "--print-value-only"]);
    assert_eq!(String::from_utf8_lossy(&lost.stdout), "", "{lost:?}");
    let acknowledged = etcd.by_member.iter().filter(|(_, write)| *write).count();
    println!(
        "etcd: {} operations, {acknowledged} acknowledged writes",
        etcd.history.len()
    );
    assert_eq!(check("first", &etcd.history), Ok(()));
}
