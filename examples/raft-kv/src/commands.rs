//! The subcommands: what each prints, and how it ends.
//!
//! Owns the lines on stdout and stderr and the exit codes. Never retries: the
//! client does.

use std::error::Error;
use std::io::{self, Read};
use std::process::ExitCode;
use std::time::Duration;

use raft_kv::client::Client;
use raft_kv::load::Tally;
use raft_kv::node::Node;
use raft_kv::peers::Peers;
use raft_kv::{check as checking, load as loading};
use tokio::sync::oneshot;
use virtnet::SubNetwork;

use crate::ClientOptions;
use crate::signals::Signals;

pub(crate) type Ended = Result<ExitCode, Box<dyn Error>>;

/// How long the other nodes may take to come up.
const PEERS_WITHIN: Duration = Duration::from_secs(60);

/// Joins the network, works, and closes what was joined: whatever happened, the
/// names are free afterwards.
async fn joined(work: impl AsyncFnOnce(&SubNetwork, &mut Signals) -> Ended) -> Ended {
    let mut signals = Signals::new()?;
    let subnet = tokio::select! {
        subnet = virtnet::open() => subnet?,
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    let worked = work(&subnet, &mut signals).await;
    // A connection that was cut off keeps what was never delivered, and closing
    // says so. Here that is no failure: it was asked again elsewhere.
    if let Err(why) = subnet.close().await {
        eprintln!("raft-kv: {why}");
    }
    worked
}

/// The same, with a client on a host of its own, and until asked to end.
async fn with_client(
    options: ClientOptions,
    peers: Peers,
    work: impl AsyncFnOnce(Client) -> Ended,
) -> Ended {
    joined(async |subnet, signals| {
        let working = async {
            let host = subnet.new_host(&options.name).await?;
            let client = Client::new(host, peers).within(options.within);
            work(client.on_retry(|why| eprintln!("retry: {why}"))).await
        };
        tokio::select! {
            worked = working => worked,
            () = signals.next() => Ok(ExitCode::SUCCESS),
        }
    })
    .await
}

pub(crate) async fn node(name: &str, peers: &Peers) -> Ended {
    joined(async |subnet, signals| {
        let mut node = Node::start(subnet, name, peers).await?;
        println!("{name} is up");
        let running = async {
            subnet.wait_for_hosts(peers.names(), PEERS_WITHIN).await?;
            println!("{name} sees {}", peers.names().join(" "));
            node.initialize().await?;
            Err(node.run(|line| println!("{line}")).await.into())
        };
        let ended = tokio::select! {
            ended = running => ended,
            () = signals.next() => Ok(ExitCode::SUCCESS),
        };
        node.stop().await;
        ended
    })
    .await
}

pub(crate) async fn put(key: &str, value: &str, options: ClientOptions, peers: Peers) -> Ended {
    with_client(options, peers, async |mut client| {
        let node = client.put(key, value).await?;
        println!("acked {key} by {node}");
        Ok(ExitCode::SUCCESS)
    })
    .await
}

pub(crate) async fn get(key: &str, options: ClientOptions, peers: Peers) -> Ended {
    with_client(options, peers, async |mut client| {
        match client.get(key).await? {
            Some(value) => println!("{value}"),
            None => {
                eprintln!("raft-kv: nothing under {key:?}");
                return Ok(ExitCode::FAILURE);
            }
        }
        Ok(ExitCode::SUCCESS)
    })
    .await
}

pub(crate) async fn status(options: ClientOptions, peers: Peers) -> Ended {
    with_client(options, peers, async |client| {
        for node in client.names() {
            match client.status(&node).await {
                Ok(status) => println!("{status}"),
                Err(why) => println!("{node} unreachable: {why}"),
            }
        }
        Ok(ExitCode::SUCCESS)
    })
    .await
}

pub(crate) async fn load(options: ClientOptions, peers: Peers) -> Ended {
    let mut stdin_ended = stdin_ended();
    let mut tally = Tally::default();
    let counted = &mut tally;
    let ended = with_client(options, peers, async |mut client| {
        let acked = |line: &str| println!("{line}");
        let failed = |line: &str| eprintln!("{line}");
        tokio::select! {
            () = loading::run(&mut client, counted, acked, failed) => {}
            _ = &mut stdin_ended => {}
        }
        Ok(ExitCode::SUCCESS)
    })
    .await;
    let (acked, failed) = (tally.acknowledged, tally.failed);
    eprintln!("{acked} writes acknowledged, {failed} given up");
    ended
}

pub(crate) async fn check(acked: &str, options: ClientOptions, peers: Peers) -> Ended {
    let record = match acked {
        "-" => io::read_to_string(io::stdin())?,
        path => std::fs::read_to_string(path).map_err(|err| format!("{path}: {err}"))?,
    };
    let keys = loading::acknowledged(&record)
        .map_err(|line| format!("{acked}: {line:?} is no line that load prints"))?;
    with_client(options, peers, async |mut client| {
        let report = checking::check(&mut client, &keys).await;
        println!("{report}");
        Ok(match report.is_good() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    })
    .await
}

/// Resolves at the end of stdin. A thread of its own waits for it, as a runtime
/// would not end while one of its threads reads.
fn stdin_ended() -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut buffer = [0; 256];
        while stdin.read(&mut buffer).is_ok_and(|count| count > 0) {}
        // Nobody waits any more when a signal was faster.
        let _ = ended.send(());
    });
    end
}
