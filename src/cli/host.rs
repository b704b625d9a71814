//! `virtnet host`: kills, pauses, resumes and restarts the programs of hosts.
//!
//! Owns the words, and who is said to ask. Never does it: the host's `virtnet run` does, on whichever
//! machine.

use std::time::Duration;

use clap::{Args, Subcommand};
use virtnet::supervision::Action;

use super::exit::Exit;
use super::name;
use super::options::{Options, seconds};
use super::output::print;
use super::session::Signals;

/// What to do with a host.
#[derive(Debug, Subcommand)]
pub(crate) enum HostCommand {
    /// Kill the program and all that it has started, and crash the host: its peers hear nothing
    ///
    /// Its `virtnet run` stays, so that the host can be restarted; a signal ends it, with exit code 137. A
    /// second kill changes nothing.
    Kill(Target),
    /// Stop the program, all that it has started, and its forwards: its peers wait, and nothing ends
    ///
    /// A second pause changes nothing.
    Pause(Target),
    /// Let what was paused go on
    ///
    /// Changes nothing if nothing was. Fails if the program was killed.
    Resume(Target),
    /// Kill the program, unless that was done, and start it again
    ///
    /// The host has its name, its forwards and the program's variables as before, and ports from 1.
    Restart(Target),
    /// Print the hosts that can be asked for, and whether they are running, paused or killed
    List,
}

#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The name of the host
    host: String,
    /// How long its supervisor may take
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    within: Duration,
}

pub(crate) async fn host(
    options: Options,
    command: HostCommand,
    signals: &mut Signals,
) -> Result<(), Exit> {
    let asked = match &command {
        HostCommand::Kill(target) => Some((Action::Kill, target)),
        HostCommand::Pause(target) => Some((Action::Pause, target)),
        HostCommand::Resume(target) => Some((Action::Resume, target)),
        HostCommand::Restart(target) => Some((Action::Restart, target)),
        HostCommand::List => None,
    };
    let network = options.network()?;
    // Before anything is connected to: a wrong name is a usage error.
    let asked = match asked {
        Some((action, target)) => Some((action, name::host(&network, &target.host)?, target)),
        None => None,
    };
    let observer = options.shared_config()?.observer();
    let supervision = signals.or(observer.supervision()).await??;
    let Some((action, addr, target)) = asked else {
        let hosts = signals.or(supervision.hosts()).await??;
        let mut lines = hosts
            .iter()
            .map(|found| format!("{}\t{}", found.host, found.state));
        return lines.try_for_each(|line| print(&line));
    };
    let supervision = supervision.within(target.within).by(&who());
    signals.or(supervision.ask(action, addr.host())).await??;
    Ok(())
}

/// This process, as the host's supervisor names it.
fn who() -> String {
    let process = format!("process {}", std::process::id());
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(machine) => format!("{process} on {}", machine.trim_end()),
        Err(_) => process,
    }
}
