//! What `virtnet run` treats as one machine: a host, its forwards and its program.
//!
//! Owns in which order they start, stand still, go on and die. Never waits for a signal or for a
//! request.

use virtnet::programs::{Forward, Forwarder};
use virtnet::supervision::{Action, HostState};
use virtnet::{Addr, Host, SubNetwork};

use super::RunArgs;
use super::program::Program;
use crate::cli::exit::{Exit, one_line};
use crate::cli::forward::{Hosts, Spec, lines};

/// A machine, on or off.
pub(super) struct Machine<'a> {
    subnet: &'a SubNetwork,
    args: &'a RunArgs,
    addr: &'a Addr,
    specs: Vec<Spec>,
    on: Option<On>,
}

/// A machine that is on.
pub(super) struct On {
    pub(super) host: Host,
    pub(super) forwarder: Forwarder,
    pub(super) forwards: Vec<Forward>,
    pub(super) program: Program,
}

/// A machine whose program has not started yet.
pub(super) struct Begun<'a> {
    hosts: Hosts<'a>,
    pub(super) host: Host,
}

impl<'a> Machine<'a> {
    pub(super) fn new(
        subnet: &'a SubNetwork,
        args: &'a RunArgs,
        addr: &'a Addr,
        specs: Vec<Spec>,
    ) -> Machine<'a> {
        Machine {
            subnet,
            args,
            addr,
            specs,
            on: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        self.addr.host()
    }

    pub(super) fn subnet(&self) -> &'a SubNetwork {
        self.subnet
    }

    pub(super) fn on(&mut self) -> Option<&mut On> {
        self.on.as_mut()
    }

    pub(super) fn state(&self) -> HostState {
        match &self.on {
            None => HostState::Killed,
            Some(on) if on.program.is_paused() => HostState::Paused,
            Some(_) => HostState::Running,
        }
    }

    /// What is said when it is on.
    pub(super) fn lines(&self) -> Vec<String> {
        lines(self.on.as_ref().map_or(&[], |on| &on.forwards))
    }

    /// Starts the host, then the forwards, then the program. If that fails, nothing is left. The host's
    /// trace gets the note.
    pub(super) async fn start(&mut self, note: Option<&str>) -> Result<(), Exit> {
        let begun = self.host(note).await?;
        self.program(begun).await
    }

    /// The first part: the host.
    pub(super) async fn host(&self, note: Option<&str>) -> Result<Begun<'a>, Exit> {
        let mut hosts = Hosts::new(self.subnet, &self.args.shared, None);
        // Also if it has no forwards.
        let host = hosts.get(self.addr).await?;
        if let Some(note) = note {
            host.note(note);
        }
        Ok(Begun { hosts, host })
    }

    /// The other parts.
    pub(super) async fn program(&mut self, begun: Begun<'a>) -> Result<(), Exit> {
        let Begun { mut hosts, host } = begun;
        let started = async {
            let forwards = hosts.start(self.specs.clone()).await?;
            let variables = self.args.variables(&forwards);
            let program = Program::start(&self.args.program, &variables)?;
            Ok((forwards, program))
        };
        let (forwards, program) = match started.await {
            Ok(started) => started,
            Err(why) => {
                // A host that is only closed keeps its name, so it could not start again.
                host.crash()?;
                return Err(why);
            }
        };
        // The program's variables are the same the next time.
        for (spec, forward) in self.specs.iter_mut().zip(&forwards) {
            spec.listens_at(forward.endpoint());
        }
        self.on = Some(On {
            host,
            forwarder: hosts.forwarder,
            forwards,
            program,
        });
        Ok(())
    }

    /// Does what `by` has asked for. The text of a failure says what was not done.
    pub(super) async fn act(&mut self, action: Action, by: &str) -> Result<(), String> {
        match action {
            Action::Kill => self.kill(by).await,
            Action::Pause => self.pause(by).await,
            Action::Resume => self.resume(by),
            Action::Restart => {
                self.kill(by).await?;
                let started = self.start(Some(&note("restarted", by))).await;
                started.map_err(|why| format!("killed, but not started again: {}", text(why)))
            }
            other => Err(format!(
                "expected kill, pause, resume or restart, got {other}"
            )),
        }
    }

    /// As if it had lost its power.
    async fn kill(&mut self, by: &str) -> Result<(), String> {
        let Some(on) = &mut self.on else {
            return Ok(());
        };
        // First it stands still: nothing of it notices the rest, and so nothing says anything to its peers.
        // If that fails, it dies all the same.
        let paused = on.program.pause().await;
        on.forwards.iter().for_each(Forward::pause);
        on.host.note(&note("killed", by));
        if let Err(err) = on.host.crash() {
            on.resume();
            return Err(one_line(&err));
        }
        let all_ended = on.program.kill().await;
        self.on = None;
        match (all_ended, paused) {
            (true, _) => Ok(()),
            (false, Err(why)) => Err(format!("killed, but not all that it has started: {why}")),
            (false, Ok(())) => Err("killed, but its processes have not ended yet".to_owned()),
        }
    }

    async fn pause(&mut self, by: &str) -> Result<(), String> {
        let on = self.on.as_mut().ok_or(WAS_KILLED)?;
        let is_paused = on.program.is_paused();
        on.program.pause().await?;
        on.forwards.iter().for_each(Forward::pause);
        if !is_paused {
            on.host.note(&note("paused", by));
        }
        Ok(())
    }

    fn resume(&mut self, by: &str) -> Result<(), String> {
        let on = self.on.as_mut().ok_or(WAS_KILLED)?;
        if on.program.is_paused() {
            on.host.note(&note("resumed", by));
        }
        on.resume();
        Ok(())
    }
}

/// What the host's trace says.
fn note(done: &str, by: &str) -> String {
    format!("program {done}, as {by} asked")
}

const WAS_KILLED: &str = "its program was killed: expected restart";

impl On {
    pub(super) fn resume(&mut self) {
        self.forwards.iter().for_each(Forward::resume);
        self.program.resume();
    }
}

fn text(end: Exit) -> String {
    match end {
        Exit::Failed(line) | Exit::Usage(line) => line,
        Exit::Signal(number) => format!("signal {number}"),
        Exit::Program(code) => format!("exit code {code}"),
    }
}
