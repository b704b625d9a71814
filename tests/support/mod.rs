//! The command as a separate process.
//!
//! Owns the process, and a bound on every wait for it: a test that would hang fails, and
//! shows what the process had printed. Never sleeps instead of waiting for a condition, and
//! passes on no variable of the surrounding environment.

// Each test binary compiles this file, and uses only a part of it.
#![allow(dead_code, unreachable_pub)]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The bound on every wait. Longer than the 10 s after which a silent peer is cut.
pub const BOUND: Duration = Duration::from_secs(60);

/// The secret of these tests, and another one.
pub const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
pub const OTHER_SECRET: &str = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Prints the measured figure of a row of docs/failures.md.
pub fn figure(row: &str, came_to: impl std::fmt::Display) {
    println!("failures: {row}: {came_to}");
}

/// A running command.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<Vec<u8>>,
    /// The part of stdout after the last line that was waited for.
    unread: Vec<u8>,
    stderr: Receiver<String>,
    seen: Vec<String>,
}

/// The exit code and the output of an ended command.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<String>,
}

/// The command `virtnet` with these arguments, without any of its variables.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_virtnet"));
    if hang_up_is_ignored() {
        command = Command::new("env");
        command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_virtnet")]);
    }
    command.args(args);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("VIRTNET_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG");
    command
}

/// Whether these tests were started by `nohup`, whose setting programs inherit.
fn hang_up_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 != 0)
}

/// The command as a member of the network with the registry at `url`.
pub fn member(url: &str, args: &[&str]) -> Command {
    let mut command = command(args);
    command
        .env("VIRTNET_REGISTRY", url)
        .env("VIRTNET_SECRET", SECRET);
    command
}

/// Runs a command without input, and waits until it ends.
pub fn run(command: &mut Command) -> Ended {
    let mut running = start(command);
    running.close_stdin();
    running.end()
}

/// Starts a command.
pub fn start(command: &mut Command) -> Running {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command was built");
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let stdin = child.stdin.take();
    let (send_stdout, receive_stdout) = channel();
    thread::spawn(move || read_all(stdout, &send_stdout));
    let (send_stderr, receive_stderr) = channel();
    thread::spawn(move || {
        let lines = BufReader::new(stderr).lines().map_while(Result::ok);
        lines.for_each(|line| drop(send_stderr.send(line)));
    });
    Running {
        child,
        stdin,
        stdout: receive_stdout,
        unread: Vec::new(),
        stderr: receive_stderr,
        seen: Vec::new(),
    }
}

fn read_all(mut from: impl Read, to: &std::sync::mpsc::Sender<Vec<u8>>) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        if to.send(piece[..count].to_vec()).is_err() {
            return;
        }
    }
}

impl Running {
    /// Waits until this line is on stderr.
    pub fn wait_for(&mut self, line: &str) {
        let until = Instant::now() + BOUND;
        loop {
            match self
                .stderr
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(read) => {
                    self.seen.push(read);
                    if self.seen.last().is_some_and(|last| last == line) {
                        return;
                    }
                }
                Err(_) => panic!("{line:?} is not on stderr: {:?}", self.seen),
            }
        }
    }

    /// Waits until it listens (`true`), or until it ends, for example because its name is
    /// in use.
    pub fn listens(&mut self, at: &str) -> bool {
        let line = format!("listening {at}");
        let read = self.stderr.recv_timeout(BOUND);
        let read = read.unwrap_or_else(|err| panic!("{err}: it says nothing"));
        self.seen.push(read);
        self.seen.last() == Some(&line)
    }

    pub fn write(&mut self, text: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(text.as_ref()).expect("the command reads");
        stdin.flush().expect("the command reads");
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Takes its stdin, to write to it elsewhere.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("stdin is open")
    }

    /// Waits until exactly this text is on stdout.
    pub fn expect_stdout(&mut self, text: impl AsRef<[u8]>) {
        let (text, mut got) = (text.as_ref(), Vec::new());
        while got.len() < text.len() {
            match self.stdout.recv_timeout(BOUND) {
                Ok(piece) => got.extend(piece),
                Err(err) => panic!(
                    "{err}: {:?}, {:?}",
                    String::from_utf8_lossy(&got),
                    self.rest()
                ),
            }
        }
        assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(text));
    }

    /// Waits until all of these lines are on stdout, in any order; skips other lines.
    #[track_caller]
    pub fn wait_for_stdout(&mut self, lines: &[&str]) {
        let until = Instant::now() + BOUND;
        let (mut missing, mut others) = (lines.to_vec(), Vec::new());
        while !missing.is_empty() {
            match self.stdout_line(until) {
                Ok(line) => {
                    missing.retain(|wanted| *wanted != line);
                    others.push(line);
                }
                Err(err) => panic!("{err}: {missing:?} of {others:?}, {:?}", self.rest()),
            }
        }
    }

    /// Waits for a line on stdout that begins with `start`, and returns its rest.
    #[track_caller]
    pub fn wait_for_stdout_beginning(&mut self, start: &str) -> String {
        let until = Instant::now() + BOUND;
        loop {
            match self.stdout_line(until) {
                Ok(line) if line.starts_with(start) => return line[start.len()..].to_owned(),
                Ok(_) => {}
                Err(err) => panic!("{err}: no line begins {start:?}: {:?}", self.rest()),
            }
        }
    }

    fn stdout_line(&mut self, until: Instant) -> Result<String, RecvTimeoutError> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line = self.unread.drain(..=end).collect::<Vec<_>>();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let left = until.saturating_duration_since(Instant::now());
            let piece = self.stdout.recv_timeout(left)?;
            self.unread.extend(piece);
        }
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, as `kill -NAME` does.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.expect("there is a command kill").success());
    }

    /// Kills it, like a crash, and waits until it has ended.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it ends.
    pub fn end(mut self) -> Ended {
        let until = Instant::now() + BOUND;
        let mut stdout = std::mem::take(&mut self.unread);
        // Both pipes end with the process, which holds the only other ends.
        loop {
            match self
                .stdout
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(piece) => stdout.extend(piece),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {:?}", self.rest()),
            }
        }
        let code = self.exit_code(until);
        Ended {
            code,
            stdout,
            stderr: self.rest(),
        }
    }

    fn exit_code(&mut self, until: Instant) -> Option<i32> {
        // Stdout is closed, so this takes moments; std has no wait with a bound.
        loop {
            match self.child.try_wait().expect("it is our child") {
                Some(status) => return status.code(),
                None if Instant::now() > until => panic!("it does not end: {:?}", self.rest()),
                None => thread::yield_now(),
            }
        }
    }

    /// All lines of stderr that were read so far, or until the process ends.
    fn rest(&mut self) -> Vec<String> {
        let _ = self.child.kill();
        let mut seen = std::mem::take(&mut self.seen);
        while let Ok(line) = self.stderr.recv_timeout(BOUND) {
            seen.push(line);
        }
        seen
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Ended {
    /// Asserts success, and returns stdout.
    #[track_caller]
    pub fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        String::from_utf8(self.stdout).expect("it wrote text")
    }

    /// Asserts exit code 1, and returns the reason: the rest of the only line on stderr
    /// that begins with `virtnet: `.
    #[track_caller]
    pub fn failure(self) -> String {
        self.reason(1)
    }

    /// Asserts exit code 2, a usage error, and returns the reason.
    #[track_caller]
    pub fn usage_error(self) -> String {
        self.reason(2)
    }

    /// The same where the command warned before, as of a registry that is down.
    #[track_caller]
    pub fn failure_after_warnings(mut self) -> String {
        let is_warning = |line: &String| line.starts_with("virtnet: warning: ");
        self.stderr.retain(|line| !is_warning(line));
        self.failure()
    }

    #[track_caller]
    fn reason(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        let mut reasons = self
            .stderr
            .iter()
            .filter(|line| line.starts_with("virtnet: "));
        let reason = reasons
            .next_back()
            .unwrap_or_else(|| panic!("it does not say why: {self:?}"));
        assert_eq!(reasons.next(), None, "{self:?}");
        let starts = ["listening ", "connected ", "following "];
        let progress = |line: &&String| starts.iter().any(|start| line.starts_with(start));
        let others = self.stderr.iter().filter(|line| !progress(line)).count();
        assert_eq!(others, 1, "{self:?}");
        reason["virtnet: ".len()..].to_owned()
    }
}

/// The command that pings twice from a host that comes for it.
pub fn ping_of(to: &str) -> [&str; 9] {
    [
        "ping",
        to,
        "--from",
        "pinger",
        "--count",
        "2",
        "--interval",
        "0",
        "--json",
    ]
}

/// Asserts that no dial and no round trip of `virtnet ping --json` took less.
pub fn assert_pings_take(pinged: &str, least: Duration) {
    let summary = pinged.lines().last().expect("it has a summary");
    println!("faults: with a delay of {least:?}: {summary}");
    let summary: serde_json::Value = serde_json::from_str(summary).expect("JSON");
    for fastest in ["/dial_ms/0", "/echo_ms/0"] {
        let fastest = summary.pointer(fastest).and_then(serde_json::Value::as_f64);
        assert!(fastest >= Some(least.as_secs_f64() * 1e3), "{pinged}");
    }
}
