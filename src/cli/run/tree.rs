//! The processes of a program: all that it has started, and what those have started.
//!
//! Owns how they are found, stopped, continued and killed, all of them. Never reaps one, and
//! never knows which of them is the program.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{sleep, timeout};

/// How long processes may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(1);

type Pids = BTreeSet<i32>;

/// All descendants of this process: whose parents have ended are its children.
fn descendants() -> Pids {
    let mut found = Pids::new();
    let mut parents = vec!["self".to_owned()];
    while let Some(parent) = parents.pop() {
        let threads = fs::read_dir(format!("/proc/{parent}/task"));
        for thread in threads.into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children"));
            for child in children.unwrap_or_default().split_whitespace() {
                if child.parse().is_ok_and(|pid| found.insert(pid)) {
                    parents.push(child.to_owned());
                }
            }
        }
    }
    found
}

fn send(pid: i32, signal: Signal) -> io::Result<()> {
    match Pid::from_raw(pid) {
        Some(pid) => Ok(kill_process(pid, signal)?),
        None => Ok(()),
    }
}

/// Whether no thread of the process runs.
fn is_stopped(pid: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let mut threads = threads.into_iter().flatten().flatten();
    threads.all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The name before it may contain anything.
        let state = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next());
        // A thread that has ended has no state.
        state.is_none_or(|state| "TtZX".contains(state))
    })
}

/// What was stopped.
#[derive(Debug, Default)]
pub(super) struct Stopped(Pids);

/// Stops all processes, and returns when no thread of them runs. Those that were stopped before are not
/// among those that [`Stopped::go_on`] continues.
///
/// If that fails, none is stopped that was not before.
pub(super) async fn stop(program: Pid) -> Result<Stopped, String> {
    let mut stopped = Stopped::default();
    let stopping = stop_all(&mut stopped, program.as_raw_nonzero().get());
    let failed = match timeout(STOP_WITHIN, stopping).await {
        Ok(Ok(())) => return Ok(stopped),
        Ok(Err(why)) => why,
        Err(_) => {
            let running = descendants().into_iter().find(|pid| !is_stopped(*pid));
            let running = running.map_or("a process".to_owned(), |pid| format!("process {pid}"));
            format!("{running} has not stopped within {STOP_WITHIN:?}")
        }
    };
    stopped.go_on();
    Err(failed)
}

async fn stop_all(stopped: &mut Stopped, program: i32) -> Result<(), String> {
    let mut before = Pids::new();
    let mut seen = Pids::new();
    loop {
        let all = descendants();
        if !all.contains(&program) {
            return Err("its processes cannot be listed in /proc, or it has ended".to_owned());
        }
        for pid in all.difference(&seen) {
            if is_stopped(*pid) {
                continue;
            }
            stopped.0.insert(*pid);
            match send(*pid, Signal::STOP) {
                Err(err) if err.kind() != io::ErrorKind::NotFound && !is_gone(*pid) => {
                    return Err(format!("process {pid} cannot be stopped: {err}"));
                }
                _ => {}
            }
        }
        seen.extend(&all);
        // Nobody that is stopped starts a process: so when all were, a second look finds all.
        let are_stopped = all.iter().all(|pid| is_stopped(*pid));
        if are_stopped && all == before {
            return Ok(());
        }
        before = match are_stopped {
            true => all,
            false => Pids::new(),
        };
        sleep(LOOK).await;
    }
}

fn is_gone(pid: i32) -> bool {
    fs::metadata(format!("/proc/{pid}")).is_err()
}

impl Stopped {
    /// Continues them.
    pub(super) fn go_on(self) {
        // A number may be another process's now.
        for pid in self.0.intersection(&descendants()) {
            let _ = send(*pid, Signal::CONT);
        }
    }
}

/// Kills all processes; `false` if there are none. They have to be reaped.
pub(super) fn kill() -> bool {
    let all = descendants();
    for pid in &all {
        let _ = send(*pid, Signal::KILL);
    }
    !all.is_empty()
}
