//! Stateless resets, with which a restarted host ends its old connections.
//!
//! Owns the key of QUIC's stateless resets (RFC 9000, section 10.3) and the
//! generator of connection ids. Never holds state of a connection. After a host was
//! killed and restarted on its old port, it answers packets of its old connections
//! with resets that its peers can verify. They reconnect at once instead of waiting
//! for a timeout.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::{CryptoError, HmacKey};
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use rustls::crypto::SecureRandom;

use crate::identity::hkdf;
use crate::udp::batch::MAX_DATAGRAM;

/// Length of a connection id, in bytes: long enough that random ids do not collide.
const CONNECTION_ID_LENGTH: usize = 8;

/// The configuration of an endpoint that makes its resets with `key`, which is the
/// same after a restart of the host.
pub(crate) fn endpoint_config(key: [u8; 32], random: &'static dyn SecureRandom) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(ResetKey(key)));
    config
        .cid_generator(move || Box::new(RandomConnectionIds(random)))
        // A restarted host must answer every peer that still sends to it. With quinn's
        // default, one reset per 20 ms for the whole endpoint, most of many peers would
        // have to time out. No limit is needed: a reset is smaller than the packet that
        // it answers, so nothing is amplified, and two hosts that answer each other
        // with resets stop soon.
        .min_reset_interval(Duration::ZERO)
        .max_udp_payload_size(MAX_DATAGRAM)
        .expect("at least the 1,200 bytes that QUIC requires");
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

/// Random ids. quinn's default generator makes ids that only the same process
/// recognises; a restarted process would ignore packets for the old one.
struct RandomConnectionIds(&'static dyn SecureRandom);

impl ConnectionIdGenerator for RandomConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; CONNECTION_ID_LENGTH];
        self.0
            .fill(&mut id)
            .expect("the operating system returned random bytes for the keys before");
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_LENGTH
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
