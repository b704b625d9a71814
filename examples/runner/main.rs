//! The test that `docker-compose up --exit-code-from runner` runs: a test author's
//! part of this project, and a start for your own.
//!
//! Owns the order of what it does, and the exit code: 0 when all was as predicted.
//! Never starts or stops a container. With the argument `load` it goes on until a
//! signal, for tests that break things meanwhile.

mod load;
mod pattern;
mod script;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use virtnet::{Host, SubNetwork};

/// Who must be there; each sends back what it is sent at port 1.
const HOSTS: [&str; 3] = ["α", "β", "γ"];
/// How long the others may take to come up.
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
        Some(other) => return Err(format!("unknown argument {other:?}: there is `load`").into()),
    };
    let net = virtnet::open().await?;
    let done = tested(&net, load).await;
    // Whatever came of it: delivers what was written, and frees the name.
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
