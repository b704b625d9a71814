//! Schema: the keys and values in Redis.
//!
//! Owns keys and values. Never talks to a server.

pub(crate) mod entry;
pub(crate) mod keys;
