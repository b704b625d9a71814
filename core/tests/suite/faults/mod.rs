//! Faults over the in-memory engine: what each kind does to a new dial, a dial under way, an
//! idle connection, bytes in flight, a half-closed connection, a close, a listener, and what is left after
//! healing.
//!
//! Owns the matrix. Never waits for real time: the clock is paused, and jumps to the next timer.

mod net;

mod cut;
mod flapping;
mod hold;
mod plans;
mod refuse_reset;
mod shape;
mod triggers;
