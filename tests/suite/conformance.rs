//! The conformance suite over every pair of engine and registry that ships, except the
//! in-memory pair, which core tests itself.
//!
//! Owns the setup of each pair. Never decides what is checked: `virtnet_core::conformance`
//! does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use virtnet::local::LocalRegistry;
use virtnet::memory::MemoryHub;
use virtnet::pipe::{PipeEngine, Switchboard};
use virtnet::quic::{Identity, QuicConfig, Secret};
use virtnet::redis::{RedisOptions, RedisRegistry};
use virtnet::{Registry, SubNetwork};
use virtnet_core::conformance::{Bed, RegistryBed};

use virtnet_testkit::redis::RedisServer;

const NETWORK: &str = "quicα";

/// The time limits of quick subnetworks: of a dial, and of silence.
const QUICK: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(3)];

/// A subnetwork with QUIC on loopback.
fn quic(secret: &Secret, registry: Arc<dyn Registry>, quick: bool) -> SubNetwork {
    let mut config =
        QuicConfig::new(Identity::secret(secret.clone())).bind("127.0.0.1:0".parse().unwrap());
    if quick {
        let [dial, idle] = QUICK;
        config = config
            .keep_alive(idle / 3)
            .idle_timeout(idle)
            .dial_timeout(dial);
    }
    let prepared = config.prepare(NETWORK).unwrap();
    SubNetwork::new(NETWORK, registry, |notifier| prepared.start(notifier)).unwrap()
}

/// A subnetwork with pipes.
fn pipe(switchboard: &Switchboard, registry: Arc<dyn Registry>, quick: bool) -> SubNetwork {
    let engine = |notifier| {
        let engine = PipeEngine::new(switchboard, notifier);
        let [dial, idle] = QUICK;
        match quick {
            true => engine.with_bounds(dial, idle),
            false => engine,
        }
    };
    SubNetwork::new(NETWORK, registry, engine).unwrap()
}

/// QUIC with the registry of one process.
struct QuicMemory(Secret, MemoryHub);

#[async_trait]
impl Bed for QuicMemory {
    async fn subnetwork(&self) -> SubNetwork {
        quic(&self.0, Arc::new(self.1.registry()), false)
    }

    async fn quick_subnetwork(&self) -> SubNetwork {
        quic(&self.0, Arc::new(self.1.registry()), true)
    }
}

/// A separate Redis server for each check.
struct Redis(RedisServer);

impl Redis {
    async fn connect(&self) -> Arc<dyn Registry> {
        let options = RedisOptions::default();
        let registry = RedisRegistry::connect(&self.0.url(), NETWORK, options).await;
        Arc::new(registry.unwrap())
    }
}

/// After a check nothing is left in Redis, except a healed plan of faults, for a minute.
impl Drop for Redis {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // Subnetworks that were only dropped close in the background.
        let deadline = Instant::now() + Duration::from_secs(20);
        let left = loop {
            let mut left = self.0.keys();
            left.retain(|key| !key.ends_with(":plan"));
            if left.is_empty() || Instant::now() > deadline {
                break left;
            }
            std::thread::yield_now();
        };
        assert_eq!(left, [""; 0], "keys are left");
    }
}

#[async_trait]
impl RegistryBed for Redis {
    async fn registry(&self) -> Arc<dyn Registry> {
        self.connect().await
    }
}

/// QUIC with Redis, the usual pair.
struct QuicRedis(Secret, Redis);

#[async_trait]
impl Bed for QuicRedis {
    async fn subnetwork(&self) -> SubNetwork {
        quic(&self.0, self.1.connect().await, false)
    }

    async fn quick_subnetwork(&self) -> SubNetwork {
        quic(&self.0, self.1.connect().await, true)
    }
}

/// Pipes with Redis: one process, whose names are visible to others.
struct PipeRedis(Switchboard, Redis);

#[async_trait]
impl Bed for PipeRedis {
    async fn subnetwork(&self) -> SubNetwork {
        pipe(&self.0, self.1.connect().await, false)
    }

    async fn quick_subnetwork(&self) -> SubNetwork {
        pipe(&self.0, self.1.connect().await, true)
    }

    fn is_exact(&self) -> bool {
        true
    }
}

/// A separate folder for each check.
#[cfg(unix)]
struct Local(tempfile::TempDir);

#[cfg(unix)]
impl Local {
    fn new() -> Local {
        use std::os::unix::fs::PermissionsExt;
        let mut folder = tempfile::Builder::new();
        folder.permissions(std::fs::Permissions::from_mode(0o700));
        Local(folder.tempdir().unwrap())
    }

    fn open(&self) -> Arc<dyn Registry> {
        Arc::new(LocalRegistry::open(self.0.path(), NETWORK).unwrap())
    }
}

/// After a check nothing is left in the network's folder, except a healed plan of faults, for a
/// minute.
#[cfg(unix)]
impl Drop for Local {
    fn drop(&mut self) {
        let folder = || std::fs::read_dir(self.0.path()).unwrap().flatten();
        let files = || folder().flat_map(|network| std::fs::read_dir(network.path()).unwrap());
        // Also what was asked about it, for some seconds.
        let is_plan = |name: &str| {
            let mut kinds = ["document-plan", "changes-plan"].into_iter();
            kinds.any(|kind| name.starts_with(kind))
        };
        let left = || {
            let names = files().map(|file| file.unwrap().file_name());
            names.filter(|name| !is_plan(&name.to_string_lossy()))
        };
        // Subnetworks that were only dropped close in the background.
        let deadline = Instant::now() + Duration::from_secs(20);
        while left().count() > 0 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        if !std::thread::panicking() {
            let left: Vec<_> = left().collect();
            assert!(left.is_empty(), "names are left: {left:?}");
        }
    }
}

/// QUIC with a folder, the command's default.
#[cfg(unix)]
struct QuicLocal(Secret, Local);

#[cfg(unix)]
#[async_trait]
impl Bed for QuicLocal {
    async fn subnetwork(&self) -> SubNetwork {
        quic(&self.0, self.1.open(), false)
    }

    async fn quick_subnetwork(&self) -> SubNetwork {
        quic(&self.0, self.1.open(), true)
    }
}

/// Pipes with a folder.
#[cfg(unix)]
struct PipeLocal(Switchboard, Local);

#[cfg(unix)]
#[async_trait]
impl Bed for PipeLocal {
    async fn subnetwork(&self) -> SubNetwork {
        pipe(&self.0, self.1.open(), false)
    }

    async fn quick_subnetwork(&self) -> SubNetwork {
        pipe(&self.0, self.1.open(), true)
    }

    fn is_exact(&self) -> bool {
        true
    }
}

#[cfg(unix)]
mod quic_local {
    use super::*;
    virtnet_core::conformance!(async { QuicLocal(Secret::random(), Local::new()) });
}

#[cfg(unix)]
mod pipe_local {
    use super::*;
    virtnet_core::conformance!(async { PipeLocal(Switchboard::new(), Local::new()) });
}

mod quic_memory {
    use super::*;
    virtnet_core::conformance!(async { QuicMemory(Secret::random(), MemoryHub::new()) });
}

mod quic_redis {
    use super::*;
    virtnet_core::conformance!(async { QuicRedis(Secret::random(), Redis(RedisServer::start())) });
}

mod pipe_redis {
    use super::*;
    virtnet_core::conformance!(async {
        PipeRedis(Switchboard::new(), Redis(RedisServer::start()))
    });
}

mod redis {
    use super::*;
    virtnet_core::registry_conformance!(async { Redis(RedisServer::start()) });
}
