//! The traits that engines and registries implement.
//!
//! Owns [`Engine`](engine::Engine) and [`Registry`](registry::Registry). Never implements them.

pub(crate) mod engine;
pub(crate) mod registry;
