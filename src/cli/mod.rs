//! The subcommands: what there is, and how each ends.
//!
//! Owns the arguments and the exit codes: 0 for success, 1 for a failure with
//! one line on stderr, 2 for what can't be asked for, 128 and the signal's number
//! for a signal. Each subcommand has a file of its own.

mod copy;
mod demo;
mod echo;
mod end;
mod events;
mod hosts;
mod keygen;
mod manual;
mod name;
mod options;
mod ping;
mod progress;
mod session;
mod stdio;
mod trace;
mod transfer;
mod wait;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use end::{End, say};
use options::{Options, seconds};
use session::Signals;

/// What `virtnet --help` ends with.
const LESSON: &str = "\
Try it:
  virtnet demo                        three hosts talk, every event as predicted
  virtnet echo β:1                    in one terminal: a host that sends back
  virtnet ping β:1                    in another one: how long there and back takes
  virtnet dial --from α β:1           lines come back; ^D ends it
  virtnet hosts                       who is on the network, and where

Exit codes:
  0    it is done
  1    it failed: one line on stderr says what and why
  2    it can't be asked for: bad usage, or an address or a setting that can be none,
       in an option or a variable; one line says which
  129  ended by SIGHUP, 130 by SIGINT, 143 by SIGTERM: names are free, and a copy that
       was not over is cut, so that its peer fails, too
  141  nobody reads its output any more, as after `| head -1`: nothing is said

Completions: `source <(virtnet completions bash)`. Manual: `virtnet man | man -l -`.";

/// Virtual networks of named hosts with predictable addresses, for testing
/// distributed systems across real machines.
#[derive(Debug, Parser)]
#[command(name = "virtnet", version, arg_required_else_help = true)]
#[command(after_long_help = LESSON)]
pub(crate) struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a network does: hosts on two subnetworks, over QUIC on loopback
    ///
    /// Every event is compared with what it must be, and is the same on every
    /// run. The registry is in memory and the secret random, unless they are
    /// given.
    Demo {
        /// Print one JSON object a line, with "event", "src" and "dst"
        #[arg(long)]
        json: bool,
    },
    /// Print a new secret for the members of a network, which with local: they
    /// need not be given
    Keygen {
        /// Write it to a new file that only its owner can read, in place of stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Create the host of ADDRESS, accept one connection there, and join it to
    /// stdin and stdout
    ///
    /// The end of stdin half-closes the connection: what the other side still
    /// sends is written to stdout. Ends once both directions have. When the
    /// other side sends no more it may still read, so stdin goes on being sent.
    Listen {
        /// Where to listen, as β:1; port 0 takes the lowest free one
        address: String,
        #[command(flatten)]
        name: Name,
    },
    /// Create the host of ADDRESS and send back whatever comes there, on any
    /// number of connections, until SIGTERM or SIGINT
    ///
    /// Says on stdout what comes and goes. A partner for first tests, and what
    /// the hosts of the project's docker-compose.yml do.
    Echo {
        /// Where to listen, as β:1; port 0 takes the lowest free one
        address: String,
        #[command(flatten)]
        name: Name,
    },
    /// Create a host, connect it to ADDRESS, and join the connection to stdin
    /// and stdout
    ///
    /// It ends as `virtnet listen` does.
    Dial {
        /// The host to dial from, which is created [env: VIRTNET_HOST, or a name that
        /// begins so while that is taken] [default: a name that is random]
        #[arg(long, value_name = "HOST")]
        from: Option<String>,
        /// Where to connect to, as β:1
        address: String,
        #[command(flatten)]
        name: Name,
    },
    /// List the network's hosts: name, address, what holds the name, owner
    ///
    /// In columns on a terminal, with tabs between them otherwise. With local:
    /// a name is held by a process; with Redis for the time left of its lease,
    /// which its process renews as long as it lives;
    /// an owner is one process's part of the network. Entries that cannot be read
    /// are warned of on stderr. Needs no secret.
    Hosts {
        /// Print one JSON object a line, with "host", "address", "lease_ms",
        /// "owner" and "pid"
        #[arg(long)]
        json: bool,
    },
    /// Wait until all of these hosts are there
    ///
    /// Ends with success once each has been there, and otherwise says who is
    /// missing. A registry that is not there yet is waited for as well. Needs no
    /// secret.
    Wait {
        /// The hosts' names
        #[arg(required = true, value_name = "HOST")]
        hosts: Vec<String>,
        /// How long to wait
        #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
        timeout: Duration,
    },
    /// Dial a host again and again, and say how long that takes
    ///
    /// A host alone, as β, is dialed on port 0, where nothing ever listens: that it
    /// refuses is its answer. With a port, as β:1, each dial is accepted by what listens
    /// there, and `virtnet echo` sends back what it is sent. The first dial makes a
    /// connection, which the later ones share. Fails when any was not answered.
    Ping(ping::Ping),
    /// Print a script that completes the command's arguments
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual: the command's page, then those of its subcommands
    Man,
    /// Print the DNS name that a certificate of your own must hold for HOST
    Name {
        /// The host's name
        host: String,
    },
}

/// The options that a subcommand has no use for; of all others, none.
fn unused(subcommand: &str) -> &'static [&'static str] {
    // In groups: for all, to see the registry, to be a member.
    const ALL: [&str; 14] = [
        "network",
        "verbose",
        "registry",
        "registry_ca",
        "registry_cert",
        "registry_key",
        "lease",
        "secret_file",
        "secret_init_file",
        "bind",
        "advertise",
        "ca",
        "cert",
        "key",
    ];
    match subcommand {
        "keygen" | "completions" | "man" => &ALL,
        "name" => &ALL[1..],
        "hosts" | "wait" => &ALL[6..],
        _ => &[],
    }
}

/// The whole command, with each subcommand's help as it is to be: without the options
/// that it takes, as all do, and does not use.
pub(crate) fn command() -> clap::Command {
    let mut command = Cli::command();
    // From here on each has the options of all.
    command.build();
    let names = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned());
    for name in names.collect::<Vec<_>>() {
        let hidden = unused(&name);
        command = command.mut_subcommand(name, |sub| {
            sub.mut_args(|arg| match hidden.contains(&arg.get_id().as_str()) {
                true => arg.hide(true),
                false => arg,
            })
        });
    }
    command
}

impl Cli {
    /// Reads the process's arguments. Bad usage ends it here, with what is wrong and exit
    /// code 2.
    pub(crate) fn read() -> Cli {
        let matches = command().get_matches();
        Cli::from_arg_matches(&matches).unwrap_or_else(|err| err.exit())
    }
}

/// How the name of the own host is got.
#[derive(Debug, Args)]
struct Name {
    /// How long to wait for the host's name while it is taken, as on Redis that
    /// of a process that was killed is until its lease is over
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    within: Duration,
}

/// Runs a subcommand to its end and returns the exit code.
pub(crate) async fn run(cli: Cli) -> i32 {
    let done = match Signals::new() {
        Ok(mut signals) => dispatch(cli, &mut signals).await,
        Err(err) => Err(err.into()),
    };
    match done {
        Ok(()) => 0,
        Err(End::Failed(line)) => {
            say(&format!("virtnet: {line}"));
            1
        }
        Err(End::Misused(line)) => {
            say(&format!("virtnet: {line}"));
            2
        }
        Err(End::Signal(number)) => 128 + number,
    }
}

async fn dispatch(cli: Cli, signals: &mut Signals) -> Result<(), End> {
    let options = cli.options;
    trace::start(options.verbose());
    match cli.command {
        Command::Demo { json } => demo::demo(options, json, signals).await,
        Command::Keygen { out } => keygen::keygen(out.as_deref()),
        Command::Listen { address, name } => {
            transfer::listen(options, address, name.within, signals).await
        }
        Command::Echo { address, name } => echo::echo(options, address, name.within, signals).await,
        Command::Dial {
            from,
            address,
            name,
        } => transfer::dial(options, (from.as_deref(), name.within), address, signals).await,
        Command::Hosts { json } => hosts::hosts(options, json, signals).await,
        Command::Wait { hosts, timeout } => wait::wait(options, hosts, timeout, signals).await,
        Command::Ping(ping) => ping::ping(options, ping, signals).await,
        Command::Completions { shell } => manual::completions(shell),
        Command::Man => manual::man(),
        Command::Name { host } => {
            let network = options.network()?;
            let addr = name::host(&network, &host)?;
            end::print(&virtnet::quic::dns_name(addr.network(), addr.host()))
        }
    }
}
