//! A host's UDP socket.
//!
//! Owns binding, batches, datagram sizes, and faults of the network's plan. Never uses connections.

pub(crate) mod batch;
pub(crate) mod faults;
pub(crate) mod kept;
pub(crate) mod mtu;
pub(crate) mod quic_socket;
pub(crate) mod send_errors;
pub(crate) mod socket;
