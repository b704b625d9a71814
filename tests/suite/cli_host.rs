//! `virtnet host kill`, `pause`, `resume` and `restart`: real programs, over Redis and a folder.
//!
//! Owns what the program, its host's peers and whoever asks see. Never tests how requests travel: the tests of
//! core do.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use crate::forwards::{Net, bounded, expect_reset, until};
use crate::support::{Running, member, run, start};
use virtnet_testkit::redis::{RedisServer, free_port};

/// Echoes, and has a child that only sleeps.
const ECHO: &str = "
import os, socket, subprocess, sys, threading
child = subprocess.Popen(['sleep', '1000'])
server = socket.create_server(('127.0.0.1', int(sys.argv[1])))
print(os.getpid(), child.pid, os.environ['ALL_PROXY'], flush=True)
def echo(conn):
    while data := conn.recv(1000):
        conn.sendall(data)
while True:
    threading.Thread(target=echo, args=[server.accept()[0]]).start()
";

/// An echo at β:1 under `virtnet run`, and the way to it from α.
struct Echo {
    url: String,
    program: Running,
    reach: Running,
    at: String,
}

/// What the program says when it starts: its process, its child's, and the variable.
#[derive(Debug, PartialEq)]
struct Started {
    pids: [String; 2],
    proxy: String,
}

impl Echo {
    fn new(url: &str, variables: &[(&str, &str)]) -> (Echo, Started) {
        let port = free_port().to_string();
        let expose = format!(":1=127.0.0.1:{port}");
        let args = ["run", "--host", "β", "--expose", &expose, "--proxy", "--"];
        let args = [&args[..], &["python3", "-c", ECHO, &port]].concat();
        let mut program = command(url, &args);
        let mut program = start(program.envs(variables.iter().copied()));
        let started = said(&mut program);
        let args = ["reach", "β:1", "--at", "127.0.0.1:0", "--from", "α"];
        let mut reach = start(&mut command(url, &args));
        let at = reach.wait_for_stdout_beginning("reach β:1 <- ");
        reach.wait_for_stdout(&["ready"]);
        let echo = Echo {
            url: url.to_owned(),
            program,
            reach,
            at: at.strip_suffix(" from α").unwrap().to_owned(),
        };
        (echo, started)
    }

    fn host(&self, args: &[&str]) -> Command {
        command(&self.url, &[&["host"], args].concat())
    }

    fn ask(&self, action: &str) {
        assert_eq!(run(&mut self.host(&[action, "β"])).success(), "");
    }

    fn list(&self) -> String {
        run(&mut self.host(&["list"])).success()
    }

    fn connect(&self) -> TcpStream {
        bounded(TcpStream::connect(&self.at).unwrap())
    }

    /// A connection that is echoed.
    fn connected(&self) -> TcpStream {
        let mut client = self.connect();
        client.write_all(b"there?").unwrap();
        expect(&mut client, "there?");
        client
    }

    fn ends_with(self, signal: &str, code: i32) {
        drop(self.reach);
        self.program.signal(signal);
        assert_eq!(self.program.end().code, Some(code));
    }
}

/// The command as a member; peers that are silent for a second are lost.
fn command(url: &str, args: &[&str]) -> Command {
    let mut command = member(url, args);
    command.env("VIRTNET_SILENCE", "1");
    command
}

fn said(program: &mut Running) -> Started {
    let line = program.wait_for_stdout_beginning("");
    let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
    let [pid, child, proxy] = words.try_into().unwrap();
    Started {
        pids: [pid, child],
        proxy,
    }
}

#[track_caller]
fn expect(client: &mut TcpStream, text: &str) {
    let mut read = vec![0; text.len()];
    client.read_exact(&mut read).unwrap();
    assert_eq!(String::from_utf8(read).unwrap(), text);
}

/// Nothing comes, and no end either. It can only fail if something does.
#[track_caller]
fn expect_silence(client: &mut TcpStream) {
    let bound = client.read_timeout().unwrap();
    let moment = Duration::from_millis(300);
    client.set_read_timeout(Some(moment)).unwrap();
    let err = client.read(&mut [0]).expect_err("silence");
    assert_eq!(err.kind(), ErrorKind::WouldBlock);
    client.set_read_timeout(bound).unwrap();
}

/// The letter of a process' state; `X` if there is none.
fn state(pid: &str) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.unwrap_or('X')
}

fn states(started: &Started) -> [char; 2] {
    [0, 1].map(|at| state(&started.pids[at]))
}

fn everywhere(check: impl Fn(&str)) {
    let net = Net::new();
    check(&format!("local:{}", net.path("net")));
    let server = RedisServer::start();
    check(&server.url());
}

#[test]
fn a_paused_program_and_its_connections_stand_still() {
    everywhere(|url| {
        let (echo, started) = Echo::new(url, &[]);
        let mut client = echo.connected();
        assert_eq!(echo.list(), "β\trunning\n");
        for _ in 0..2 {
            echo.ask("pause");
            assert_eq!(states(&started), ['T', 'T']);
            assert_eq!(echo.list(), "β\tpaused\n");
        }
        client.write_all(b"still?").unwrap();
        // Longer than a connection may be silent.
        for _ in 0..5 {
            expect_silence(&mut client);
        }
        for _ in 0..2 {
            echo.ask("resume");
            assert_eq!(echo.list(), "β\trunning\n");
        }
        expect(&mut client, "still?");
        echo.connected();
        echo.ends_with("TERM", 128 + 15);
    });
}

#[test]
fn a_host_is_paused_inside_of_a_partition() {
    let net = Net::new();
    let (echo, started) = Echo::new(&format!("local:{}", net.path("net")), &[]);
    for args in [["cut", "β", "*"], ["cut", "*", "β"], ["hold", "α", "β"]] {
        net.fault(&[&args[..], &["--for", "100"]].concat());
    }
    echo.ask("pause");
    assert_eq!(states(&started), ['T', 'T']);
    echo.ask("resume");
    assert_eq!(states(&started).map(|state| state == 'T'), [false; 2]);
    echo.ask("kill");
    assert_eq!(states(&started), ['X', 'X']);
    echo.ends_with("TERM", 137);
}

#[test]
fn a_killed_host_is_silent_until_it_is_restarted() {
    everywhere(|url| {
        let (mut echo, started) = Echo::new(url, &[]);
        let mut client = echo.connected();
        for _ in 0..2 {
            echo.ask("kill");
            assert_eq!(states(&started), ['X', 'X']);
            assert_eq!(echo.list(), "β\tkilled\n");
        }
        // Silence that is too long is a cut, for a program that knows TCP only.
        expect_reset(&mut client);
        let mut dial = start(&mut command(url, &["dial", "--from", "γ", "β:1"]));
        dial.close_stdin();
        let why = dial.end().failure();
        // Until its name is free; the QUIC connection that the client had may still be there, or not.
        let silent = ["timed out", "no answer from host", "no such host"];
        assert!(silent.iter().any(|text| why.contains(text)), "{why}");
        for action in ["pause", "resume"] {
            let why = run(&mut echo.host(&[action, "β"])).failure();
            let expected = format!("host {action} β: its program was killed: expected restart");
            assert_eq!(why, expected);
        }
        // From killed, from running and from paused.
        for pause in [false, false, true] {
            if pause {
                echo.ask("pause");
            }
            echo.ask("restart");
            let again = said(&mut echo.program);
            assert_eq!(again.proxy, started.proxy);
            assert_ne!(again.pids, started.pids);
            assert_eq!(echo.list(), "β\trunning\n");
            echo.connected();
        }
        echo.ask("kill");
        echo.ends_with("TERM", 137);
        let hosts = run(&mut command(url, &["host", "list"])).success();
        assert_eq!(hosts, "");
    });
}

#[test]
fn a_plan_pauses_and_kills_until_it_is_healed() {
    let net = Net::new();
    let traces = net.path("traces");
    let (mut echo, started) = Echo::new(
        &format!("local:{}", net.path("net")),
        &[("VIRTNET_TRACE", &traces)],
    );
    let plan = net.path("plan");
    fs::write(&plan, "cut β -> *\ncut * -> β\npause β\n").unwrap();
    net.fault(&["apply", &plan, "--for", "100"]);
    assert_eq!(states(&started), ['T', 'T']);
    assert_eq!(echo.list(), "β\tpaused\n");
    net.fault(&["heal"]);
    assert_eq!(states(&started).map(|state| state == 'T'), [false; 2]);
    net.fault(&["kill", "β", "--for", "100"]);
    assert_eq!(states(&started), ['X', 'X']);
    net.fault(&["heal", "β", "β"]);
    let again = said(&mut echo.program);
    assert_eq!(again.proxy, started.proxy);
    echo.connected();
    // It ends by itself, also if nobody heals it.
    net.fault(&["pause", "β", "--for", "0.5"]);
    until("resumed", || echo.list() == "β\trunning\n");
    let refused = run(&mut net.command(&["fault", "kill", "α", "--for", "9"])).failure();
    assert_eq!(
        refused,
        "faults: the plan cannot be enforced by the subnetwork of \"α\": \"kill α\": α is not supervised"
    );
    echo.ask("pause");
    echo.ends_with("TERM", 128 + 15);
    let shown = run(&mut net.command(&["trace", "show", &traces])).success();
    let notes = shown
        .lines()
        .filter_map(|line| line.split_once("note: program "));
    let notes: Vec<_> = notes
        .map(|(_, note)| note.trim_end_matches("\t-"))
        .collect();
    let by_plan = [
        "paused",
        "resumed",
        "killed",
        "restarted",
        "paused",
        "resumed",
    ];
    let by_plan = by_plan.map(|done| format!("{done}, as the plan of faults asked"));
    assert_eq!(notes[..6], by_plan);
    assert!(notes[6].starts_with("paused, as process "), "{shown}");
}

#[test]
fn whoever_asks_is_named_and_told_why_not() {
    let net = Net::new();
    let ask = |args: &[&str]| run(&mut net.command(&[&["host"], args].concat()));
    assert_eq!(ask(&["kill", "β"]).failure(), "host kill β: no such host");
    let why = ask(&["kill", "β:1"]).usage_error();
    assert!(why.starts_with("invalid host \"β:1\": "), "{why}");
    let _expose = net.ready(&["expose", "γ:1", "--to", "127.0.0.1:1"]);
    assert_eq!(
        ask(&["pause", "γ"]).failure(),
        "host pause γ: not supervised: expected a host of \"virtnet run\""
    );

    let ready = net.path("ready");
    let args = [
        "run",
        "--host",
        "β",
        "--ready-file",
        &ready,
        "--",
        "sleep",
        "1000",
    ];
    let running = net.starting(&args);
    until("ready", || fs::exists(&ready).unwrap());
    running.signal("STOP");
    assert_eq!(
        ask(&["kill", "β", "--within", "0.5"]).failure(),
        "host kill β: its supervisor did not answer within 500ms; nothing was done"
    );
    running.signal("CONT");
    // What was withdrawn is not done later.
    ask(&["pause", "β"]).success();
    ask(&["resume", "β"]).success();
    assert_eq!(ask(&["list"]).success(), "β\trunning\n");
    running.signal("INT");
    let ended = running.end();
    assert_eq!(ended.code, Some(128 + 2));
    let [paused, resumed] = &ended.stderr[..] else {
        panic!("{ended:?}");
    };
    let said = "virtnet: host β: paused, as process ";
    assert!(
        paused.starts_with(said) && paused.ends_with(" asked"),
        "{paused}"
    );
    assert!(
        resumed.starts_with(&said.replace("paused", "resumed")),
        "{resumed}"
    );
}
