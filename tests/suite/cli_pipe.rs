//! `virtnet listen` and `virtnet dial`: two processes that find each other through Redis,
//! and one connection between them.
//!
//! Owns when each ends, and with which exit code. Never measures speed, and never sends
//! much data: `cli_bulk.rs` does.

use std::io::Write;
use std::process::Stdio;

use crate::support::{OTHER_SECRET, Running, member, run, start};
use virtnet_testkit::redis::RedisServer;

/// A listener at `β:1`, and a dialer at `α`, connected with each other.
fn connected(server: &RedisServer) -> (Running, Running) {
    let mut listener = listening(server);
    let mut dialer = start(&mut member(&server.url(), &["dial", "--from", "α", "β:1"]));
    for end in [&mut listener, &mut dialer] {
        end.wait_for("connected α:1->β:2");
    }
    (listener, dialer)
}

fn listening(server: &RedisServer) -> Running {
    let mut listener = start(&mut member(&server.url(), &["listen", "β:1"]));
    listener.wait_for("listening β:1");
    listener
}

#[test]
fn either_side_may_end_first_and_still_gets_the_rest() {
    let server = RedisServer::start();
    for dialer_first in [true, false] {
        let (listener, dialer) = connected(&server);
        let (mut first, mut last) = if dialer_first {
            (dialer, listener)
        } else {
            (listener, dialer)
        };
        first.write("one\n");
        last.expect_stdout("one\n");
        last.write("two\n");
        first.expect_stdout("two\n");

        first.write("no line end");
        first.close_stdin();
        last.expect_stdout("no line end");
        last.write("three\n");
        first.expect_stdout("three\n");
        last.close_stdin();
        assert_eq!(first.end().success(), "");
        assert_eq!(last.end().success(), "");
        assert_eq!(server.keys(), [""; 0], "the names are free");
    }
}

#[test]
fn all_that_was_written_arrives_when_both_end_at_once() {
    let server = RedisServer::start();
    let (mut listener, mut dialer) = connected(&server);
    let text = "as much as goes into a pipe at once ".repeat(1000);
    for end in [&mut listener, &mut dialer] {
        end.write(&text);
        end.close_stdin();
    }
    assert_eq!(listener.end().success(), text);
    assert_eq!(dialer.end().success(), text);
}

#[test]
fn port_zero_takes_the_lowest_free_one_and_the_host_may_come_from_a_variable() {
    let server = RedisServer::start();
    let mut listener = start(&mut member(&server.url(), &["listen", "β:0"]));
    listener.wait_for("listening β:1");
    listener.close_stdin();
    let dialer = run(member(&server.url(), &["dial", "β:1"]).env("VIRTNET_HOST", "α"));
    assert_eq!(dialer.stderr, ["connected α:1->β:2"]);
    assert_eq!(listener.end().success(), "");
    assert_eq!(dialer.success(), "");
}

#[test]
fn two_can_dial_at_once_with_the_hosts_name_from_a_variable_or_random() {
    let server = RedisServer::start();
    let mut echo = start(&mut member(&server.url(), &["echo", "β:1"]));
    echo.wait_for_stdout(&["listening β:1"]);
    let dial = |host: &str| {
        let mut dialed = member(&server.url(), &["dial", "β:1"]);
        let mut dialed = start(dialed.env("VIRTNET_HOST", host));
        dialed.write("hello");
        dialed.expect_stdout("hello");
        dialed
    };
    let talks = ["α", "α", "", ""].map(dial);
    let from = talks.map(|mut talk| {
        talk.close_stdin();
        let ended = talk.end();
        let connected = ended.stderr.last().unwrap().strip_prefix("connected ");
        let from = connected.unwrap().split(':').next().unwrap().to_owned();
        (from, ended.stderr.len())
    });
    assert_eq!(from[0], ("α".to_owned(), 1));
    // The command says so.
    assert!(from[1].0.starts_with("α-") && from[1].1 == 2, "{from:?}");
    assert!(from[2].0.starts_with("dial-") && from[3].0.starts_with("dial-"));
    assert_ne!(from[2].0, from[3].0);
    // A name given by --from is never changed.
    let taken = run(&mut member(&server.url(), &["dial", "--from", "β", "β:1"])).failure();
    assert!(taken.ends_with("host already registered"), "{taken}");
}

#[test]
fn failed_dials_say_why() {
    let server = RedisServer::start();
    let mut listener = listening(&server);
    for (to, reason) in [("γ:1", "no such host"), ("β:2", "connection refused")] {
        let dial = run(&mut member(&server.url(), &["dial", "--from", "α", to])).failure();
        assert!(
            dial.starts_with(&format!("dial virtnet α:1->{to}: ")),
            "{dial}"
        );
        assert!(dial.ends_with(reason), "{dial}");
    }
    let taken = run(&mut member(&server.url(), &["listen", "β:1"])).failure();
    assert!(taken.ends_with("host already registered"), "{taken}");
    assert!(taken.contains("new host \"β\""), "{taken}");
    listener.signal("TERM");
    listener.close_stdin();
    assert_eq!(listener.end().code, Some(143));
}

#[test]
fn another_secret_is_refused_and_the_listener_goes_on() {
    let server = RedisServer::start();
    let mut listener = listening(&server);
    let stranger =
        run(member(&server.url(), &["dial", "--from", "α", "β:1"])
            .env("VIRTNET_SECRET", OTHER_SECRET));
    let reason = stranger.failure();
    assert!(reason.starts_with("dial virtnet α:1->β:1: "), "{reason}");
    assert!(!reason.contains(OTHER_SECRET), "{reason}");

    let mut dialer = start(&mut member(&server.url(), &["dial", "--from", "α", "β:1"]));
    dialer.write("a member");
    dialer.close_stdin();
    listener.expect_stdout("a member");
    listener.close_stdin();
    assert_eq!(dialer.end().success(), "");
    assert_eq!(listener.end().success(), "");
}

#[test]
fn a_killed_peer_is_an_error_and_what_came_before_is_shown() {
    let server = RedisServer::start();
    for kill_dialer in [true, false] {
        server.command(&["FLUSHALL"]);
        let (listener, dialer) = connected(&server);
        let (mut victim, mut survivor) = if kill_dialer {
            (dialer, listener)
        } else {
            (listener, dialer)
        };
        victim.write("last words");
        survivor.expect_stdout("last words");
        victim.kill();
        survivor.close_stdin();
        let reason = survivor.end().failure();
        assert!(reason.starts_with("read virtnet "), "{reason}");
    }
}

#[test]
fn a_signal_ends_either_side_and_frees_its_name() {
    let server = RedisServer::start();
    for (signal, code) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        for end_dialer in [true, false] {
            let (listener, dialer) = connected(&server);
            let (victim, survivor) = match end_dialer {
                true => (dialer, listener),
                false => (listener, dialer),
            };
            victim.signal(signal);
            assert_eq!(victim.end().code, Some(code));
            survivor.end().failure();
            assert_eq!(server.keys(), [""; 0]);
        }
    }
}

/// The peer must not mistake a part of the data for all of it.
#[test]
fn a_copy_that_a_signal_ends_is_cut_at_the_peer() {
    let server = RedisServer::start();
    for end_dialer in [true, false] {
        let (listener, dialer) = connected(&server);
        let (mut victim, mut survivor) = match end_dialer {
            true => (dialer, listener),
            false => (listener, dialer),
        };
        victim.write("the first half");
        survivor.expect_stdout("the first half");
        // Its peer is still sending as well.
        victim.signal("TERM");
        let reason = survivor.end().failure();
        assert!(reason.contains("connection cut"), "{reason}");
        assert_eq!(victim.end().code, Some(143));
    }
}

#[test]
fn a_stdin_that_cannot_be_read_cuts_the_copy_at_the_peer() {
    let server = RedisServer::start();
    let mut listener = listening(&server);
    listener.close_stdin();
    // Its stdin is a TCP connection that the other end resets, by dropping it with unread
    // data.
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stdin = std::net::TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    let (mut other, _) = tcp.accept().unwrap();
    stdin.write_all(b"unread").unwrap();
    other.peek(&mut [0]).unwrap();
    let mut dial = member(&server.url(), &["dial", "--from", "α", "β:1"]);
    dial.stdin(std::os::fd::OwnedFd::from(stdin));
    let dialer = dial.stdout(Stdio::piped()).stderr(Stdio::piped());
    let dialer = dialer.spawn().unwrap();
    drop(dial);
    other.write_all(b"the first half").unwrap();
    listener.expect_stdout("the first half");
    drop(other);
    let dialed = dialer.wait_with_output().unwrap();
    let stderr = String::from_utf8(dialed.stderr).unwrap();
    assert_eq!(dialed.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("virtnet: cannot read stdin: "), "{stderr}");
    let reason = listener.end().failure();
    assert!(reason.contains("connection cut"), "{reason}");
}

/// A closed terminal sends SIGHUP, which a process started by `nohup` ignores.
#[test]
#[cfg(target_os = "linux")]
fn an_ignored_hang_up_stays_ignored() {
    let server = RedisServer::start();
    let virtnet = env!("CARGO_BIN_EXE_virtnet");
    let mut nohup = std::process::Command::new("sh");
    nohup.args(["-c", &format!("trap '' HUP; exec {virtnet} listen β:1")]);
    nohup.env("VIRTNET_REGISTRY", server.url());
    let mut listener = start(nohup.env("VIRTNET_SECRET", crate::support::SECRET));
    listener.wait_for("listening β:1");
    listener.signal("HUP");
    let mut dialer = start(&mut member(&server.url(), &["dial", "--from", "α", "β:1"]));
    dialer.write("still here");
    dialer.close_stdin();
    listener.close_stdin();
    assert_eq!(listener.end().success(), "still here");
    assert_eq!(dialer.end().success(), "");
}

#[test]
fn a_stdout_that_nobody_reads_is_an_error() {
    let server = RedisServer::start();
    let mut listener = listening(&server);
    let mut dial = member(&server.url(), &["dial", "--from", "α", "β:1"]);
    // A pipe whose reader is closed.
    let mut child = std::process::Command::new("true")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let broken = child.stdin.take().unwrap();
    child.wait().unwrap();
    let mut dialer = dial
        .stdin(Stdio::piped())
        .stdout(broken)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    listener.wait_for("connected α:1->β:2");
    listener.write("nobody reads this");
    listener.close_stdin();
    // Its stdin stays open.
    let input = dialer.stdin.take();
    let dialer = dialer.wait_with_output().unwrap();
    drop(input);
    assert_eq!(dialer.status.code(), Some(1));
    let stderr = String::from_utf8(dialer.stderr).unwrap();
    assert!(
        stderr.contains("virtnet: cannot write to stdout: "),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    let reason = listener.end().failure();
    assert!(reason.contains("connection cut"), "{reason}");
    assert_eq!(server.keys(), [""; 0]);
}
