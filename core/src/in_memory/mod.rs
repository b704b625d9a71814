//! A network within one process, without I/O: an engine and a registry in memory.
//!
//! Owns both. Never opens a file or socket.

mod documents;
pub mod engine;
mod late;
mod life;
pub mod registry;
mod stream;
mod traces;
