//! Memory: of open connections and of hosts, and the time that it takes to have
//! that many.
//!
//! Owns the look at this process before and after. Never shares its process with
//! another measurement: what an allocator has kept would hide what is taken.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use super::dial::{self, Until};
use crate::contender::{Client, Contender, ServiceOf, Stream, pair, with_service};
use crate::service::{request, request_kept};
use crate::spec::{Metric, Spec};

const CONNS: usize = 10_000;
const OPENERS: usize = 64;
/// Opened before the clock, and kept like the others.
const WARM: usize = 100;

/// Bytes of this process.
pub struct Memory {
    pub resident: f64,
    reserved: f64,
}

impl Memory {
    pub fn now() -> Result<Memory> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            let kib = line.and_then(|line| line.split_whitespace().nth(1));
            let kib: f64 = kib.with_context(|| format!("no {name}"))?.parse()?;
            anyhow::Ok(kib * 1024.0)
        };
        Ok(Memory {
            resident: field("VmRSS:")?,
            reserved: field("VmSize:")?,
        })
    }
}

/// How many connections this process can have the descriptors for, where each
/// takes two.
fn conns_of(contender: &str) -> Result<usize> {
    if contender != "tcp" {
        return Ok(CONNS);
    }
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let files = files.and_then(|line| line.split_whitespace().nth(3));
    let files = files.and_then(|soft| soft.parse::<usize>().ok());
    let spare = 200 + 2 * WARM;
    Ok(files.map_or(CONNS, |files| CONNS.min(files.saturating_sub(spare) / 2)))
}

/// Opens a connection that both ends keep, until the dialer knows that.
async fn open<C: Client>(client: &C) -> Result<C::Conn> {
    let mut conn = client.dial().await?;
    if !C::Conn::CONFIRMS {
        request_kept(&mut conn).await?;
    }
    Ok(conn)
}

async fn open_some<C: Client>(client: &C, count: usize) -> Result<Vec<C::Conn>> {
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        held.push(open(client).await?);
    }
    Ok(held)
}

/// Both ends still have each of them: it gets a reply.
async fn all_are_there<C: Contender>(
    service: &ServiceOf<C>,
    held: impl IntoIterator<Item = impl Stream>,
) -> Result<()> {
    service.answer_all();
    for (number, mut conn) in held.into_iter().enumerate() {
        let answered = request(&mut conn, number).await;
        answered.with_context(|| format!("connection {number} is not there"))?;
    }
    Ok(())
}

/// Open connections, opened one after another.
pub async fn conns<C: Contender>(spec: &Spec) -> Result<Vec<Metric>> {
    let count = conns_of(&spec.contender)?;
    let (client, service) = with_service::<C>(spec).await?;
    let warm = open_some(&client, WARM).await?;
    let before = Memory::now()?;
    let start = Instant::now();
    let held = open_some(&client, count).await?;
    let took = start.elapsed().as_secs_f64() * CONNS as f64 / count as f64;
    let each = (Memory::now()?.resident - before.resident) / count as f64;
    all_are_there::<C>(&service, warm.into_iter().chain(held)).await?;
    Ok(vec![
        spec.metric("", "B", each),
        spec.metric("-seconds", "s", took),
    ])
}

/// The same by 64 openers.
pub async fn conns_at_once<C: Contender>(spec: &Spec) -> Result<Vec<Metric>> {
    let count = conns_of(&spec.contender)?;
    let (client, service) = with_service::<C>(spec).await?;
    let client = Arc::new(client);
    let mut held = open_some(&*client, WARM).await?;
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for opener in 0..OPENERS {
        let client = Arc::clone(&client);
        tasks.spawn(async move {
            let share = (opener..count).step_by(OPENERS).count();
            open_some(&*client, share).await
        });
    }
    while let Some(opened) = tasks.join_next().await {
        held.extend(opened??);
    }
    let took = start.elapsed().as_secs_f64() * CONNS as f64 / count as f64;
    all_are_there::<C>(&service, held).await?;
    Ok(vec![spec.metric("-seconds", "s", took)])
}

/// Hosts of one process that have nothing open.
pub async fn hosts<C: Contender>(spec: &Spec) -> Result<Vec<Metric>> {
    let count = spec.size(1_000, 300);
    let client = pair::<C>(spec).await?;
    dial::times(&client, Until::Replied, 100).await?;
    // What the first one brings along is not each one's.
    let first = client.another(0).await?;
    let before = Memory::now()?;
    let start = Instant::now();
    let mut held = vec![first];
    for number in 1..=count {
        held.push(client.another(number).await?);
    }
    let took = start.elapsed().as_secs_f64();
    let after = Memory::now()?;
    let last = held.last().context("there are some")?;
    dial::one(last, Until::Replied, 1).await?;
    let each = |bytes: f64| bytes / count as f64;
    Ok(vec![
        spec.metric("", "B", each(after.resident - before.resident)),
        spec.metric("-virtual", "B", each(after.reserved - before.reserved)),
        spec.metric("-seconds", "s/1,000", took * 1_000.0 / count as f64),
    ])
}
