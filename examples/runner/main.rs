//! The test that `docker-compose up --exit-code-from runner` runs: an example from which
//! you can start your own.
//!
//! Owns the order of the steps, and the exit code: 0 if everything was as predicted. Never
//! starts or stops a container. With the argument `load` it runs until a signal, for tests
//! that cause faults meanwhile.

mod load;
mod pattern;
mod script;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use virtnet::{Host, SubNetwork};

/// The hosts that must be on the network; each echoes on port 1.
const HOSTS: [&str; 3] = ["α", "β", "γ"];
/// How long to wait for the hosts.
const ARRIVAL: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(err) => {
            eprintln!("runner: {err}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode, Box<dyn Error>> {
    let load = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("load") => true,
        Some(other) => return Err(format!("expected no argument or `load`, got {other:?}").into()),
    };
    let net = virtnet::open().await?;
    let done = tested(&net, load).await;
    // In any case: delivers the written data, and frees the name.
    net.close().await?;
    done
}

async fn tested(net: &SubNetwork, load: bool) -> Result<ExitCode, Box<dyn Error>> {
    let began = Instant::now();
    let host: Host = net.new_host_within("runner", ARRIVAL).await?;
    net.wait_for_hosts(&HOSTS, ARRIVAL).await?;
    println!(
        "network {}: {} are there after {:.0?}",
        net.network(),
        HOSTS.join(", "),
        began.elapsed()
    );
    if load {
        return Ok(load::run(&host).await?);
    }
    Ok(script::run(&host).await?)
}
