//! The life of `virtnet run`: it waits for the program, for signals, and for what others ask for.
//!
//! Owns what each of these leads to, and in which order all ends. Never knows how a machine is paused or
//! killed: [`Machine`] does.

use std::future::pending;
use std::io::{self, IsTerminal};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use virtnet::supervision::{Action, Request, Supervisor};

use super::machine::{Machine, On};
use super::program::Program;
use crate::cli::exit::Exit;
use crate::cli::forward::{ReadyFile, any_end};
use crate::cli::output::print_stderr;
use crate::cli::session::Signals;

/// How long connections may take to end after the program.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// How long it may take to tell the network that the host has no supervisor any more.
const END_WITHIN: Duration = Duration::from_secs(1);

const SIGINT: i32 = 2;

/// The exit code after a kill that no restart followed: as for any program that SIGKILL has ended.
const KILLED: i32 = 128 + 9;

/// The signals that are passed on, besides those that end every command.
struct Others {
    quit: Signal,
    first: Signal,
    second: Signal,
}

impl Others {
    fn new() -> io::Result<Others> {
        Ok(Others {
            quit: signal(SignalKind::quit())?,
            first: signal(SignalKind::user_defined1())?,
            second: signal(SignalKind::user_defined2())?,
        })
    }

    /// The number of the next signal, and whether it asks the program to end.
    async fn next(&mut self, signals: &mut Signals) -> (i32, bool) {
        tokio::select! {
            number = signals.next() => (number, true),
            Some(()) = self.quit.recv() => (SignalKind::quit().as_raw_value(), true),
            Some(()) = self.first.recv() => (SignalKind::user_defined1().as_raw_value(), false),
            Some(()) = self.second.recv() => (SignalKind::user_defined2().as_raw_value(), false),
        }
    }
}

/// Starts everything, and waits until the program ends by itself, or a signal ends what was killed. Returns its
/// exit code.
pub(super) async fn supervise(
    mut machine: Machine<'_>,
    ready: &ReadyFile,
    signals: &mut Signals,
) -> Result<i32, Exit> {
    // Before the program starts: it may be signalled at once, and others may ask for it.
    let mut others = Others::new()?;
    let begun = signals.or(machine.host(None)).await??;
    let supervised = machine.subnet().supervise(&begun.host);
    let mut supervisor = signals.or(supervised).await??;
    let code = async {
        signals.or(machine.program(begun)).await??;
        ready.write(&machine.lines())?;
        let code = watch(&mut machine, &mut supervisor, &mut others, signals).await?;
        leave(&mut machine, &mut supervisor).await;
        Ok(code)
    };
    let code = code.await;
    // Else it would be found for some time longer.
    let _ = timeout(END_WITHIN, supervisor.end()).await;
    code
}

fn pass_on(on: &On, number: i32) {
    // A terminal has sent ^C to the program as well.
    if number != SIGINT || !io::stdin().is_terminal() {
        on.program.signal(number);
    }
}

/// The exit code of the program, if there is one.
async fn ended(program: Option<&mut Program>) -> i32 {
    match program {
        Some(program) => program.ended().await,
        None => pending().await,
    }
}

async fn watch(
    machine: &mut Machine<'_>,
    supervisor: &mut Supervisor,
    others: &mut Others,
    signals: &mut Signals,
) -> Result<i32, Exit> {
    loop {
        let (program, forwards) = match machine.on() {
            Some(on) => (Some(&mut on.program), &mut on.forwards[..]),
            None => (None, &mut [][..]),
        };
        tokio::select! {
            biased;
            code = ended(program) => return Ok(code),
            (number, ends) = others.next(signals) => match machine.on() {
                Some(on) => {
                    pass_on(on, number);
                    if ends && on.program.is_paused() {
                        on.resume();
                        supervisor.set_state(machine.state());
                    }
                }
                None if ends => return Ok(KILLED),
                None => {}
            },
            failed = any_end(forwards) => {
                if let Some(on) = machine.on() {
                    on.program.terminate().await;
                }
                return Err(failed.into());
            }
            request = supervisor.next() => answer(machine, supervisor, request?).await,
        }
    }
}

/// Does what was asked for.
async fn answer(machine: &mut Machine<'_>, supervisor: &mut Supervisor, request: Request) {
    let (action, by) = (request.action(), request.by().to_owned());
    let acted = machine.act(action, &by).await;
    let (host, state) = (machine.name(), machine.state());
    let answered = match &acted {
        Ok(()) => {
            let done = match action {
                Action::Kill => "killed",
                Action::Pause => "paused",
                Action::Resume => "resumed",
                _ => "restarted",
            };
            print_stderr(&format!("virtnet: host {host}: {done}, as {by} asked"));
            supervisor.done(request, state).await
        }
        Err(why) => {
            print_stderr(&format!(
                "virtnet: host {action} {host}: {why} ({by} asked)"
            ));
            supervisor.refuse(request, state, why).await
        }
    };
    if let Err(err) = answered {
        print_stderr(&format!(
            "virtnet: host {action} {host}: cannot answer: {err}"
        ));
    }
}

/// The program has ended: what it has left behind is killed, and what it has sent may still be on its way.
async fn leave(machine: &mut Machine<'_>, supervisor: &mut Supervisor) {
    let state = machine.state();
    let Some(on) = machine.on() else { return };
    on.resume();
    on.program.kill().await;
    let leaving = on.forwarder.idle(LEAVE_WITHIN);
    tokio::pin!(leaving);
    loop {
        tokio::select! {
            _ = &mut leaving => return,
            Ok(request) = supervisor.next() => {
                // Whoever asked is told so as well if this fails.
                let _ = supervisor.refuse(request, state, "its program has ended").await;
            }
        }
    }
}
