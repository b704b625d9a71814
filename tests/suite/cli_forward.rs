//! `virtnet expose`, `reach` and `forward`: their lines, addresses, files, limits and exit codes.
//!
//! Owns what a user sees. Never tests how connections end: `cli_forward_ends.rs` does.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use crate::forwards::{Net, Through, bounded, expect_reset, until};
use crate::support::{Running, run};
use virtnet_testkit::redis::{RedisServer, free_port};

/// The rest of a line on stdout that begins so, with this end.
fn between(running: &mut Running, start: &str, end: &str) -> String {
    let rest = running.wait_for_stdout_beginning(start);
    rest.strip_suffix(end)
        .unwrap_or_else(|| panic!("{rest:?}"))
        .to_owned()
}

fn redis_cli(at: &str, args: &[&str]) -> String {
    let (_, port) = at.rsplit_once(':').unwrap();
    let mut command = Command::new("redis-cli");
    let output = command.args(["-p", port]).args(args).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_real_redis_is_reached_by_its_own_programs() {
    let net = Net::new();
    let server = RedisServer::start();
    let to = format!("127.0.0.1:{}", server.port());
    let _expose = net.ready(&["expose", "β:6379", "--to", &to]);
    let (_reach, at) = net.reach("β:6379");
    assert_eq!(redis_cli(&at, &["SET", "key", "value"]), "OK\n");
    assert_eq!(server.get("key").as_deref(), Some("value"));

    let (_, port) = at.rsplit_once(':').unwrap();
    let mut bench = Command::new("redis-benchmark");
    let output = bench
        .args([
            "-p", port, "-q", "-n", "2000", "-c", "20", "-P", "4", "-t", "set,get",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    for name in ["SET: ", "GET: "] {
        assert!(said.contains(name), "{said}");
    }
}

#[test]
fn many_forwards_in_one_process_name_all_their_addresses() {
    let net = Net::new();
    let [one, two] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [to_one, to_two] = [&one, &two].map(|server| server.local_addr().unwrap().to_string());
    let mut expose = net.starting(&["expose", "β:0", "--to", &to_one, "γ:7", "--to", &to_two]);
    let (line_one, line_two) = (
        format!("expose β:1 -> {to_one}"),
        format!("expose γ:7 -> {to_two}"),
    );
    expose.expect_stdout(format!("{line_one}\n{line_two}\nready\n"));

    // The file appears when everything is ready, and has the same lines.
    let ready = net.path("ready");
    std::fs::write(&ready, "of an earlier process").unwrap();
    let args = [
        "reach",
        "β:1",
        "--at",
        "127.0.0.1:0",
        "γ:7",
        "--at",
        "127.0.0.1:0",
    ];
    let more = ["--from", "α", "--ready-file", &ready];
    let mut reach = net.starting(&[&args[..], &more].concat());
    let at_one = between(&mut reach, "reach β:1 <- ", " from α");
    let at_two = between(&mut reach, "reach γ:7 <- ", " from α");
    reach.wait_for_stdout(&["ready"]);
    let text = format!("reach β:1 <- {at_one} from α\nreach γ:7 <- {at_two} from α\nready\n");
    // Written after the lines are printed.
    until("the file", || {
        std::fs::read_to_string(&ready).ok().as_deref() == Some(&*text)
    });

    for (at, server) in [(&at_one, &one), (&at_two, &two)] {
        let mut client = bounded(TcpStream::connect(at).unwrap());
        client.write_all(b"hello").unwrap();
        let (mut served, _) = server.accept().unwrap();
        let mut text = [0; 5];
        served.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"hello");
    }
    reach.signal("TERM");
    assert_eq!(reach.end().code, Some(143));
    assert!(!std::path::Path::new(&ready).exists());
}

#[test]
fn a_file_has_all_kinds_of_forwards() {
    let net = Net::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = net.path("forwards");
    let (socket, to) = (net.path("s"), server.local_addr().unwrap());
    let lines = format!(
        "# of one process\nexpose β:1 --to {to}\n\nreach β:1 --at unix:{socket} --from γ # here\n\
         proxy --at 127.0.0.1:0 --from γ --from β\n"
    );
    std::fs::write(&file, lines).unwrap();
    let mut forward = net.starting(&["forward", &file]);
    forward.wait_for_stdout(&[
        &format!("expose β:1 -> {to}"),
        &format!("reach β:1 <- unix:{socket} from γ"),
    ]);
    between(&mut forward, "proxy 127.0.0.1:", " from γ, β");
    forward.wait_for_stdout(&["ready"]);
    let _client = UnixStream::connect(&socket).unwrap();
    server.accept().unwrap();

    std::fs::write(&file, "expose β:1 --to nowhere").unwrap();
    let why = run(&mut net.command(&["forward", &file])).usage_error();
    assert!(
        why.starts_with(&format!("{file:?}: line 1: invalid value 'nowhere'")),
        "{why}"
    );
}

#[test]
fn unix_sockets_at_both_ends_half_close_and_are_removed() {
    let net = Net::new();
    let (to, at) = (net.path("to"), net.path("at"));
    let server = UnixListener::bind(&to).unwrap();
    let _expose = net.ready(&["expose", "β:1", "--to", &format!("unix:{to}")]);
    let unix_at = format!("unix:{at}");
    let args = ["reach", "β:1", "--at", &unix_at, "--from", "α"];
    let mut killed = net.ready(&args);
    let taken = run(&mut net.command(&args[..4])).failure();
    assert!(
        taken.starts_with(&format!("cannot listen at {unix_at}: ")),
        "{taken}"
    );
    // The program has not noticed that.
    server.set_nonblocking(true).unwrap();
    server.accept().unwrap_err();
    server.set_nonblocking(false).unwrap();
    // The file of a process that was killed is replaced.
    killed.kill();
    let reach = net.ready(&args);

    let mut client = UnixStream::connect(&at).unwrap();
    client.write_all(b"question").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let (mut served, _) = server.accept().unwrap();
    let mut text = String::new();
    served.read_to_string(&mut text).unwrap();
    served.write_all(b"answer").unwrap();
    drop(served);
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "questionanswer");
    reach.signal("TERM");
    assert_eq!(reach.end().code, Some(143));
    assert!(!std::path::Path::new(&at).exists());
}

#[test]
fn what_cannot_be_connected_is_reset_and_said() {
    let net = Net::new();
    let nobody = format!("127.0.0.1:{}", free_port());
    let expose = net.ready(&["expose", "β:1", "--to", &nobody]);
    for (to, why) in [
        ("δ:1", "no such host"),
        ("β:2", "connection refused"),
        // It is exposed, and its program refuses.
        ("β:1", "connection refused"),
    ] {
        let (reach, at) = net.reach(to);
        expect_reset(&mut bounded(TcpStream::connect(at).unwrap()));
        reach.signal("TERM");
        let ended = reach.end();
        let [line] = &ended.stderr[..] else {
            panic!("{to}: {ended:?}");
        };
        assert!(
            line.contains(&format!(": dial virtnet α:1->{to}: ")),
            "{line}"
        );
        assert!(line.ends_with(why), "{line}");
    }
    expose.signal("TERM");
    let ended = expose.end();
    let [line] = &ended.stderr[..] else {
        panic!("{ended:?}");
    };
    let said = format!("refused, as {nobody} cannot be connected to: ");
    assert!(line.contains(&said), "{line}");
}

/// The limit of an exposed address: the dial that is one too many is refused.
#[test]
fn one_dial_more_than_the_limit_is_refused_and_said() {
    let net = Net::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap().to_string();
    let args = ["expose", "β:1", "--to", &to, "--max-connections", "1"];
    let expose = net.ready(&args);
    let mut first = net.starting(&["dial", "--from", "γ", "β:1"]);
    let _served = server.accept().unwrap();
    let mut second = net.starting(&["dial", "--from", "δ", "β:1"]);
    second.close_stdin();
    let why = second.end().failure();
    assert_eq!(why, "dial virtnet δ:1->β:1: connection refused");
    first.kill();
    expose.signal("TERM");
    let said = expose.end().stderr;
    let limit = ": refused δ:1: the limit of 1 connections is reached";
    assert!(said.iter().any(|line| line.ends_with(limit)), "{said:?}");
}

#[test]
fn one_connection_more_than_the_limit_is_reset_and_said() {
    let net = Net::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap().to_string();
    // Greets, and waits until its client ends.
    std::thread::spawn(move || {
        for served in server.incoming().map(|served| bounded(served.unwrap())) {
            let _ = (&served).write_all(b"x");
            let _ = (&served).read_to_end(&mut Vec::new());
        }
    });
    let _expose = net.ready(&["expose", "β:1", "--to", &to]);
    let args = ["reach", "β:1", "--at", "127.0.0.1:0", "--from", "α"];
    let mut reach = net.starting(&[&args[..], &["--max-connections", "1"]].concat());
    let at = between(&mut reach, "reach β:1 <- ", " from α");
    let connect = || bounded(TcpStream::connect(&at).unwrap());
    let mut first = connect();
    first.read_exact(&mut [0]).unwrap();
    expect_reset(&mut connect());
    // When it has ended there is room for another.
    drop(first);
    while connect().read_exact(&mut [0]).is_err() {}
    reach.signal("TERM");
    let said = reach.end().stderr;
    let limit = |line: &String| line.ends_with(": the limit of 1 connections is reached");
    assert!(said.iter().any(limit), "{said:?}");
}

#[test]
fn only_loopback_unless_allowed() {
    let net = Net::new();
    let args = ["reach", "β:1", "--from", "α", "--at", "0.0.0.0:0"];
    let why = run(&mut net.command(&args)).usage_error();
    assert!(
        why.starts_with("--at 0.0.0.0:0 can be reached from other machines"),
        "{why}"
    );
    let allowed = net.ready(&[&args[..], &["--any-address"]].concat());
    allowed.signal("INT");
    let ended = allowed.end();
    assert_eq!(ended.code, Some(130));
    let [warning] = &ended.stderr[..] else {
        panic!("{ended:?}");
    };
    assert!(
        warning.contains("everybody who reaches 0.0.0.0:0 "),
        "{warning}"
    );
}

#[test]
fn the_program_is_told_the_proved_name() {
    let net = Net::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap().to_string();
    let _expose = net.ready(&["expose", "β:1", "--to", &to, "--proxy-protocol"]);
    let (_reach, at) = net.reach("β:1");
    let mut client = bounded(TcpStream::connect(at).unwrap());
    client.write_all(b"SELECT 1").unwrap();
    drop(client);
    let mut all = Vec::new();
    bounded(server.accept().unwrap().0)
        .read_to_end(&mut all)
        .unwrap();
    assert!(all.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x31"), "{all:?}");
    let rest = usize::from(u16::from_be_bytes([all[14], all[15]]));
    assert_eq!(&all[16 + rest..], b"SELECT 1");
    assert_eq!(&all[16..21], "α:1\0".as_bytes());
    assert_eq!(&all[16 + 108..16 + 113], "β:2\0".as_bytes());
}

#[test]
fn wrong_arguments_and_taken_addresses_are_named() {
    let net = Net::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let why = run(&mut net.command(&["reach", "β:1", "--at", &at])).failure();
    assert!(
        why.starts_with(&format!("cannot listen at {at}: ")),
        "{why}"
    );
    let why = run(&mut net.command(&["expose", "β", "--to", &at])).usage_error();
    assert!(why.contains("\"β\""), "{why}");
    let why = run(&mut net.command(&["expose", "β:1", "γ:1", "--to", &at])).usage_error();
    assert_eq!(why, "expected one --to for each of 2 ADDRESS, got 1");
    let _expose = net.ready(&["expose", "β:1", "--to", &at]);
    let why = run(&mut net.command(&["expose", "β:1", "--to", &at])).failure();
    assert!(why.contains("host already registered"), "{why}");
    let ended = run(&mut net.command(&["expose", "β:1", "--to", "5432"]));
    assert_eq!(ended.code, Some(2));
}

/// Nothing is left open, whatever has happened.
#[test]
fn many_short_connections_leave_nothing() {
    let through = Through::new();
    for _ in 0..200 {
        let (mut client, served) = through.connect();
        drop(served);
        client.read_to_end(&mut Vec::new()).unwrap();
    }
    for running in [&through.expose, &through.reach] {
        let open = || std::fs::read_dir(format!("/proc/{}/fd", running.id())).map(Iterator::count);
        // On systems with /proc. The last connections may still be ending.
        until("few descriptors", || open().map_or(true, |open| open < 50));
    }
}
