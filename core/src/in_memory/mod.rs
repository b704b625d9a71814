//! A network within one process: the smallest engine and the smallest registry.
//!
//! Owns both. Never does I/O.

pub mod engine;
pub mod registry;
