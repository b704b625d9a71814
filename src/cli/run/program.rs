//! The program of `virtnet run`: a child process, and those that it leaves behind.
//!
//! Owns that none of them outlives this process, and that each is reaped. Never knows the network.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use clap::Args;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getppid, kill_process, set_child_subreaper,
    set_parent_process_death_signal, wait,
};
use tokio::signal::unix::{self, SignalKind};
use tokio::time::timeout;

use super::tree::{self, Stopped};
use crate::cli::exit::Exit;
use crate::cli::output::warn;

/// How long the program may take to end after SIGTERM, if a forward has failed.
const END_WITHIN: Duration = Duration::from_secs(8);

/// How long killed processes may take to end.
const KILL_WITHIN: Duration = Duration::from_secs(2);

/// The process becomes a program that is killed when its parent ends: only a process itself can
/// ask for that, between its start and its program's.
#[derive(Debug, Args)]
pub(crate) struct Supervised {
    parent: u32,
    #[arg(required = true, last = true)]
    program: Vec<OsString>,
}

impl Supervised {
    /// Only returns if that fails.
    pub(crate) fn run(self) -> Exit {
        let asked = set_parent_process_death_signal(Some(Signal::KILL));
        if let Err(err) = asked {
            return Exit::Failed(format!("cannot ask to end with the parent process: {err}"));
        }
        // It may have ended before.
        let parent = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
        if parent != Some(self.parent) {
            return Exit::Failed("the parent process has ended".to_owned());
        }
        let program = &self.program[0];
        let err = Command::new(program).args(&self.program[1..]).exec();
        warn(&format!("cannot run {program:?}: {err}"));
        // As shells do.
        Exit::Program(match err.kind() {
            io::ErrorKind::NotFound => 127,
            _ => 126,
        })
    }
}

/// A running program. Dropping it kills it, and what it has left behind.
pub(super) struct Program {
    pid: Pid,
    ended: bool,
    /// Set while it is paused.
    stopped: Option<Stopped>,
    changes: unix::Signal,
}

impl Program {
    /// Starts the program, with these variables; without those of `None`.
    pub(super) fn start(
        program: &[OsString],
        variables: &[(&str, Option<String>)],
    ) -> io::Result<Program> {
        // Those whose parents end become children of this process.
        set_child_subreaper(Some(rustix::process::getpid()))?;
        let changes = unix::signal(SignalKind::child())?;
        let mut command = Command::new("/proc/self/exe");
        command.arg("supervised");
        command.arg(std::process::id().to_string());
        command.arg("--").args(program);
        for (name, value) in variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        // `ended` reaps it.
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Ok(Program {
            pid: pid.ok_or(io::ErrorKind::InvalidData)?,
            ended: false,
            stopped: None,
            changes,
        })
    }

    /// Waits until the program ends, and returns its exit code. Dropping the future changes nothing.
    pub(super) async fn ended(&mut self) -> i32 {
        loop {
            if let Some(status) = self.reap() {
                self.ended = true;
                return code(status);
            }
            self.changes.recv().await;
        }
    }

    /// Reaps all processes that have ended. Returns the program's status if it is one of them.
    fn reap(&self) -> Option<WaitStatus> {
        let mut found = None;
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == self.pid {
                found = Some(status);
            }
        }
        found
    }

    /// Passes a signal on.
    pub(super) fn signal(&self, number: i32) {
        if let Some(signal) = Signal::from_named_raw(number) {
            // It may have ended: the number is not used again before it is reaped.
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Stops it and all that it has started. A second pause changes nothing.
    pub(super) async fn pause(&mut self) -> Result<(), String> {
        if self.stopped.is_none() {
            self.stopped = Some(tree::stop(self.pid).await?);
        }
        Ok(())
    }

    pub(super) fn is_paused(&self) -> bool {
        self.stopped.is_some()
    }

    /// Lets all that was paused go on.
    pub(super) fn resume(&mut self) {
        if let Some(stopped) = self.stopped.take() {
            stopped.go_on();
        }
    }

    /// Asks the program to end, and waits for it within a bound.
    pub(super) async fn terminate(&mut self) {
        self.signal(Signal::TERM.as_raw());
        self.resume();
        let _ = timeout(END_WITHIN, self.ended()).await;
    }

    /// Kills the program and what it has left behind, and waits for it within a bound. `false` if that
    /// is over, and some still live.
    pub(super) async fn kill(&mut self) -> bool {
        let killing = async {
            while tree::kill() {
                self.ended |= self.reap().is_some();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(KILL_WITHIN, killing).await.is_ok()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.ended {
            let _ = kill_process(self.pid, Signal::KILL);
        }
        tree::kill();
    }
}

/// The exit code, as shells give it.
fn code(status: WaitStatus) -> i32 {
    let by_signal = status.terminating_signal().map(|number| 128 + number);
    status.exit_status().or(by_signal).unwrap_or(1)
}
