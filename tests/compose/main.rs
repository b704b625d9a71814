//! The compose environments as users have them: real containers from the unchanged
//! docker-compose.yml, with faults from outside; and the examples with real programs.
//!
//! Owns the faults and their bounds; prints each measured time. Never runs by default,
//! because it needs Docker and images: `tests/run.sh` builds them and runs this, and
//! `cargo test --test compose -- --ignored` runs it again.

#![cfg(feature = "cli")]

#[path = "../support/mod.rs"]
mod support;

mod docker;
mod register;
mod talk;

mod crowd;
mod etcd;
mod faults;
mod hosts;
mod postgres;
mod redis_sentinel;
mod registry;
mod trace;
mod up;
