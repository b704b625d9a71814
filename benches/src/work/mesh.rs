//! A mesh: every host of a process dials every other, each by a QUIC connection.
//!
//! Owns the order of the dials, and what a connection's memory is: both ends, with what its
//! host got for it. Never counts the hosts themselves.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use super::memory::Memory;
use crate::contender::quic::QuinnPeers;
use crate::contender::virt::VirtPeers;
use crate::contender::{Peers, Stream};
use crate::service::{Mode, Service, request, request_kept};
use crate::spec::{Metric, Spec};

/// Measures those that can be a mesh; otherwise returns nothing.
pub async fn measure(spec: &Spec) -> Option<Result<Vec<Metric>>> {
    match (spec.base(), spec.contender.as_str()) {
        ("mesh", "virtnet") => Some(mesh::<VirtPeers>(spec).await),
        ("mesh", "quinn") => Some(mesh::<QuinnPeers>(spec).await),
        _ => None,
    }
}

async fn mesh<P: Peers>(spec: &Spec) -> Result<Vec<Metric>> {
    let count = spec.size(100, 30);
    let service = Arc::new(Service::new(Mode::Keep));
    let peers = Arc::new(P::start(spec, count, Arc::clone(&service)).await?);
    let before = Memory::now()?;
    let start = Instant::now();
    let mut dialing = JoinSet::new();
    for from in 0..count {
        let peers = Arc::clone(&peers);
        dialing.spawn(async move {
            let mut held = Vec::new();
            // Each begins with its neighbour, so that not all dial the same one at once.
            for to in (1..count).map(|far| (from + far) % count) {
                let mut conn = peers.dial(from, to).await?;
                if !P::Conn::CONFIRMS {
                    request_kept(&mut conn).await?;
                }
                held.push(conn);
            }
            anyhow::Ok(held)
        });
    }
    let mut held = Vec::new();
    while let Some(dialed) = dialing.join_next().await {
        held.extend(dialed??);
    }
    let took = start.elapsed().as_secs_f64();
    ensure!(held.len() == count * (count - 1), "some are missing");
    let grown = Memory::now()?.resident - before.resident;
    let each = grown / held.len() as f64;
    service.answer_all();
    for (number, mut conn) in held.into_iter().enumerate() {
        request(&mut conn, number).await?;
    }
    Ok(vec![
        spec.metric("-seconds", "s", took),
        spec.metric("", "B", each),
    ])
}
