//! Unit tests that span modules, and those that need a real server and private items.
//!
//! Owns no production code.

mod decoder;
mod golden;
mod lease_table;
mod ownership;
mod scale;
mod server;
