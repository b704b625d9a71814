//! The subcommands: their arguments and exit codes.
//!
//! Owns the exit codes: 0 for success, 1 for a failure and 2 for a usage error, each with
//! one line on stderr, and 128 plus the signal's number for a signal. Never does a
//! subcommand's work: each has a file of its own.

mod abort_on_drop;
mod demo;
mod echo;
mod events;
mod exit;
mod fault;
mod forward;
mod help;
mod host;
mod hosts;
mod keygen;
mod log;
mod manual;
mod name;
mod options;
mod output;
mod ping;
mod progress;
#[cfg(target_os = "linux")]
mod run;
mod session;
mod stdio;
mod trace;
mod trace_follow;
mod trace_show;
mod transfer;
mod wait;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, FromArgMatches, Parser, Subcommand};

use exit::Exit;
use options::{Options, seconds};
use output::print_stderr;
use session::Signals;

/// Virtual networks of named hosts with predictable addresses, for testing
/// distributed systems across real machines.
#[derive(Debug, Parser)]
#[command(name = "virtnet", version, arg_required_else_help = true)]
#[command(after_long_help = help::AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run three hosts on two subnetworks in this process, and print every event
    ///
    /// Compares every event with the expected one; the output is the same on every run.
    /// Uses QUIC on loopback, a registry in memory and a random secret, unless you set
    /// others.
    Demo {
        /// Print one JSON object per line, with "event", "src" and "dst"
        #[arg(long)]
        json: bool,
    },
    /// Print a new secret for a network
    ///
    /// Give it to every process of the network. With local: you need none.
    Keygen {
        /// Write it to a new file that only you can read, instead of stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Accept one connection at ADDRESS, and connect it to stdin and stdout
    ///
    /// Creates the host of ADDRESS. The end of stdin half-closes the connection; data from
    /// the peer still goes to stdout. When the peer half-closes, stdin is still sent.
    /// Ends when both directions have ended.
    Listen {
        /// The address to listen on, such as β:1; port 0 is the lowest free port
        address: String,
        #[command(flatten)]
        name: NameWait,
    },
    /// Accept connections at ADDRESS, and send back all data
    ///
    /// Creates the host of ADDRESS, and runs until SIGTERM or SIGINT. Prints a line when a
    /// connection opens and when it ends.
    Echo {
        /// The address to listen on, such as β:1; port 0 is the lowest free port
        address: String,
        #[command(flatten)]
        name: NameWait,
    },
    /// Dial ADDRESS, and connect the connection to stdin and stdout
    ///
    /// Creates the host of --from. Ends as `virtnet listen` does.
    Dial {
        /// The host to create and dial from [env: VIRTNET_HOST; a random suffix is added
        /// while that name is in use] [default: a random name]
        #[arg(long, value_name = "HOST")]
        from: Option<String>,
        /// The address to dial, such as β:1
        address: String,
        #[command(flatten)]
        name: NameWait,
    },
    /// Let connections to a virtual address lead to a program of this machine
    ///
    /// Creates the hosts of all ADDRESS, and runs until SIGTERM or SIGINT, which reset open
    /// connections at both ends. Prints a line about each forward, then "ready". The program need not
    /// run yet. See docs/programs.md.
    Expose {
        #[command(flatten)]
        expose: forward::ExposeArgs,
        #[command(flatten)]
        shared: forward::Shared,
    },
    /// Let programs of this machine reach a virtual address through a local socket
    ///
    /// Creates the host of --from, and runs until SIGTERM or SIGINT, which reset open
    /// connections at both ends. Prints a line about each forward, then "ready". A program's
    /// connection is accepted before the dial: it is reset if the dial fails, and a warning says why.
    /// See docs/programs.md.
    Reach {
        #[command(flatten)]
        reach: forward::ReachArgs,
        #[command(flatten)]
        shared: forward::Shared,
    },
    /// Let programs reach all virtual addresses by name, through SOCKS5 or HTTP CONNECT
    ///
    /// One socket for both. Names are resolved by the network: use socks5h://, not socks5://. Answers
    /// after the dial: refused is 5 in SOCKS5, no such host 4, timed out 6; HTTP has 502, 503 or 504 with
    /// the reason. Runs until SIGTERM or SIGINT. See docs/programs.md.
    Proxy {
        #[command(flatten)]
        proxy: forward::ProxyArgs,
        #[command(flatten)]
        shared: forward::Shared,
    },
    /// Run many forwards in one process, from a file
    ///
    /// Each line has the words of `virtnet expose`, `reach` or `proxy`, such as "expose β:5432 --to
    /// 127.0.0.1:5432"; # begins a comment.
    Forward {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        shared: forward::Shared,
    },
    /// Run a program as a virtual host, with its forwards
    ///
    /// Creates the host, starts the forwards, then the program; passes signals on to it, and ends with its
    /// exit code (128 plus the signal's number if a signal ended it, 126 or 127 if it cannot be started).
    /// Programs that it leaves behind are killed. It is killed if this process is. `virtnet host` kills, pauses,
    /// resumes and restarts it from anywhere on the network. See docs/programs.md.
    #[cfg(target_os = "linux")]
    Run(run::RunArgs),
    /// Becomes a program that ends with its parent
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Supervised(run::Supervised),
    /// Kill, pause, resume or restart the program of a host, on whichever machine it runs
    ///
    /// For hosts of `virtnet run`. Returns when that has done it, or fails and says why. Works while faults
    /// are set, also on that host. Needs the registry and the members' secret. See docs/programs.md.
    #[command(subcommand)]
    Host(host::HostCommand),
    /// Print the hosts of the network: name, address, lease or process, owner
    ///
    /// Prints aligned columns to a terminal, tab-separated columns otherwise. With local:
    /// the third column is the process that holds the name; with Redis it is the time left
    /// of the name's lease, which its process renews as long as it runs. The owner
    /// identifies one subnetwork of one process. Warns on stderr of entries that it cannot
    /// read. Needs no secret.
    Hosts {
        /// Print one JSON object per line, with "host", "address", "lease_ms",
        /// "owner" and "pid"
        #[arg(long)]
        json: bool,
    },
    /// Wait until all of these hosts are on the network
    ///
    /// Succeeds when each host has been seen once; otherwise fails, and names the missing
    /// hosts. Also waits for a registry that is not up yet. Needs no secret.
    Wait {
        /// The names of the hosts
        #[arg(required = true, value_name = "HOST")]
        hosts: Vec<String>,
        /// How long to wait
        #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
        timeout: Duration,
    },
    /// Dial a host repeatedly, and print how long each dial takes
    ///
    /// A name without a port, such as β, needs no listener: the dial goes to port 0, and the
    /// host's refusal is the answer. With a port, such as β:1, a listener must accept each
    /// dial and send the data back, as `virtnet echo` does. The first dial opens a QUIC
    /// connection, which later dials share. Fails if any dial is not answered.
    Ping(ping::Ping),
    /// Set or heal faults between hosts: cut, hold, refuse, reset, delay, lose and others
    ///
    /// Takes effect in all processes of the network that have the hosts; returns when all of them
    /// have acknowledged it, or fails and names the others. A fault that is set needs an end: --for
    /// a number of seconds, or --until-healed. Needs the registry and the members' secret. See docs/faults.md.
    #[command(subcommand)]
    Fault(fault::Fault),
    /// Print the faults that are set, what each has done so far, and who does not enforce them
    ///
    /// Prints aligned columns to a terminal, tab-separated columns otherwise: the rule, how many
    /// datagrams, dials, connections or bytes it was asked about, to how many it did something, and
    /// how long it stays. Needs the registry and the members' secret.
    Faults {
        /// Print one JSON object per line, with "rule", "matched", "hit", "holder" and "lease_ms"
        #[arg(long)]
        json: bool,
    },
    /// Merge and show traces: what happened on the network, in causal order
    ///
    /// Programs write them to the folder that VIRTNET_TRACE names, each subnetwork one file. Needs no
    /// network. See docs/trace.md.
    #[command(subcommand)]
    Trace(trace::TraceCommand),
    /// Print a script for shell completion
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual pages of the command and its subcommands
    Man,
    /// Print the DNS name that your certificate must contain for HOST
    Name {
        /// The name of the host
        host: String,
    },
}

impl Cli {
    /// Parses the process's arguments. A usage error ends the process here, with a message
    /// and exit code 2.
    pub(crate) fn read() -> Cli {
        let matches = help::command().get_matches();
        Cli::from_arg_matches(&matches).unwrap_or_else(|err| err.exit())
    }
}

/// How to get the name of the host that a subcommand creates.
#[derive(Debug, Args)]
struct NameWait {
    /// How long to wait while the host's name is in use. With Redis, the name of a killed
    /// process is in use until its lease ends
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
        Err(Exit::Failed(line)) => {
            print_stderr(&format!("virtnet: {line}"));
            1
        }
        Err(Exit::Usage(line)) => {
            print_stderr(&format!("virtnet: {line}"));
            2
        }
        Err(Exit::Signal(number)) => 128 + number,
        Err(Exit::Program(code)) => code,
    }
}

async fn dispatch(cli: Cli, signals: &mut Signals) -> Result<(), Exit> {
    let options = cli.options;
    log::start(options.verbose());
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
        Command::Expose { expose, shared } => {
            let specs = expose.specs(&options.network()?)?;
            Box::pin(forward::forward(options, specs, shared, signals)).await
        }
        Command::Reach { reach, shared } => {
            let specs = reach.specs(&options.network()?)?;
            Box::pin(forward::forward(options, specs, shared, signals)).await
        }
        Command::Proxy { proxy, shared } => {
            let specs = proxy.specs(&options.network()?)?;
            Box::pin(forward::forward(options, specs, shared, signals)).await
        }
        Command::Forward { file, shared } => {
            let specs = forward::read_file(&options.network()?, &file)?;
            Box::pin(forward::forward(options, specs, shared, signals)).await
        }
        #[cfg(target_os = "linux")]
        Command::Run(args) => Box::pin(run::run(options, args, signals)).await,
        #[cfg(target_os = "linux")]
        Command::Supervised(supervised) => Err(supervised.run()),
        Command::Host(command) => host::host(options, command, signals).await,
        Command::Hosts { json } => hosts::hosts(options, json, signals).await,
        Command::Wait { hosts, timeout } => wait::wait(options, hosts, timeout, signals).await,
        Command::Ping(ping) => ping::ping(options, ping, signals).await,
        Command::Fault(fault) => fault::fault(options, fault, signals).await,
        Command::Faults { json } => fault::faults(options, json, signals).await,
        Command::Trace(command) => trace::trace(options, command, signals).await,
        Command::Completions { shell } => manual::completions(shell),
        Command::Man => manual::man(),
        Command::Name { host } => {
            let network = options.network()?;
            let addr = name::host(&network, &host)?;
            output::print(&virtnet::quic::dns_name(addr.network(), addr.host()))
        }
    }
}
