//! Curves: what a dial costs while more and more is open.
//!
//! Owns the points. Never closes anything between them.

use anyhow::Result;

use super::dial::{self, Until};
use crate::contender::{Client, Contender, pair};
use crate::service::request_kept;
use crate::spec::{Metric, Spec};
use crate::stats::percentile;

/// Open connections beside the one that is dialed.
pub const CONNS: &[usize] = &[10, 100, 1_000, 10_000];
/// Hosts of this process.
pub const HOSTS: &[usize] = &[10, 100, 1_000];

async fn point<C: Client>(spec: &Spec, client: &C, open: usize) -> Result<Metric> {
    let mut took = dial::times(client, Until::Taken, spec.size(1_000, 300)).await?;
    let p50 = percentile(&mut took, 0.5);
    Ok(spec.metric(&format!("-{open}"), "µs", p50))
}

pub async fn conns<C: Contender>(spec: &Spec) -> Result<Vec<Metric>> {
    let client = pair::<C>(spec).await?;
    // Like all later points it is to find everything warm.
    dial::times(&client, Until::Taken, 1_000).await?;
    let (mut held, mut points) = (Vec::new(), Vec::new());
    for &open in CONNS {
        while held.len() < open {
            let mut conn = client.dial().await?;
            request_kept(&mut conn).await?;
            held.push(conn);
        }
        points.push(point(spec, &client, open).await?);
    }
    Ok(points)
}

pub async fn hosts<C: Contender>(spec: &Spec) -> Result<Vec<Metric>> {
    let client = pair::<C>(spec).await?;
    dial::times(&client, Until::Taken, 1_000).await?;
    let (mut held, mut points) = (Vec::new(), Vec::new());
    for &hosts in HOSTS {
        // Two are there: the server and the client.
        while held.len() + 2 < hosts {
            held.push(client.another(held.len()).await?);
        }
        points.push(point(spec, &client, hosts).await?);
    }
    Ok(points)
}
