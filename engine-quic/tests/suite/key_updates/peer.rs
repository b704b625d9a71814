//! quinn with keys that a test changes: a TLS session between quinn and rustls' own.
//!
//! Owns no test. Never changes what is received.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use quinn::crypto::rustls::QuicClientConfig;
use quinn::crypto::{
    self, ClientConfig, CryptoError, ExportKeyingMaterialError, HeaderKey, KeyPair, PacketKey,
    Session,
};
use quinn::{ConnectError, ConnectionId, Side};
use quinn_proto::TransportError;
use quinn_proto::transport_parameters::TransportParameters;

/// How many generations of keys there are, at most.
const GENERATIONS: usize = 64;

const LEAVE_ONE_OUT: u64 = Rush::LeaveOneOut as u64;

/// The bit of a short header that says which of two generations a packet's keys are.
const KEY_PHASE: u8 = 0x04;

/// Which generation of keys packets have from now on.
#[derive(Clone, Copy)]
pub(crate) enum Rush {
    /// Each packet the one that follows the last packet's.
    EachPacket = 1,
    /// All the second after the first, which none has.
    LeaveOneOut = 2,
}

/// What a test changes, and sees.
#[derive(Default)]
pub(crate) struct Keys {
    generations: AtomicU64,
    rush: AtomicU64,
}

impl Keys {
    pub(crate) fn rush(&self, rush: Rush) {
        self.rush.store(rush as u64, Relaxed);
    }

    /// How often quinn has updated its keys, by itself or because its peer did.
    pub(crate) fn updates(&self) -> u64 {
        // It has those of the next update at hand.
        self.generations.load(Relaxed) - 1
    }
}

pub(crate) struct Crypto {
    tls: Arc<QuicClientConfig>,
    keys: Arc<Keys>,
}

impl Crypto {
    pub(crate) fn new(tls: QuicClientConfig, keys: Arc<Keys>) -> Crypto {
        Crypto {
            tls: Arc::new(tls),
            keys,
        }
    }
}

impl ClientConfig for Crypto {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        Ok(Box::new(Changed {
            tls: self
                .tls
                .clone()
                .start_session(version, server_name, params)?,
            handshakes: 0,
            remote: Vec::new(),
            sealed: None,
            keys: self.keys.clone(),
        }))
    }
}

/// A session whose packets are sealed by [`Sealed`].
struct Changed {
    tls: Box<dyn Session>,
    /// How many sets of keys there were: of the handshake, then of the connection.
    handshakes: usize,
    /// The keys of later generations that open what the peer sends, the last one first.
    remote: Vec<Box<dyn PacketKey>>,
    sealed: Option<Arc<Sealed>>,
    keys: Arc<Keys>,
}

impl Session for Changed {
    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<crypto::Keys> {
        let mut keys = self.tls.write_handshake(buf)?;
        self.handshakes += 1;
        if self.handshakes == 2 {
            let mut local = vec![keys.packet.local];
            for _ in 1..GENERATIONS {
                let next = self.tls.next_1rtt_keys().unwrap();
                local.push(next.local);
                self.remote.push(next.remote);
            }
            self.remote.reverse();
            let sealed = Arc::new(Sealed {
                local,
                began: OnceLock::new(),
                keys: self.keys.clone(),
            });
            keys.packet.local = Box::new(At(sealed.clone(), 0));
            self.sealed = Some(sealed);
        }
        Some(keys)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let generation = self.keys.generations.fetch_add(1, Relaxed) + 1;
        Some(KeyPair {
            local: Box::new(At(self.sealed.clone()?, generation as usize)),
            remote: self.remote.pop()?,
        })
    }

    fn initial_keys(&self, id: &ConnectionId, side: Side) -> crypto::Keys {
        self.tls.initial_keys(id, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.tls.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.tls.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.tls.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.tls.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        self.tls.read_handshake(buf)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.tls.transport_parameters()
    }

    fn is_valid_retry(&self, id: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.tls.is_valid_retry(id, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.tls.export_keying_material(output, label, context)
    }
}

/// All keys that seal what is sent, by generation.
struct Sealed {
    local: Vec<Box<dyn PacketKey>>,
    /// The first packet of the rush, and the generation of the last one before.
    began: OnceLock<(u64, usize)>,
    keys: Arc<Keys>,
}

/// The keys of one generation, as quinn sees it.
struct At(Arc<Sealed>, usize);

impl PacketKey for At {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        let (sealed, mut generation) = (&self.0, self.1);
        let rush = sealed.keys.rush.load(Relaxed);
        if rush != 0 {
            let (first, before) = sealed.began.get_or_init(|| (packet, self.1));
            let ahead = match rush {
                LEAVE_ONE_OUT => 2,
                _ => packet - first + 1,
            };
            generation = (before + ahead as usize).min(GENERATIONS - 1);
            buf[0] &= !KEY_PHASE;
            buf[0] |= KEY_PHASE * (generation % 2) as u8;
        }
        sealed.local[generation].encrypt(packet, buf, header_len);
    }

    fn decrypt(
        &self,
        _packet: u64,
        _header: &[u8],
        _payload: &mut bytes::BytesMut,
    ) -> Result<(), CryptoError> {
        unreachable!("these keys seal")
    }

    fn tag_len(&self) -> usize {
        self.0.local[0].tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.0.local[0].confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.0.local[0].integrity_limit()
    }
}
