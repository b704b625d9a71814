//! docs/failures.md, the rows on connections: what happens when paths and peers
//! fail, with measurements.
//!
//! Owns the failures that one process can cause: paths through a relay, runtimes
//! that end, sockets that others take. The root package owns processes that are
//! killed or paused, and hosts in network namespaces. In each test, no dial reaches
//! a host that has not proved its name, nothing waits past its timeout, and no cut
//! looks like a clean end.

mod closing;
mod cut;
mod impostor;
mod neighbours;
mod rough;
mod world;

use std::time::Duration;

/// The time that a busy machine may need beyond a timeout.
const SLACK: Duration = Duration::from_secs(2);
