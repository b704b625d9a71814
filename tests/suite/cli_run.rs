//! `virtnet run`: a program's life, its variables and forwards; and the first example of docs/programs.md.
//!
//! Owns exit codes, signals, and that nothing is left behind. Never tests the forwards: `cli_forward.rs` does.

use std::path::Path;
use std::process::Command;

use crate::forwards::{Net, until};
use crate::support::{Running, run};

fn sh(net: &Net, options: &[&str], script: &str) -> Command {
    let shell = [
        &["run", "--host", "α"],
        options,
        &["--", "sh", "-c", script],
    ]
    .concat();
    net.command(&shell)
}

/// Waits for a process to end that is not ours.
fn gone(pid: &str) {
    until(pid, || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        // A zombie, if nobody has reaped it.
        status.map_or(true, |status| status.contains(") Z "))
    });
}

/// The text of stdout up to a line end.
fn line(running: &mut Running) -> String {
    running.wait_for_stdout_beginning("")
}

#[test]
fn its_exit_code_is_the_programs() {
    let net = Net::new();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)] {
        let ended = run(&mut sh(&net, &[], script));
        assert_eq!((ended.code, &ended.stderr[..]), (Some(code), &[][..]));
    }
    let args = ["run", "--host", "α", "--", "/nowhere/at/all"];
    let ended = run(&mut net.command(&args));
    assert_eq!(ended.code, Some(127));
    assert!(
        ended.stderr[0].contains("cannot run \"/nowhere/at/all\": "),
        "{ended:?}"
    );
    let ended = run(&mut net.command(&["run", "--host", "α", "--", "/"]));
    assert_eq!(ended.code, Some(126));
}

#[test]
fn signals_are_passed_on_and_the_host_is_there_as_long() {
    let net = Net::new();
    for signal in ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"] {
        let script = format!("trap 'exit 3' {signal}; echo there; while :; do sleep 0.01; done");
        let mut running = crate::support::start(&mut sh(&net, &[], &script));
        assert_eq!(line(&mut running), "there");
        assert!(
            run(&mut net.command(&["hosts"]))
                .success()
                .starts_with("α\t")
        );
        running.signal(signal);
        assert_eq!(running.end().code, Some(3), "{signal}");
        assert_eq!(run(&mut net.command(&["hosts"])).success(), "");
    }
}

#[test]
fn a_signal_that_ends_the_command_reaches_a_paused_program() {
    let net = Net::new();
    let script = "trap 'exit 7' TERM; echo there; while :; do sleep 0.01; done";
    let args = ["run", "--host", "β", "--", "sh", "-c", script];
    let mut running = net.starting(&args);
    running.wait_for_stdout(&["there"]);
    run(&mut net.command(&["host", "pause", "β"])).success();
    running.signal("TERM");
    assert_eq!(running.end().code, Some(7));
}

#[test]
fn the_program_ends_with_its_parent() {
    let net = Net::new();
    let mut running = crate::support::start(&mut sh(&net, &[], "echo $$; exec sleep 1000"));
    let pid = line(&mut running);
    running.kill();
    gone(&pid);
}

#[test]
fn what_a_program_leaves_behind_is_killed() {
    let net = Net::new();
    let script = "(sleep 1000 >/dev/null 2>&1 & echo $!)";
    let mut running = crate::support::start(&mut sh(&net, &[], script));
    let pid = line(&mut running);
    assert_eq!(running.end().code, Some(0));
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "reaped, too");
}

#[test]
fn a_failed_forward_ends_the_program() {
    let net = Net::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let reach = format!("β:1={}", taken.local_addr().unwrap());
    let why = run(&mut sh(&net, &["--reach", &reach], "echo never")).failure();
    assert!(why.starts_with("cannot listen at "), "{why}");
    let list = run(&mut net.command(&["host", "list"]));
    assert_eq!(list.success(), "", "it has no supervisor any more");
    let why = run(&mut sh(
        &net,
        &["--expose", "β:1=127.0.0.1:1"],
        "echo never",
    ))
    .usage_error();
    assert_eq!(why, "--expose β:1: expected an address of α, such as :5432");
}

/// A server and a client that know nothing, each in its own `virtnet run`.
#[test]
fn programs_talk_by_names_through_their_variables() {
    let net = Net::new();
    let server = "
import http.server
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'hello')
    def log_message(self, *all):
        pass
server = http.server.HTTPServer(('127.0.0.1', 0), Hello)
print(server.server_port, flush=True)
server.serve_forever()
";
    // Its port is only known once it runs, so a forward of its own leads to it.
    let args = ["run", "--host", "β", "--", "python3", "-c", server];
    let mut serving = net.starting(&args);
    let to = format!("127.0.0.1:{}", line(&mut serving));
    let _expose = net.ready(&["expose", "γ:80", "--to", &to]);
    let curl = "LC_ALL=C.UTF-8 curl -sS http://γ/";
    assert_eq!(run(&mut sh(&net, &["--proxy"], curl)).success(), "hello");
    let said = "echo $ALL_PROXY $https_proxy $NO_PROXY ${http_proxy-none}";
    let mut command = sh(&net, &["--proxy"], said);
    let said = run(command.env("http_proxy", "http://127.0.0.1:1")).success();
    let words: Vec<_> = said.split_whitespace().collect();
    assert!(words[0].starts_with("socks5h://127.0.0.1:"), "{said}");
    assert!(words[1].starts_with("http://127.0.0.1:"), "{said}");
    assert_eq!(words[2..], ["localhost,127.0.0.1,::1", "none"]);
}

/// The last words of a program that ends at once are not cut off.
#[test]
fn what_a_program_has_sent_arrives_after_its_end() {
    let net = Net::new();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap().to_string();
    let _expose = net.ready(&["expose", "β:1", "--to", &to]);
    let port = virtnet_testkit::redis::free_port();
    let client = format!(
        "import socket; socket.create_connection(('127.0.0.1', {port})).sendall(b'x' * 1000000)"
    );
    let reach = format!("β:1=127.0.0.1:{port}");
    let args = [
        "run", "--host", "α", "--reach", &reach, "--", "python3", "-c", &client,
    ];
    let running = net.starting(&args);
    let mut read = Vec::new();
    let mut served = crate::forwards::bounded(server.accept().unwrap().0);
    std::io::Read::read_to_end(&mut served, &mut read).unwrap();
    assert_eq!(read.len(), 1_000_000);
    drop(served);
    assert_eq!(running.end().code, Some(0));
}

/// The first block of docs/programs.md, on other ports.
#[test]
fn the_pages_first_example_is_true() {
    const PAGE: &str = include_str!("../../docs/programs.md");
    let net = Net::new();
    let block = PAGE.split("```sh\n").nth(1).unwrap();
    let mut script = block.split("```").next().unwrap().to_owned();
    for port in ["6401", "6402"] {
        script = script.replace(port, &virtnet_testkit::redis::free_port().to_string());
    }
    let command = net.command(&[]);
    let mut shell = Command::new("bash");
    shell.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_virtnet"));
    let others = std::env::var("PATH").unwrap();
    let path = format!("{}:{others}", program.parent().unwrap().display());
    // Everything that the example leaves running ends with it.
    let script = format!("trap 'kill $(jobs -p) $(cat redis.pid); wait' EXIT\nexec 2>&1\n{script}");
    let shell = shell.env("PATH", path).current_dir(net.dir.path());
    let ended = run(shell.args(["-c", &script]));
    let said = String::from_utf8(ended.stdout).unwrap();
    // Lines of several processes may be mixed.
    for answer in ["OK\n", "Connection reset by peer", "\nvalue\n"] {
        assert!(said.contains(answer), "{answer}: {said}");
    }
}
