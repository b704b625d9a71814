//! The help: its end, and which of the shared options each subcommand shows.
//!
//! Owns that choice. Never parses an argument.

use clap::CommandFactory;

use super::Cli;

/// The end of `virtnet --help`.
pub(super) const AFTER_HELP: &str = "\
Exit codes:
  0    Success
  1    Failure; one line on stderr says what failed and why
  2    Usage error: an argument, an address or a setting (option or variable) is not
       valid; stderr says which
  129, 130, 143
       Ended by SIGHUP, SIGINT or SIGTERM. The names are freed; an unfinished transfer
       is aborted, so that the peer fails too. run passes them on, and ends as its program
  137  run: SIGKILL ended its program, or `virtnet host kill` did and no restart followed
  141  The reader of stdout closed it, as `head -1` does; nothing is printed. For listen
       and dial this is a failure, as data is lost

Examples:
  virtnet demo                   Run three hosts in this process
  virtnet echo β:1               Start a host that sends back what it receives
  virtnet ping β:1               Measure the round trip to it, from another terminal
  virtnet dial --from α β:1      Send it lines; end with ^D
  virtnet hosts                  Print the hosts of the network
  virtnet expose β:80 --to 127.0.0.1:8080
                                 Put a program that listens there on β
  virtnet proxy --at 127.0.0.1:1080 --from α
                                 Let programs reach all hosts by name
  virtnet fault cut α β --for 30 Cut what α sends to β, for 30 s
  virtnet host pause β           Stop the program of `virtnet run --host β`; then: resume
  virtnet trace show traces      Print what programs with VIRTNET_TRACE=traces did

  source <(virtnet completions bash)
  virtnet man | man -l -";

/// The shared options that a subcommand does not use.
fn unused(subcommand: &str) -> &'static [&'static str] {
    // In this order: for every subcommand, to read the registry, to write what members share, to be a member.
    const ALL: [&str; 15] = [
        "network",
        "verbose",
        "registry",
        "registry_ca",
        "registry_cert",
        "registry_key",
        "secret_file",
        "secret_init_file",
        "lease",
        "silence",
        "bind",
        "advertise",
        "ca",
        "cert",
        "key",
    ];
    match subcommand {
        "keygen" | "completions" | "man" | "supervised" => &ALL,
        "name" | "trace" => &ALL[1..],
        "hosts" | "wait" => &ALL[6..],
        "host" | "fault" | "faults" | "follow" => &ALL[8..],
        _ => &[],
    }
}

/// The whole command. The help of each subcommand hides the shared options that it accepts
/// but does not use.
pub(crate) fn command() -> clap::Command {
    let mut command = Cli::command();
    // Copies the shared options into each subcommand.
    command.build();
    let names = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned());
    for name in names.collect::<Vec<_>>() {
        let hidden = unused(&name);
        command = command.mut_subcommand(name, |sub| hide(sub, hidden));
    }
    command
}

/// Hides these options in the help of a subcommand, and of its own subcommands.
fn hide(command: clap::Command, hidden: &[&str]) -> clap::Command {
    let mut command = command.mut_args(|arg| match hidden.contains(&arg.get_id().as_str()) {
        true => arg.hide(true),
        false => arg,
    });
    let names = command.get_subcommands();
    let names: Vec<_> = names.map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        // Of what is done with traces, only this reads the registry.
        let hidden = match &*name {
            "follow" => unused("follow"),
            _ => hidden,
        };
        command = command.mut_subcommand(name, |sub| hide(sub, hidden));
    }
    command
}
