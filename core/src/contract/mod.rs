//! The traits that engines and registries implement.
//!
//! Owns [`Engine`](engine::Engine), [`Registry`](registry::Registry),
//! [`Documents`](documents::Documents) and [`Traces`](traces::Traces). Never implements them.

pub(crate) mod documents;
pub(crate) mod engine;
pub(crate) mod registry;
pub(crate) mod traces;
