//! The compose environments as users have them: real containers from the unchanged
//! docker-compose.yml, with faults from outside; the examples with real programs; and the same
//! environment as a stack on two machines.
//!
//! Owns the faults and their bounds; prints each measured time. Never runs by default,
//! because it needs Docker and images: `tests/run.sh` builds them and runs this, and
//! `cargo test --test compose -- --ignored` runs it again.

#![cfg(feature = "cli")]

#[path = "../support/mod.rs"]
mod support;

mod docker;
#[cfg(target_os = "linux")]
mod machines;
mod register;
mod talk;

mod crowd;
mod etcd;
mod faults;
mod hosts;
mod postgres;
mod redis_sentinel;
mod registry;
#[cfg(target_os = "linux")]
mod swarm;
mod trace;
mod up;
