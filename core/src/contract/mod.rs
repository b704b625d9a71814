//! The traits that engines and registries implement.
//!
//! Owns [`Engine`](engine::Engine), [`Registry`](registry::Registry) and
//! [`Documents`](documents::Documents). Never implements them.

pub(crate) mod documents;
pub(crate) mod engine;
pub(crate) mod registry;
