//! The protocol of a virtual connection: frames and their order.
//!
//! Owns the bytes and the handshake. Never depends on QUIC.

pub(crate) mod frame;
pub(crate) mod handshake;
