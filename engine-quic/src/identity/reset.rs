//! What lets a host that was started again tell its peers so.
//!
//! Owns the key of QUIC's stateless resets (RFC 9000, section 10.3) and the
//! connection ids that go with it. Never holds state of a connection: that is
//! the point. A host that comes back on its old port, after a kill, answers what
//! is still sent to its old connections with a reset, which its peers can check;
//! they connect again at once and do not wait for a time-out.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::{CryptoError, HmacKey};
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use rustls::crypto::SecureRandom;

use crate::identity::hkdf;
use crate::udp::batch::MAX_DATAGRAM;

/// Length of a connection id, in bytes: enough to be told apart by chance alone.
const ID: usize = 8;

/// The configuration of an endpoint whose resets are made with `key`, the same
/// whenever the same host is started.
pub(crate) fn endpoint_config(key: [u8; 32], random: &'static dyn SecureRandom) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(ResetKey(key)));
    config
        .cid_generator(move || Box::new(Ids(random)))
        // Of all peers that send to a host that came back each gets its answer.
        // QUIC's own bound, one in 20 ms for the whole endpoint, leaves most of
        // many peers to their time-outs. None is needed: a reset is smaller than
        // what it answers, so nothing is amplified, and two hosts that answer each
        // other with resets end soon.
        .min_reset_interval(Duration::ZERO)
        .max_udp_payload_size(MAX_DATAGRAM)
        .expect("it is more than the 1,200 bytes that all must take");
    config
}

struct ResetKey([u8; 32]);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        hkdf(data, &self.0, b"virtnet reset", signature);
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let mut expected = [0; 32];
        self.sign(data, &mut expected);
        if expected == *signature {
            Ok(())
        } else {
            Err(CryptoError)
        }
    }
}

/// Random ids. QUIC's own kind, which is recognised by the process that made
/// it, would have a new process ignore what comes for the old one.
struct Ids(&'static dyn SecureRandom);

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID];
        self.0
            .fill(&mut id)
            .expect("the system has random numbers, or there were no keys either");
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
