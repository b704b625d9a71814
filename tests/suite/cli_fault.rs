//! `virtnet fault` and `virtnet faults`: what one process sets, others feel and show.
//!
//! Owns the words, the exit codes and the lines of both. Never tests what each kind of fault does: the
//! tests of core and engine do.

use std::fs;

use crate::support::{Running, member, run, start};
use serde_json::Value;
use virtnet_testkit::redis::RedisServer;

fn echo(url: &str) -> Running {
    let mut echo = start(&mut member(url, &["echo", "β:1"]));
    echo.expect_stdout("listening β:1\n");
    echo
}

fn dial(url: &str) -> Running {
    let mut dial = start(&mut member(url, &["dial", "--from", "α", "β:1"]));
    dial.close_stdin();
    dial
}

fn fault(url: &str, args: &[&str]) -> String {
    let args = [&["fault"], args].concat();
    run(&mut member(url, &args)).success()
}

#[test]
fn a_refusal_is_felt_shown_and_healed() {
    let server = RedisServer::start();
    let url = server.url();
    let echo = echo(&url);
    dial(&url).end().success();

    fault(
        &url,
        &["refuse", "α", "β", "dials", "1-2", "--until-healed"],
    );
    let reason = dial(&url).end().failure();
    assert!(reason.contains("connection refused"), "{reason}");
    assert!(reason.contains("fault rule"), "{reason}");
    // The process whose dial was refused has ended, and took its count with it.
    let shown = run(&mut member(&url, &["faults", "--json"])).success();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["rule"], "refuse α -> β dials 1-2");
    assert_eq!(shown["lease_ms"], Value::Null);
    let shown = run(&mut member(&url, &["faults"])).success();
    assert!(shown.starts_with("refuse α -> β dials 1-2\t"), "{shown}");
    assert!(shown.ends_with("\tuntil healed\n"), "{shown}");

    fault(&url, &["heal"]);
    dial(&url).end().success();
    let ended = run(&mut member(&url, &["faults"]));
    let [line] = &ended.stderr[..] else {
        panic!("{ended:?}");
    };
    assert!(line.starts_with("virtnet: no faults on network "), "{line}");
    drop(echo);
}

#[test]
fn a_fault_between_two_hosts_is_healed_alone() {
    let server = RedisServer::start();
    let url = server.url();
    fault(&url, &["delay", "α", "β", "50ms", "--both", "--for", "60"]);
    fault(&url, &["cut", "α", "γ", "--for", "60"]);
    let heal = ["fault", "heal", "β", "α"];
    let healed = run(&mut member(&url, &heal));
    let warnings: Vec<_> = healed.stderr.iter().map(String::as_str).collect();
    let unmatched = |rule| {
        let what = "no running process says that this fault rule matched anything";
        format!("virtnet: warning: {what} rule={rule}")
    };
    let expected = ["delay α -> β 50ms", "delay β -> α 50ms"].map(unmatched);
    assert_eq!(warnings, expected);
    let shown = run(&mut member(&url, &["faults"])).success();
    assert!(shown.starts_with("cut α -> γ\t0\t0\t"), "{shown}");
}

#[test]
fn a_plan_is_read_from_a_file() {
    let server = RedisServer::start();
    let url = server.url();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let toml = write(
        "plan.toml",
        "seed = 7\nrules = [\"cut α -> β\", \"hold β -> α\"]\n",
    );
    let lines = write("plan", "# a plan\nseed 7\nlose α -> β 10%\n");
    for file in [&toml, &lines] {
        fault(&url, &["apply", file, "--for", "60"]);
    }
    let shown = run(&mut member(&url, &["faults"])).success();
    let rules: Vec<_> = shown.lines().map(|line| line.split('\t').next()).collect();
    let expected = ["cut α -> β", "hold β -> α", "lose α -> β 10%"].map(Some);
    assert_eq!(rules, expected);

    for (file, problem) in [
        (
            write("a.toml", "rules = [1]"),
            "expected strings in `rules`",
        ),
        (write("b.toml", "rule = []"), "got `rule`"),
        (write("c.toml", "rules = [\"snip\"]"), "fault rule \"snip\""),
        (write("d", "cut α β"), "fault rule \"cut α β\""),
        (
            folder.path().join("none").to_str().unwrap().to_owned(),
            "No such file",
        ),
    ] {
        let apply = ["fault", "apply", &file, "--for", "60"];
        let reason = run(&mut member(&url, &apply)).usage_error();
        assert!(
            reason.contains(problem) && reason.contains(&*file),
            "{reason}"
        );
    }
}

#[test]
fn wrong_words_are_named_before_anything_is_connected_to() {
    let nowhere = "redis://127.0.0.1:1";
    for (args, problem) in [
        (
            &["delay", "α", "β", "--for", "1"][..],
            "expected a time such as 50ms at the end",
        ),
        (&["cut", "α", "β", "5s", "--for", "1"], "unexpected \"5s\""),
        (&["lose", "α", "β", "101%", "--for", "1"], "got \"101%\""),
    ] {
        let args = [&["fault"], args].concat();
        let reason = run(&mut member(nowhere, &args)).usage_error();
        assert!(reason.contains(problem), "{reason}");
    }
    let help = run(&mut member(nowhere, &["fault", "cut", "--help"])).success();
    assert!(
        help.contains("--registry") && !help.contains("--bind"),
        "{help}"
    );
    // It has to be said how long a fault stays.
    let ended = run(&mut member(nowhere, &["fault", "cut", "α", "β"]));
    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .stderr
            .iter()
            .any(|line| line.contains("--until-healed")),
        "{ended:?}"
    );
}
