//! Networks over QUIC on loopback, for the tests.
//!
//! Owns no test.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

pub mod raw;
pub mod relay;
pub mod tap;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use virtnet_core::conformance::Bed;
use virtnet_core::memory::MemoryHub;
use virtnet_core::{Conn, Host, Listener, SubNetwork};
use virtnet_engine_quic::{Counters, Identity, QuicConfig, Secret};

/// The timeout of every wait, far longer than anything here takes.
pub const HANG: Duration = Duration::from_secs(60);

/// Prints the measurement for a row of docs/failures.md.
pub fn figure(row: &str, came_to: impl std::fmt::Display) {
    println!("failures: {row}: {came_to}");
}

/// A network whose subnetworks share a secret and an in-memory registry.
pub struct Net {
    pub network: &'static str,
    pub secret: Secret,
    pub hub: MemoryHub,
}

impl Net {
    pub fn new(network: &'static str) -> Net {
        Net {
            network,
            secret: Secret::random(),
            hub: MemoryHub::new(),
        }
    }

    /// Bound to loopback, on a free port.
    pub fn config(&self) -> QuicConfig {
        config(&self.secret)
    }

    /// The host's real address in the registry.
    pub fn real_addr(&self, host: &str) -> SocketAddr {
        let hosts = self.hub.hosts();
        let place = &hosts.iter().find(|(name, _)| name == host).unwrap().1;
        place.parse().unwrap()
    }

    pub fn join(&self) -> SubNetwork {
        self.join_with(self.config()).0
    }

    pub fn join_with(&self, config: QuicConfig) -> (SubNetwork, Counters) {
        let prepared = config.prepare(self.network).unwrap();
        let (registry, counters) = (Arc::new(self.hub.registry()), prepared.counters());
        let engine = |notifier| prepared.start(notifier);
        let net = SubNetwork::new(self.network, registry, engine).unwrap();
        (net, counters)
    }
}

pub fn config(secret: &Secret) -> QuicConfig {
    QuicConfig::new(Identity::secret(secret.clone())).bind((Ipv4Addr::LOCALHOST, 0).into())
}

#[async_trait]
impl Bed for Net {
    async fn subnetwork(&self) -> SubNetwork {
        self.join()
    }

    async fn quick_subnetwork(&self) -> SubNetwork {
        let config = self.config().keep_alive(Duration::from_secs(1));
        let config = config.idle_timeout(Duration::from_secs(3));
        self.join_with(config.dial_timeout(Duration::from_secs(2)))
            .0
    }
}

/// Connects `from` to `listener`: the dialing and the accepting end.
pub async fn connect(from: &Host, listener: &Listener) -> (Conn, Conn) {
    let (dialed, accepted) = tokio::join!(from.dial(listener.local_addr()), listener.accept());
    (dialed.unwrap(), accepted.unwrap().0)
}

/// Polls `condition` until it holds, or the test times out. It polls because tasks,
/// descriptors and counters notify nobody.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    if tokio::time::timeout(HANG, waiting).await.is_err() {
        panic!("never came true: {what}");
    }
}
