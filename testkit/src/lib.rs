//! What the tests of several packages share: servers, processes, relays.
//!
//! Owns helpers that more than one package's tests need. Never depends on a virtnet package whose
//! unit tests use it, which would then meet two copies of that package. Not published.

pub mod redis;
