//! A fresh process for one measurement, or for its server.
//!
//! Owns which contender does it, the runtime, and the bound on it all. Never
//! outlives its driver for long.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::contender::chunks::Chunks;
use crate::contender::first_bytes::FirstBytes;
#[cfg(feature = "iroh")]
use crate::contender::irohs::Iroh;
use crate::contender::pipe::Pipe;
use crate::contender::quic::Quinn;
use crate::contender::ruled::Ruled;
use crate::contender::tcp::Tcp;
use crate::contender::tls::TcpTls;
use crate::contender::traced::Traced;
use crate::contender::virt::Virtnet;
use crate::contender::{self, Contender, Server};
use crate::spec::{Metric, Spec};
use crate::work;

/// What any measurement must have ended within.
pub const LIMIT: Duration = Duration::from_secs(90);

/// As many workers as the machines have cores that the goals are set for.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?)
}

/// Measures, prints the numbers as a line of JSON, and ends the process without
/// a close: closing is not what is measured.
pub fn cell(spec: &str) -> Result<()> {
    let spec: Spec = serde_json::from_str(spec).context("a spec")?;
    // Not dropped: it would cut short what closes in the background.
    let runtime = runtime()?;
    // As a task: what is blocked on runs on this thread, which would be a third
    // beside the workers.
    let measured = runtime.spawn(async move {
        tokio::time::timeout(LIMIT, by_name(&spec, Part::Client))
            .await
            .with_context(|| format!("not done within {LIMIT:?}"))?
    });
    let metrics = runtime.block_on(measured)??;
    println!("{}", serde_json::to_string(&metrics)?);
    std::io::stdout().flush()?;
    std::process::exit(0);
}

/// Prints how it is reached, and serves until the driver closes stdin.
pub fn serve(spec: &str) -> Result<()> {
    let spec: Spec = serde_json::from_str(spec).context("a spec")?;
    let runtime = runtime()?;
    runtime.block_on(by_name(&spec, Part::Server))?;
    let _ = std::io::stdin().read(&mut [0]);
    std::process::exit(0);
}

#[derive(Clone, Copy)]
enum Part {
    Client,
    Server,
}

async fn by_name(spec: &Spec, part: Part) -> Result<Vec<Metric>> {
    if let Some(measured) = work::registry::measure(spec).await {
        return measured;
    }
    if let Some(measured) = work::mesh::measure(spec).await {
        return measured;
    }
    if let Some(measured) = work::faults::measure(spec).await {
        return measured;
    }
    match spec.contender.as_str() {
        "virtnet" => run::<Virtnet>(spec, part).await,
        "virtnet-16-accepts" => run::<Virtnet<16>>(spec, part).await,
        "virtnet-first-bytes" => run::<FirstBytes>(spec, part).await,
        "virtnet-1000-rules" => run::<Ruled>(spec, part).await,
        "virtnet-traced" => run::<Traced<false>>(spec, part).await,
        "virtnet-traced-live" => run::<Traced<true>>(spec, part).await,
        "virtnet-pipe" => run::<Pipe>(spec, part).await,
        "quinn" => run::<Quinn<false>>(spec, part).await,
        "quinn-tuned" => run::<Quinn<true>>(spec, part).await,
        "quinn-tuned-chunks" => run::<Chunks>(spec, part).await,
        "tcp" => run::<Tcp>(spec, part).await,
        "tcp-tls" => run::<TcpTls>(spec, part).await,
        #[cfg(feature = "iroh")]
        "iroh" => run::<Iroh>(spec, part).await,
        other => bail!("there is no contender {other:?}"),
    }
}

async fn run<C: Contender>(spec: &Spec, part: Part) -> Result<Vec<Metric>> {
    match part {
        Part::Client => work::measure::<C>(spec).await,
        Part::Server => {
            let (server, ticket) = C::Server::start(spec).await?;
            contender::serve::<C>(spec, server);
            println!("{}", serde_json::to_string(&ticket)?);
            std::io::stdout().flush()?;
            Ok(Vec::new())
        }
    }
}
