//! `virtnet ping`, and what the command says of itself and of how far it is.
//!
//! Owns what is printed where. Never asserts how long anything takes.

// Of what the feature builds.
#![cfg(feature = "cli")]

mod support;

#[path = "../registry-redis/tests/support/mod.rs"]
mod redis;

use redis::RedisServer;
use serde_json::Value;
use support::{Running, command, member, run, start};

/// The lines, with each number of milliseconds as `T`.
fn timeless(text: &str) -> Vec<String> {
    let number = |word: &str| {
        let parts = word.trim_end_matches([',', ';']).split('/');
        let mut parts = parts.map(|part| part.parse::<f64>().is_ok() && part.contains('.'));
        parts.all(|is_number| is_number)
    };
    let line = |line: &str| {
        let words = line.split(' ');
        let words = words.map(|word| if number(word) { "T" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).collect()
}

fn echo(server: &RedisServer, at: &str) -> Running {
    let mut echo = start(&mut member(&server.url(), &["echo", at]));
    echo.wait_for_stdout(&[&format!("listening {at}")]);
    echo
}

#[test]
fn a_host_answers_by_refusing_and_an_echo_by_sending_back() {
    let server = RedisServer::start();
    let echo = echo(&server, "β:1");
    let ping = |args: &[&str]| {
        let args = [&["ping", "--interval", "0"], args].concat();
        run(&mut member(&server.url(), &args))
    };
    let host = ping(&["β", "--count", "2"]).success();
    let expected = [
        "β:0 1: dial T ms",
        "β:0 2: dial T ms",
        "β:0: 2 sent, 2 answered; dial min/median/max T ms",
    ];
    assert_eq!(timeless(&host), expected);

    let there = ping(&["β:1", "--count", "1", "--from", "α", "--size", "100000"]).success();
    let expected = [
        "β:1 1: dial T ms, there and back T ms",
        "β:1: 1 sent, 1 answered; dial min/median/max T ms; there and back min/median/max T ms",
    ];
    assert_eq!(timeless(&there), expected);
    let dials = ping(&["β:1", "--count", "1", "--size", "0"]).success();
    assert_eq!(timeless(&dials)[0], "β:1 1: dial T ms");

    let refused = ping(&["β:9", "--count", "2", "--from", "α"]);
    assert_eq!(refused.code, Some(1));
    assert_eq!(refused.stderr, ["virtnet: 2 of 2 were not answered"]);
    let printed = String::from_utf8(refused.stdout).unwrap();
    let expected = [
        "β:9 1: dial virtnet α:1->β:9: connection refused",
        "β:9 2: dial virtnet α:1->β:9: connection refused",
        "β:9: 2 sent, 0 answered",
    ];
    assert_eq!(timeless(&printed), expected);

    let json = ping(&["β:1", "--count", "1", "--json"]).success();
    let lines: Vec<Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&lines[0]["seq"], &lines[1]["answered"]),
        (&1.into(), &1.into())
    );
    assert!(lines[0]["dial_ms"].is_number() && lines[0]["echo_ms"].is_number());
    assert!(lines[1]["dial_ms"].as_array().unwrap().len() == 3);
    drop(echo);
}

#[test]
fn pings_that_nobody_answers_end_and_those_without_end_are_summed_up() {
    let server = RedisServer::start();
    // Who accepts one connection, and sends nothing back.
    let mut silent = start(&mut member(&server.url(), &["listen", "γ:1"]));
    silent.wait_for("listening γ:1");
    let args = ["ping", "γ:1", "--count", "1", "--timeout", "0.2"];
    let unanswered = run(&mut member(&server.url(), &args));
    assert_eq!(unanswered.code, Some(1));
    let printed = String::from_utf8(unanswered.stdout).unwrap();
    assert!(
        printed.starts_with("γ:1 1: no answer within 200ms\n"),
        "{printed}"
    );
    drop(silent);

    let _echo = echo(&server, "β:1");
    let args = ["ping", "β", "--count", "0", "--interval", "0"];
    let mut endless = start(&mut member(&server.url(), &args));
    endless.wait_for_stdout_beginning("β:0 3: ");
    endless.signal("INT");
    let ended = endless.end();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    let printed = String::from_utf8(ended.stdout).unwrap();
    let last = printed.lines().last().unwrap();
    assert!(
        last.contains(" sent, ") && last.contains("min/median/max"),
        "{last}"
    );
}

#[test]
fn what_cannot_be_pinged_is_said_before_anything_is_sent() {
    for (target, problem) in [
        ("", "invalid hostname \"\": expected 1 to 255 bytes, got 0"),
        (
            "β:65536",
            "invalid address \"β:65536\": the port must be at most 65535",
        ),
        ("[β", "a name must not contain '[' or ']'"),
    ] {
        // Nothing is there that it could have asked.
        let ended = run(&mut member("redis://127.0.0.1:1", &["ping", target]));
        let said = ended.misuse();
        assert!(said.contains(problem), "{said}");
    }
    let ended = run(&mut command(&["ping", "β", "--size", "1048577"]));
    assert_eq!(ended.code, Some(2));
}

#[test]
fn shells_and_manuals_know_every_subcommand() {
    let man = run(&mut command(&["man"])).success();
    let help = run(&mut command(&["--help"])).success();
    for part in ["Exit codes:", "virtnet echo β:1", "130"] {
        assert!(help.contains(part), "{help}");
    }
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names: Vec<_> = commands
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.len() >= 11, "{names:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&mut command(&["completions", shell])).success();
        for name in &names {
            assert!(script.contains(name), "{shell} does not know {name}");
        }
    }
    for name in &names {
        assert!(man.contains(&format!(".TH virtnet-{name} 1")), "{name}");
    }
    // Help shows what is used: nothing of the network where none is looked at.
    for (name, used, unused) in [
        ("keygen", &["--out"][..], &["Network:", "--verbose"][..]),
        ("man", &[], &["Network:"]),
        ("completions", &[], &["Network:"]),
        ("name", &["--network"], &["--registry", "--bind"]),
        (
            "hosts",
            &["--registry-key", "--verbose"],
            &["--bind", "--secret-file", "--lease"],
        ),
        ("dial", &["--from", "--bind", "--lease"], &[]),
    ] {
        let help = run(&mut command(&[name, "--help"])).success();
        assert!(used.iter().all(|option| help.contains(option)), "{help}");
        assert!(!unused.iter().any(|option| help.contains(option)), "{help}");
    }
    // Nothing but text, as it is no terminal.
    assert!(!help.contains('\x1b') && !man.contains('\x1b'));
}

/// Where the reader has had enough, as `head` has.
#[test]
fn output_that_nobody_reads_is_no_reason_to_say_anything() {
    for args in [
        &["man"][..],
        &["completions", "bash"],
        &["keygen"],
        &["name", "α"],
        &["demo"],
    ] {
        // A pipe whose reader is gone.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = command(args).stdout(writer).output().unwrap();
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(
            (ended.status.code(), &*stderr),
            (Some(128 + 13), ""),
            "{args:?}"
        );
    }
}

/// As where `ulimit -u` says how many processes a user has, and there are as many.
#[test]
#[cfg(target_os = "linux")]
fn without_threads_it_says_in_one_line_that_it_cannot_start() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    // Root has no such limit: for a user who can read nothing of root's.
    let dir = redis::new_dir();
    let own = dir.join("virtnet");
    std::fs::copy(env!("CARGO_BIN_EXE_virtnet"), &own).unwrap();
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).unwrap();
    let mut demo = std::process::Command::new("prlimit");
    demo.args(["--nproc=1", own.to_str().unwrap(), "demo"]);
    let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&dir).unwrap()) == 0;
    if is_root {
        demo.uid(61_234);
    }
    let said = run(&mut demo).failure();
    assert!(said.starts_with("cannot start: "), "{said}");
    assert!(said.contains("thread"), "{said}");
    std::fs::remove_dir_all(dir).unwrap();
}

/// What was shown on a terminal while much was copied; `to` is where stdout goes.
#[cfg(target_os = "linux")]
fn watched(server: &RedisServer, to: &str) -> String {
    let _echo = echo(server, "β:1");
    // Goes on sending until more than a second has been shown.
    let virtnet = env!("CARGO_BIN_EXE_virtnet");
    let copy = format!(
        "(while ! grep -q ' in [2]s' \"$SHOWN\"; do head -c 1000000 /dev/zero; done) \
         | {virtnet} dial --from α β:1 {to}"
    );
    let shown = redis::new_dir().join("shown");
    std::fs::write(&shown, "").unwrap();
    let mut script = std::process::Command::new("script");
    script.args(["-qfec", &copy]).arg(&shown);
    script
        .env("SHOWN", &shown)
        .env("VIRTNET_REGISTRY", server.url());
    script.env("VIRTNET_SECRET", support::SECRET);
    let ended = run(&mut script);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    std::fs::read_to_string(shown).unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_long_copy_shows_how_far_it_is_to_who_watches() {
    let server = RedisServer::start();
    let shown = watched(&server, "> /dev/null");
    assert!(shown.contains("iB/s"), "{shown}");
    // Each way for itself.
    assert!(
        shown.contains("sent ") && shown.contains(", received "),
        "{shown}"
    );
    // It is gone at the end.
    let end = shown.rsplit("iB/s").next().unwrap();
    assert!(end.contains("\x1b[2K"), "{end:?}");
}
