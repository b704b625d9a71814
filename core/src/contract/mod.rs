//! The contracts of what carries connections and of what knows where hosts are.
//!
//! Owns the traits [`Engine`](engine::Engine) and [`Registry`](registry::Registry). Never implements them.

pub(crate) mod engine;
pub(crate) mod registry;
