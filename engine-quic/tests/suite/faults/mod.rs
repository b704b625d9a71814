//! Faults of the network's plan, as the engine enforces them on datagrams.
//!
//! Owns what `Engine::vnet_enforce` does to connections and dials. The tables are set on the engines directly:
//! how a plan reaches them is core's.

mod cut;
mod heal;
mod shape;
mod world;

use std::time::Duration;

/// The time that a busy machine may need beyond a timeout.
const SLACK: Duration = Duration::from_secs(2);
