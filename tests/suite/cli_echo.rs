//! `virtnet echo`: sends all data back, and waits for its name after a crash.
//!
//! Owns what the command promises about both. Never measures the echo.

use crate::support::{Running, member, run, start};
use virtnet_testkit::redis::RedisServer;

fn echo(url: &str, options: &[&str]) -> Running {
    start(member(url, &["echo", "β:1", "--lease", "1"]).args(options))
}

#[test]
fn everything_comes_back_and_ports_are_free_at_the_end() {
    let server = RedisServer::start();
    let url = server.url();
    let mut echo = echo(&url, &[]);
    echo.expect_stdout("listening β:1\n");
    let dial = |from| start(&mut member(&url, &["dial", "--from", from, "β:1"]));

    let (mut a, mut c) = (dial("α"), dial("γ"));
    // Accepted in any order: each has one of two ports.
    for dialed in [&mut a, &mut c] {
        dialed.write("hello\n");
        dialed.expect_stdout("hello\n");
    }
    for dialed in [a, c] {
        assert_eq!(
            {
                let mut dialed = dialed;
                dialed.close_stdin();
                dialed.end().success()
            },
            ""
        );
    }
    let mut again = dial("α");
    again.wait_for("connected α:1->β:2");
    again.write("x");
    again.close_stdin();
    assert_eq!(again.end().success(), "x");

    echo.signal("TERM");
    let ended = echo.end();
    assert_eq!(ended.code, Some(128 + 15), "{ended:?}");
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(
        said.ends_with("connected α:1->β:2\nended α:1->β:2 after 1 bytes\n"),
        "{said}"
    );
    assert_eq!(server.keys(), Vec::<String>::new());
}

#[test]
fn an_echo_that_ends_early_cuts_its_connections() {
    let server = RedisServer::start();
    let url = server.url();
    let mut echo = echo(&url, &[]);
    echo.expect_stdout("listening β:1\n");
    let mut dialed = start(&mut member(&url, &["dial", "--from", "α", "β:1"]));
    dialed.write("a part");
    dialed.expect_stdout("a part");
    echo.signal("TERM");
    let reason = dialed.end().failure();
    assert!(reason.contains("connection cut"), "{reason}");
    assert_eq!(echo.end().code, Some(128 + 15));
}

#[test]
fn an_echo_logs_when_its_registry_is_down_and_when_it_is_back() {
    let mut server = RedisServer::start();
    let url = server.url();
    let mut echo = echo(&url, &[]);
    echo.expect_stdout("listening β:1\n");
    server.kill();
    // Its lease of one second ends meanwhile.
    let stopped = "virtnet: warning: hosts stop accepting until their names are renewed \
                   network=\"virtnet\"";
    echo.wait_for(stopped);
    server.restart();
    run(&mut member(&url, &["wait", "β"])).success();
    let pinged = run(&mut member(&url, &["ping", "β:1", "-c", "1"]));
    pinged.success();
    echo.signal("TERM");
    let said = echo.end().stderr;
    let [down, _, back] = &said[..] else {
        panic!("{said:?}");
    };
    let expected = "virtnet: warning: names can't be renewed: registry is down: ";
    assert!(down.starts_with(expected), "{said:?}");
    let expected = "virtnet: info: the registry is back: hosts accept again ";
    assert!(back.starts_with(expected), "{said:?}");
}

#[test]
fn verbose_options_log_more() {
    let server = RedisServer::start();
    let ping = |args: &[&str], log: &str| {
        let args = [&["ping", "β", "-c", "1"], args].concat();
        let pinged = run(member(&server.url(), &args).env("RUST_LOG", log));
        let mut lines = pinged.stderr;
        assert_eq!(
            lines.pop().unwrap(),
            "virtnet: 1 of 1 pings were not answered"
        );
        assert!(
            !lines.concat().contains(crate::support::SECRET),
            "{lines:?}"
        );
        lines
    };
    assert_eq!(ping(&[], ""), [""; 0]);
    let info = ping(&["-v"], "").concat();
    assert!(
        info.contains("virtnet: info: host made network=\"virtnet\" host=\"ping-"),
        "{info}"
    );
    assert!(!info.contains("debug: "), "{info}");
    let debug = ping(&["-vv"], "").concat();
    assert!(debug.contains("virtnet: debug: dial{"), "{debug}");
    assert!(ping(&["-vvv"], "").len() > ping(&["-v"], "").len());
    let chosen = ping(&[], "virtnet_core=debug");
    assert!(
        chosen.iter().any(|line| line.contains(": port taken")),
        "{chosen:?}"
    );
    assert_eq!(ping(&["-vv"], "off"), [""; 0]);
    let bad = ping(&[], "virtnet=loud");
    assert!(
        bad[0].starts_with("virtnet: warning: RUST_LOG: "),
        "{bad:?}"
    );
}

#[test]
fn a_killed_host_comes_back_when_its_name_is_free() {
    let server = RedisServer::start();
    let url = server.url();
    let mut first = echo(&url, &[]);
    first.expect_stdout("listening β:1\n");
    first.kill();

    let why = run(&mut member(&url, &["echo", "β:1"])).failure();
    assert!(why.ends_with("host already registered"), "{why}");
    let mut second = echo(&url, &["--within", "60"]);
    second.expect_stdout("listening β:1\n");
}
