//! The command `raft-kv`: a node, or a client of the cluster.
//!
//! Owns options, and that whatever ends the process, the subnetwork is closed and
//! its names are free. Never talks to a node but through the library.

mod commands;
mod signals;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use raft_kv::peers::Peers;

/// A small replicated key-value store on a virtual network.
///
/// Which network that is, virtnet's environment variables say: VIRTNET_REGISTRY
/// and the others.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    #[command(subcommand)]
    command: Command,
    /// The names of all nodes, separated by commas
    #[arg(
        long,
        global = true,
        env = "RAFT_KV_PEERS",
        value_name = "NAMES",
        default_value = "α,β,γ"
    )]
    peers: Peers,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Is one of the nodes, until SIGTERM or SIGINT
    Node {
        /// Which one
        #[arg(long)]
        name: String,
    },
    /// Puts a value under a key, and says which leader acknowledged it
    Put {
        key: String,
        value: String,
        #[command(flatten)]
        client: ClientOptions,
    },
    /// Prints the value under a key; exits with 1 if there is none
    Get {
        key: String,
        #[command(flatten)]
        client: ClientOptions,
    },
    /// Prints one line for each node
    Status {
        #[command(flatten)]
        client: ClientOptions,
    },
    /// Writes k1, k2, … until the end of stdin, SIGTERM or SIGINT, and prints one
    /// line for each acknowledged write
    Load {
        #[command(flatten)]
        client: ClientOptions,
    },
    /// Looks for all writes that load has printed, on every node; exits with 1 if
    /// one is missing
    Check {
        /// The file with load's lines, - for stdin
        #[arg(long, value_name = "FILE")]
        acked: String,
        #[command(flatten)]
        client: ClientOptions,
    },
}

#[derive(Debug, Args)]
struct ClientOptions {
    /// The client's name on the network
    #[arg(long = "as", value_name = "NAME", default_value = "client")]
    name: String,
    /// For how many seconds a put or a get is repeated until it is acknowledged
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = seconds)]
    within: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is no number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|err| err.to_string())
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(why) => return failed(&why),
    };
    let ended = runtime.block_on(run(options));
    // The system may still be looking up a name that nobody answers for, on a
    // thread of the runtime's: that would hold up the end for ten seconds.
    runtime.shutdown_background();
    ended.unwrap_or_else(|why| failed(&*why))
}

async fn run(Options { command, peers }: Options) -> commands::Ended {
    match command {
        Command::Node { name } => commands::node(&name, &peers).await,
        Command::Put { key, value, client } => commands::put(&key, &value, client, peers).await,
        Command::Get { key, client } => commands::get(&key, client, peers).await,
        Command::Status { client } => commands::status(client, peers).await,
        Command::Load { client } => commands::load(client, peers).await,
        Command::Check { acked, client } => commands::check(&acked, client, peers).await,
    }
}

fn failed(why: &dyn std::error::Error) -> ExitCode {
    eprintln!("raft-kv: {why}");
    ExitCode::FAILURE
}
