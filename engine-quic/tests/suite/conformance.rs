//! The contract's conformance suite over QUIC on loopback.
//!
//! Owns no check of its own.

use crate::common::Net;

virtnet_core::conformance!(async { Net::new("quicα") });

mod runtime {
    use super::*;
    virtnet_core::conformance_tests! { async { Net::new("quicα") }; closing: a_runtime_that_ends; }
}
