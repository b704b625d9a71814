//! The run: every work, round by round, each contender once a round.
//!
//! Owns the order, the processes and what they report. Never measures itself.

use std::io::IsTerminal;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::Run;
use crate::child::LIMIT;
use crate::netns::{self, Namespaces};
use crate::plan::{WORKS, Work, is_built, is_meant};
use crate::server::RedisServer;
use crate::spec::{Metric, Spec, is_two_processes};
use crate::stats::Row;

/// Values of one number of one contender, one a round.
struct Series {
    work: String,
    contender: String,
    unit: String,
    values: Vec<f64>,
}

/// Runs what was asked for; returns the rows, and how many measurements failed.
pub async fn all(options: &Run) -> Result<(Vec<Row>, usize)> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    // Dropping the run ends all that it started.
    tokio::select! {
        done = every_work(options) => done,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn every_work(options: &Run) -> Result<(Vec<Row>, usize)> {
    for name in &options.only {
        let known = WORKS.iter().any(|work| is_meant(work, name));
        ensure!(known, "there is no work {name:?}");
    }
    let redis = RedisServer::start().await?;
    let is_asked = |work: &&Work| {
        let only = &options.only;
        only.is_empty() || only.iter().any(|name| is_meant(work, name))
    };
    let mut run = Running {
        options,
        redis,
        namespaces: None,
        series: Vec::new(),
        cells: 0,
        failed: 0,
    };
    for work in WORKS.iter().filter(is_asked) {
        if work.name.ends_with("-1500") {
            match Namespaces::make().await {
                Ok(made) => run.namespaces = Some(made),
                Err(err) => {
                    eprintln!("{} is left out, it needs root: {err:#}", work.name);
                    continue;
                }
            }
        }
        run.work(work).await;
        run.namespaces = None;
    }
    let rows = run.series.iter();
    let rows = rows.map(|s| Row::of(&s.work, &s.contender, &s.unit, &s.values));
    Ok((rows.collect(), run.failed))
}

struct Running<'a> {
    options: &'a Run,
    redis: RedisServer,
    /// Where the work is done, if not here.
    namespaces: Option<Namespaces>,
    series: Vec<Series>,
    cells: usize,
    failed: usize,
}

impl Running<'_> {
    async fn work(&mut self, work: &Work) {
        let rounds = self.options.rounds();
        let asked = &self.options.contenders;
        let contenders = work.contenders.iter().copied();
        let mut contenders: Vec<&str> = contenders
            .filter(|name| is_built(name) && (asked.is_empty() || asked.iter().any(|a| a == name)))
            .collect();
        if contenders.is_empty() {
            return;
        }
        let (start, shown) = (Instant::now(), std::io::stderr().is_terminal());
        for round in 1..=rounds {
            if shown {
                eprint!("\r\x1b[K{} {round}/{rounds}", work.name);
            }
            for contender in &contenders {
                match self.cell(work, contender).await {
                    Ok(metrics) => self.add(metrics),
                    Err(err) => {
                        self.failed += 1;
                        eprintln!("{} of {contender} failed: {err:#}", work.name);
                    }
                }
            }
            // Who comes after whom changes from round to round.
            contenders.rotate_left(1);
        }
        let clear = if shown { "\r\x1b[K" } else { "" };
        let took = start.elapsed().as_secs_f64();
        eprintln!("{clear}{}: {rounds} rounds, {took:.1} s", work.name);
    }

    fn add(&mut self, metrics: Vec<Metric>) {
        for metric in metrics {
            let is_it = |s: &&mut Series| s.work == metric.work && s.contender == metric.contender;
            match self.series.iter_mut().find(is_it) {
                Some(series) => series.values.push(metric.value),
                None => self.series.push(Series {
                    work: metric.work,
                    contender: metric.contender,
                    unit: metric.unit,
                    values: vec![metric.value],
                }),
            }
        }
    }

    /// One measurement, in a process of its own, or in two.
    async fn cell(&mut self, work: &Work, contender: &str) -> Result<Vec<Metric>> {
        self.cells += 1;
        let mut spec = Spec {
            work: work.name.to_owned(),
            contender: contender.to_owned(),
            quick: self.options.quick,
            redis: self.redis.url.clone(),
            network: format!("bench{}", self.cells),
            ip: [127, 0, 0, 1].into(),
            ticket: None,
        };
        let (mut at_server, mut at_client) = (Vec::new(), Vec::new());
        if let Some(made) = &self.namespaces {
            spec.redis.clone_from(&made.redis.url);
            spec.ip = netns::SERVER.into();
            (at_server, at_client) = (made.at_server(), made.at_client());
        }
        let mut server = None;
        if is_two_processes(work.name) {
            let started = timeout(LIMIT, start_server(&spec, &at_server)).await;
            let (process, ticket) = started.context("the server does not start")??;
            spec.ticket = Some(ticket);
            server = Some(process);
        }
        if self.namespaces.is_some() {
            spec.ip = netns::CLIENT.into();
        }
        // A process has some time beyond its own limit to say what was late.
        let limit = LIMIT + Duration::from_secs(5);
        let measured = timeout(limit, measure(&spec, &at_client)).await;
        drop(server);
        measured.context("the process hangs")?
    }
}

/// This program with a hidden subcommand, behind a command that runs it
/// elsewhere.
fn this_program(before: &[&str], part: &str, spec: &Spec) -> Result<Command> {
    let exe = std::env::current_exe()?;
    let mut command = match before {
        [] => Command::new(exe),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(exe);
            command
        }
    };
    command
        // With it each error would be paid for, also those that are expected.
        .env("RUST_BACKTRACE", "0")
        .arg(part)
        .arg(serde_json::to_string(spec)?)
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

async fn measure(spec: &Spec, before: &[&str]) -> Result<Vec<Metric>> {
    let mut command = this_program(before, "cell", spec)?;
    let mut child = command.stdin(Stdio::null()).spawn()?;
    let mut text = String::new();
    let mut stdout = child.stdout.take().context("stdout is piped")?;
    stdout.read_to_string(&mut text).await?;
    let status = child.wait().await?;
    ensure!(status.success(), "{status}");
    serde_json::from_str(&text).with_context(|| format!("numbers: {text:?}"))
}

/// The process serves as long as its stdin is open.
async fn start_server(spec: &Spec, before: &[&str]) -> Result<((Child, ChildStdin), String)> {
    let mut command = this_program(before, "serve", spec)?;
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    let stdin = child.stdin.take().context("stdin is piped")?;
    let stdout = child.stdout.take().context("stdout is piped")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).await?;
    let ticket = serde_json::from_str(&line).with_context(|| format!("a ticket: {line:?}"))?;
    Ok(((child, stdin), ticket))
}
