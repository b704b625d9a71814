//! Faults over the in-memory engine: what each kind does to a new dial, a dial under way, an
//! idle connection, bytes in flight, a half-closed connection, a close, a listener, and what is left after
//! healing.
//!
//! Owns the matrix. Never waits for real time: the clock is paused, and jumps to the next timer.

#[path = "faults/net.rs"]
mod net;

#[path = "faults/cut.rs"]
mod cut;
#[path = "faults/flapping.rs"]
mod flapping;
#[path = "faults/hold.rs"]
mod hold;
#[path = "faults/plans.rs"]
mod plans;
#[path = "faults/refuse_reset.rs"]
mod refuse_reset;
#[path = "faults/shape.rs"]
mod shape;
#[path = "faults/triggers.rs"]
mod triggers;
