//! α and β, each on its own subnetwork, with a relay between them.
//!
//! Owns how they find each other: by the relay's address, not by that in the
//! registry.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use virtnet_core::memory::{MemoryHub, MemoryRegistry};
use virtnet_core::{Conn, Host, Listener, Registry, SubNetwork};

use crate::common::relay::{Relay, bytes};
use crate::common::{HANG, Net, connect};

/// β dials α through the relay. Everything has its default.
pub(crate) struct World {
    pub(crate) here: SubNetwork,
    pub(crate) there: SubNetwork,
    pub(crate) beta: Host,
    pub(crate) listener: Listener,
    pub(crate) relay: Relay,
    _says_so: MemoryRegistry,
}

impl World {
    pub(crate) async fn new(seed: u64) -> World {
        let at_alpha = Net::new("net");
        let at_beta = Net {
            secret: at_alpha.secret.clone(),
            network: at_alpha.network,
            hub: MemoryHub::new(),
        };
        let (here, there) = (at_alpha.join(), at_beta.join());
        let alpha = here.new_host("α").await.unwrap();
        let beta = there.new_host("β").await.unwrap();
        let relay = Relay::start(at_alpha.real_addr("α"), seed).await;
        let says_so = at_beta.hub.registry();
        let place = relay.real_addr().to_string();
        says_so.announce("α", &place).await.unwrap();
        World {
            listener: alpha.listen(":1").unwrap(),
            here,
            there,
            beta,
            relay,
            _says_so: says_so,
        }
    }

    /// β's end and α's end.
    pub(crate) async fn connect(&self) -> (Conn, Conn) {
        connect(&self.beta, &self.listener).await
    }

    pub(crate) async fn close(self) {
        self.there.close().await.unwrap();
        self.here.close().await.unwrap();
    }
}

/// Sends `count` bytes each way at once, then ends both ways; every byte arrives,
/// and nothing after them but the end.
pub(crate) async fn exchange(one: Conn, other: Conn, seed: u64, count: usize) {
    let side = async |conn: Conn, sends: u64, hears: u64| {
        let (mut reader, mut writer) = conn.into_split();
        let (sent, expected) = (bytes(sends, count), bytes(hears, count));
        let write = async {
            writer.write_all(&sent).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let mut received = Vec::with_capacity(count);
        let read = async { reader.read_to_end(&mut received).await.unwrap() };
        tokio::join!(write, read);
        assert_eq!(received.len(), count);
        assert!(received == expected, "byte by byte");
    };
    let (a, b) = (seed ^ 1 << 20, seed ^ 1 << 40);
    let both = async { tokio::join!(side(one, a, b), side(other, b, a)) };
    timeout(HANG, both).await.expect("it does not stall");
}
