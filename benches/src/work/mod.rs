//! The works: what is done and timed.
//!
//! Owns which function measures which work. Never knows contenders by name.

use anyhow::{Result, bail};

use self::dial::Until;
use crate::contender::Contender;
use crate::spec::{Metric, Spec};

pub mod bulk;
pub mod curve;
pub mod dial;
pub mod faults;
pub mod memory;
pub mod mesh;
pub mod pingpong;
pub mod registry;

/// Does a work once, and returns its numbers.
pub async fn measure<C: Contender>(spec: &Spec) -> Result<Vec<Metric>> {
    match spec.base() {
        "bulk" => bulk::one::<C>(spec).await,
        "bulk64" => bulk::many::<C>(spec).await,
        "pingpong" => pingpong::measure::<C>(spec).await,
        "dial" => dial::serial::<C>(spec, Until::Taken).await,
        "dial64" => dial::at_once::<C>(spec, Until::Taken).await,
        "exchange" => dial::serial::<C>(spec, Until::Replied).await,
        "exchange64" => dial::at_once::<C>(spec, Until::Replied).await,
        "first-dial64" => dial::first::<C>(spec).await,
        "newhost" => dial::new_hosts::<C>(spec).await,
        "conns" => memory::conns::<C>(spec).await,
        "conns-at-once" => memory::conns_at_once::<C>(spec).await,
        "hosts" => memory::hosts::<C>(spec).await,
        "curve-conns" => curve::conns::<C>(spec).await,
        "curve-hosts" => curve::hosts::<C>(spec).await,
        other => bail!("there is no work {other:?}"),
    }
}
