//! The compose environment as users have it, and what it must stand: real
//! containers from docker-compose.yml as it is, broken from outside.
//!
//! Owns the faults and their bounds; each figure is printed. Never runs without
//! being asked to, as it needs Docker and images: `tests/run.sh` builds them and
//! runs this, `cargo test --test compose -- --ignored` runs it again.

#![cfg(feature = "cli")]

#[path = "../support/mod.rs"]
mod support;

mod docker;
mod talk;

mod crowd;
mod hosts;
mod registry;
mod up;
