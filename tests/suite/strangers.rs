//! Who can read and write at the registry, but has no secret or another one: sets no fault, and has no program killed.
//!
//! Owns what the command says to them. Never dials as one: the engine's tests do.

use crate::forwards::until;
use crate::support::{OTHER_SECRET, member, run, start};
use virtnet_testkit::redis::RedisServer;

const NONE: &str = "the members of this network have a secret: set VIRTNET_SECRET or VIRTNET_SECRET_FILE here, too";
const ANOTHER: &str = "the members of this network have another secret";

/// Neither its own process nor the members enforce anything of it.
#[test]
fn who_has_no_secret_sets_nothing() {
    let server = RedisServer::start();
    let url = server.url();
    let mut echo = start(&mut member(&url, &["echo", "β:1"]));
    echo.expect_stdout("listening β:1\n");
    let dial = || {
        let mut dial = member(&url, &["dial", "--from", "α", "β:1"]);
        run(&mut dial).success();
    };
    let cut = ["fault", "cut", "α", "γ", "--until-healed"];
    run(&mut member(&url, &cut)).success();
    let cut = ["fault", "cut", "α", "β", "--both", "--until-healed"];
    for (secret, why) in [("", NONE), (OTHER_SECRET, ANOTHER)] {
        for args in [&cut[..], &["fault", "heal"], &["faults"]] {
            let reason = run(member(&url, args).env("VIRTNET_SECRET", secret)).failure();
            assert!(reason.contains(why), "{args:?}: {reason}");
        }
        dial();
    }
    // Whoever can write to Redis puts a plan there. The members write theirs again.
    let [plan, changes] =
        ["document", "changes"].map(|of| format!("virtnet:{{virtnet}}::{of}:plan"));
    let marked = server.get(&plan).unwrap();
    assert!(marked.starts_with("mark "), "{marked}");
    let changed = marked.replace("cut α -> γ", "cut α -> β");
    assert_ne!(changed, marked);
    server.command(&["SET", &plan, &changed]);
    server.command(&["INCR", &changes]);
    dial();
    until("the members have written theirs again", || {
        server.get(&plan).is_some_and(|now| now == marked)
    });
    dial();
    drop(echo);
}

/// Requests are documents at Redis.
#[test]
fn who_has_no_secret_kills_nothing() {
    let server = RedisServer::start();
    let url = server.url();
    let mut program = start(&mut member(
        &url,
        &[
            "run",
            "--host",
            "β",
            "--",
            "sh",
            "-c",
            "echo started; exec sleep 1000",
        ],
    ));
    program.expect_stdout("started\n");
    let list = || run(&mut member(&url, &["host", "list"])).success();
    assert_eq!(list(), "β\trunning\n");
    let supervisors = server.command(&["KEYS", "*::document:supervisor/*"]);
    let supervisor = supervisors[0].rsplit_once('/').unwrap().1;
    for (secret, why) in [("", NONE), (OTHER_SECRET, ANOTHER)] {
        let mut kill = member(&url, &["host", "kill", "β"]);
        let reason = run(kill.env("VIRTNET_SECRET", secret)).failure();
        assert!(reason.contains(why), "{reason}");
    }
    // As a program would ask that needs no secret.
    let request = format!("virtnet request, form 1\nkill β\nto {supervisor}\nby me\nasked\n");
    let key = |of: &str| format!("virtnet:{{virtnet}}::{of}");
    server.command(&["SET", &key("document:supervise/00"), &request]);
    server.command(&["ZADD", &key("documents:supervise"), "+inf", "supervise/00"]);
    server.command(&["INCR", &key("changes:supervise")]);
    // It has seen that one, too, when it does the next.
    run(&mut member(&url, &["host", "pause", "β"])).success();
    assert_eq!(list(), "β\tpaused\n");
    assert_eq!(server.get(&key("document:supervise/00")), Some(request));
    run(&mut member(&url, &["host", "resume", "β"])).success();
    program.signal("TERM");
    assert_eq!(program.end().code, Some(128 + 15));
}
