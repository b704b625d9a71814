//! `virtnet ping`; usage errors, help, manual and completions; the progress of a long
//! transfer.
//!
//! Owns what is printed where. Never asserts a duration.

use crate::support::{Running, SECRET, command, member, run, start};
use serde_json::Value;
use virtnet_testkit::redis::RedisServer;

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
        "β:1 1: dial T ms, round trip T ms",
        "β:1: 1 sent, 1 answered; dial min/median/max T ms; round trip min/median/max T ms",
    ];
    assert_eq!(timeless(&there), expected);
    let dials = ping(&["β:1", "--count", "1", "--size", "0"]).success();
    assert_eq!(timeless(&dials)[0], "β:1 1: dial T ms");

    let refused = ping(&["β:9", "--count", "2", "--from", "α"]);
    assert_eq!(refused.code, Some(1));
    assert_eq!(refused.stderr, ["virtnet: 2 of 2 pings were not answered"]);
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
fn unanswered_pings_end_and_endless_ones_print_a_summary() {
    let server = RedisServer::start();
    // Accepts one connection, and sends nothing back.
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
fn a_bad_target_is_an_error_before_anything_is_sent() {
    for (target, problem) in [
        ("", "invalid hostname \"\": expected 1 to 255 bytes, got 0"),
        (
            "β:65536",
            "invalid address \"β:65536\": the port must be at most 65535",
        ),
        ("[β", "a name must not contain '[' or ']'"),
    ] {
        // There is no registry that it could have asked.
        let ended = run(&mut member("redis://127.0.0.1:1", &["ping", target]));
        let said = ended.usage_error();
        assert!(said.contains(problem), "{said}");
    }
    let ended = run(&mut command(&["ping", "β", "--size", "1048577"]));
    assert_eq!(ended.code, Some(2));
}

#[test]
fn completions_and_manual_have_every_subcommand() {
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
    // Help shows only options that are used: none of the network if none is used.
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
    // Plain text, because stdout is not a terminal.
    assert!(!help.contains('\x1b') && !man.contains('\x1b'));
}

/// When the reader closes the pipe, as `head` does.
#[test]
fn a_closed_stdout_causes_no_message() {
    for args in [
        &["man"][..],
        &["completions", "bash"],
        &["keygen"],
        &["name", "α"],
        &["demo"],
    ] {
        // A pipe whose reader is closed.
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

/// When the user has as many processes as `ulimit -u` allows.
#[test]
#[cfg(target_os = "linux")]
fn without_threads_one_line_says_that_it_cannot_start() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    // Root has no such limit, so this runs as a user who can read nothing of root's.
    let dir = virtnet_testkit::redis::new_dir();
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

/// The terminal's output during a long transfer; `to` is where stdout goes.
#[cfg(target_os = "linux")]
fn watched(server: &RedisServer, to: &str) -> String {
    let _echo = echo(server, "β:1");
    // Sends until more than a second has been shown.
    let virtnet = env!("CARGO_BIN_EXE_virtnet");
    let copy = format!(
        "(while ! grep -q ' in [2]s' \"$SHOWN\"; do head -c 1000000 /dev/zero; done) \
         | {virtnet} dial --from α β:1 {to}"
    );
    let shown = virtnet_testkit::redis::new_dir().join("shown");
    std::fs::write(&shown, "").unwrap();
    let mut script = std::process::Command::new("script");
    script.args(["-qfec", &copy]).arg(&shown);
    script
        .env("SHOWN", &shown)
        .env("VIRTNET_REGISTRY", server.url());
    script.env("VIRTNET_SECRET", crate::support::SECRET);
    let ended = run(&mut script);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    std::fs::read_to_string(shown).unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_long_transfer_shows_its_progress_on_a_terminal() {
    let server = RedisServer::start();
    let shown = watched(&server, "> /dev/null");
    assert!(shown.contains("iB/s"), "{shown}");
    // Each direction is counted.
    assert!(
        shown.contains("sent ") && shown.contains(", received "),
        "{shown}"
    );
    // The line is cleared at the end.
    let end = shown.rsplit("iB/s").next().unwrap();
    assert!(end.contains("\x1b[2K"), "{end:?}");
}

#[test]
fn usage_errors_have_their_own_exit_code() {
    for args in [
        &[][..],
        &["dail"],
        &["dial", "--from", "α"],
        &["listen"],
        &["demo", "--json=x"],
        &["wait"],
        &["wait", "α", "--timeout", "soon"],
        &["hosts", "--lease", "-1"],
    ] {
        let ended = run(command(args).env("VIRTNET_SECRET", SECRET));
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(
            ended.stdout.is_empty() && !ended.stderr.is_empty(),
            "{ended:?}"
        );
    }
}

#[test]
fn a_misspelt_variable_is_an_error_if_the_subcommand_reads_variables() {
    for args in [
        &["hosts"][..],
        &["demo"],
        &["name", "α"],
        &["wait", "α", "--timeout", "0"],
    ] {
        let ended = run(command(args).env("VIRTNET_REGISTY", "redis://127.0.0.1:1"));
        assert_ne!(ended.code, Some(0));
        let said = "virtnet: VIRTNET_REGISTY: unknown setting: did you mean VIRTNET_REGISTRY?";
        assert_eq!(ended.stderr, [said]);
    }
    // Variables that are not misspelt, or that belong to other programs.
    let others = [
        ("VIRTNET_REGISTY", ""),
        ("VIRTNET_TEST_X", "x"),
        ("VIRTNET_PORT", "tcp://x"),
    ];
    run(command(&["name", "α"]).envs(others)).success();
}
