//! docs/failures.md, the rows on connections: what happens when paths and peers
//! fail, each with a figure.
//!
//! Owns what can be broken within one process: paths through a relay, runtimes that
//! end, sockets that others take. Processes that are killed and paused, and hosts
//! in namespaces of their own, are the root package's. In each of them: no dial
//! reaches a host that has not proved its name, nothing waits past its bound, and no
//! cut is seen as a clean end.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/process.rs"]
mod process;

mod closing;
mod cut;
mod impostor;
mod neighbours;
mod rough;
mod world;

use std::time::Duration;

/// What a busy machine may take beyond a bound that is promised.
const SLACK: Duration = Duration::from_secs(2);
