//! A relay that records every datagram, and can send it again.
//!
//! Owns what an observer can see and do without a key. That includes reading QUIC's
//! Initial packets, whose keys anybody can derive (RFC 9001, section 5.2). Owns no
//! test.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::quic::{DirectionalKeys, Keys, Version};
use rustls::{Side, SupportedCipherSuite};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// One datagram that passed.
#[derive(Clone)]
pub struct Seen {
    pub to_host: bool,
    pub bytes: Vec<u8>,
}

/// A relay to one host, for one dialer at a time.
pub struct Tap {
    pub place: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    near: Arc<UdpSocket>,
    far: Arc<UdpSocket>,
    dialer: watch::Receiver<SocketAddr>,
    _tasks: JoinSet<()>,
}

async fn bound() -> Arc<UdpSocket> {
    Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap())
}

impl Tap {
    pub async fn to(host: SocketAddr) -> Tap {
        let (near, far) = (bound().await, bound().await);
        far.connect(host).await.unwrap();
        let place = near.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (speaker, dialer) = watch::channel(place);
        let mut tasks = JoinSet::new();
        let (from, into, record) = (near.clone(), far.clone(), seen.clone());
        tasks.spawn(async move {
            let mut buffer = vec![0; 1 << 16];
            while let Ok((length, who)) = from.recv_from(&mut buffer).await {
                speaker.send_replace(who);
                let bytes = &buffer[..length];
                // Before it is sent: what answers it is recorded after it.
                record.lock().unwrap().push(Seen {
                    to_host: true,
                    bytes: bytes.to_vec(),
                });
                let _ = into.send(bytes).await;
            }
        });
        let (from, into, record, who) = (far.clone(), near.clone(), seen.clone(), dialer.clone());
        tasks.spawn(async move {
            let mut buffer = vec![0; 1 << 16];
            loop {
                // If the host is gone, each send causes an error of the next call.
                let Ok(length) = from.recv(&mut buffer).await else {
                    continue;
                };
                let (bytes, to) = (&buffer[..length], *who.borrow());
                record.lock().unwrap().push(Seen {
                    to_host: false,
                    bytes: bytes.to_vec(),
                });
                let _ = into.send_to(bytes, to).await;
            }
        });
        Tap {
            place,
            seen,
            near,
            far,
            dialer,
            _tasks: tasks,
        }
    }

    /// All that has passed up to now, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Sends it again, to the same receiver and from the same address as before.
    pub async fn replay(&self, seen: &Seen) {
        match seen.to_host {
            true => drop(self.far.send(&seen.bytes).await),
            false => {
                let dialer = *self.dialer.borrow();
                drop(self.near.send_to(&seen.bytes, dialer).await);
            }
        }
    }
}

/// Whether one of the datagrams contains `needle`.
pub fn shows(seen: &[Seen], needle: &[u8]) -> bool {
    let holds = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    seen.iter().any(|seen| holds(&seen.bytes))
}

/// The decrypted Initial packets of both sides: the only part of a connection that
/// any observer can read.
pub fn readable(seen: &[Seen]) -> Vec<Seen> {
    let mut keys: Option<Keys> = None;
    let mut clear = Vec::new();
    for Seen { to_host, bytes } in seen {
        let mut rest = &bytes[..];
        while let Some((mut packet, after)) = next_initial(rest) {
            rest = after;
            if packet.kind != INITIAL {
                continue;
            }
            let keys = keys.get_or_insert_with(|| initial_keys(&packet.id));
            // The server's keys; the client's are its `remote` ones.
            let keys = if *to_host { &keys.remote } else { &keys.local };
            if let Some(bytes) = packet.open(keys) {
                let to_host = *to_host;
                clear.push(Seen { to_host, bytes });
            }
        }
    }
    clear
}

/// The connections that the dialer opened, each by its QUIC version and the dialer's
/// own connection id.
pub fn begun(seen: &[Seen]) -> HashSet<(Vec<u8>, Vec<u8>)> {
    let to_host = seen.iter().filter(|seen| seen.to_host);
    let first = to_host.filter_map(|seen| next_initial(&seen.bytes));
    first
        .map(|(packet, _)| (packet.version, packet.from))
        .collect()
}

fn initial_keys(id: &[u8]) -> Keys {
    let SupportedCipherSuite::Tls13(suite) = TLS13_AES_128_GCM_SHA256;
    Keys::initial(Version::V1, suite, suite.quic.unwrap(), id, Side::Server)
}

const INITIAL: u8 = 0;
const RETRY: u8 = 3;

/// A packet with a long header (RFC 9000, section 17.2).
struct Long {
    kind: u8,
    version: Vec<u8>,
    id: Vec<u8>,
    from: Vec<u8>,
    bytes: Vec<u8>,
    /// The offset of the packet number.
    number: usize,
}

/// The first packet of a datagram, if its header is long, and the bytes after it.
fn next_initial(bytes: &[u8]) -> Option<(Long, &[u8])> {
    let first = *bytes.first()?;
    let (kind, version) = ((first >> 4) & 3, &bytes[1..5]);
    if first & 0x80 == 0 || kind == RETRY {
        return None;
    }
    let mut at = 6 + usize::from(bytes[5]);
    let id = bytes[6..at].to_vec();
    let from = bytes[at + 1..][..usize::from(bytes[at])].to_vec();
    at += 1 + from.len();
    if kind == INITIAL {
        let token = varint(bytes, &mut at);
        at += token;
    }
    let length = varint(bytes, &mut at);
    let (packet, after) = bytes.split_at_checked(at + length)?;
    let bytes = packet.to_vec();
    let number = at;
    let version = version.to_vec();
    Some((
        Long {
            kind,
            version,
            id,
            from,
            bytes,
            number,
        },
        after,
    ))
}

/// A variable-length integer (RFC 9000, section 16).
fn varint(bytes: &[u8], at: &mut usize) -> usize {
    let (first, length) = (bytes[*at], 1 << (bytes[*at] >> 6));
    let start = usize::from(first & 0x3f);
    let value = bytes[*at + 1..*at + length].iter();
    *at += length;
    value.fold(start, |sum, &byte| sum << 8 | usize::from(byte))
}

impl Long {
    /// Its decrypted payload, if the keys match.
    fn open(&mut self, keys: &DirectionalKeys) -> Option<Vec<u8>> {
        let (header, body) = self.bytes.split_at_mut(self.number);
        let (number, rest) = body.split_at_mut(4);
        let sample = rest[..keys.header.sample_len()].to_vec();
        keys.header
            .decrypt_in_place(&sample, &mut header[0], number)
            .ok()?;
        let length = usize::from(header[0] & 3) + 1;
        let number = number[..length]
            .iter()
            .fold(0, |sum, &b| sum << 8 | u64::from(b));
        let (header, payload) = self.bytes.split_at(self.number + length);
        let mut payload = payload.to_vec();
        let opened = keys.packet.decrypt_in_place(number, header, &mut payload);
        Some(opened.ok()?.to_vec())
    }
}
