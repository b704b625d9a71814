//! `memory:`: networks within this process.
//!
//! Owns the table of them, by name: all subnetworks on `memory:` with the same name are on
//! one network, as with a server. A network is removed when its last subnetwork is gone.
//! Never does I/O.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use virtnet_core::memory::{MemoryHub, MemoryRegistry};
use virtnet_core::{Documents, Registry, RegistryError, Traces};

use super::{HostEntry, Opened, Shared};
use crate::quic::Secret;

type Networks = HashMap<String, Weak<Network>>;

static NETWORKS: LazyLock<Mutex<Networks>> = LazyLock::new(Mutex::default);

/// The state that the members of one network share.
struct Network {
    name: String,
    hub: MemoryHub,
    /// Random: it never leaves the process.
    secret: Secret,
}

impl Drop for Network {
    fn drop(&mut self) {
        let mut networks = networks();
        // Another thread may have created a new one with this name in the meantime.
        if networks
            .get(&self.name)
            .is_some_and(|network| network.strong_count() == 0)
        {
            networks.remove(&self.name);
        }
    }
}

fn networks() -> MutexGuard<'static, Networks> {
    // Each change is one insertion or removal, so the map is valid even after a panic.
    NETWORKS.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn open(name: &str) -> Opened {
    let known = networks().get(name).and_then(Weak::upgrade);
    let network = known.unwrap_or_else(|| find_or_create(name));
    Opened {
        secret: Some(Shared::Secret(network.secret.clone())),
        registry: Arc::new(Member {
            registry: network.hub.registry(),
            _network: network,
        }),
    }
}

fn find_or_create(name: &str) -> Arc<Network> {
    let made = Arc::new(Network {
        name: name.to_owned(),
        hub: MemoryHub::new(),
        secret: Secret::random(),
    });
    let mut networks = networks();
    // Another thread may have been faster. Then `made` is dropped after the lock is released,
    // because its drop takes the lock.
    match networks.get(name).and_then(Weak::upgrade) {
        Some(network) => network,
        None => {
            networks.insert(name.to_owned(), Arc::downgrade(&made));
            made
        }
    }
}

pub(super) fn hosts(name: &str) -> Vec<HostEntry> {
    let network = networks().get(name).and_then(Weak::upgrade);
    let hosts = network.map_or_else(Vec::new, |network| network.hub.hosts());
    let hosts = hosts.into_iter();
    // Names in memory last as long as their owner: there are no leases.
    hosts
        .map(|(name, address)| HostEntry {
            name,
            address,
            lease_left: None,
            owner: None,
            pid: Some(std::process::id()),
        })
        .collect()
}

/// One subnetwork's registry, which keeps the network alive.
struct Member {
    registry: MemoryRegistry,
    _network: Arc<Network>,
}

#[async_trait]
impl Registry for Member {
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError> {
        self.registry.announce(hostname, hostdata).await
    }

    async fn query(&self, hostname: &str) -> Result<String, RegistryError> {
        self.registry.query(hostname).await
    }

    fn crash(&self, hostname: &str) {
        self.registry.crash(hostname);
    }

    fn documents(&self) -> Option<&dyn Documents> {
        self.registry.documents()
    }

    fn traces(&self) -> Option<&dyn Traces> {
        self.registry.traces()
    }

    async fn close(&self) -> Result<(), RegistryError> {
        self.registry.close().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_name_is_one_network_until_all_have_left() {
        let [one, two] = [open("one name"), open("one name")];
        let secret = |opened: Opened| {
            (
                opened.registry,
                opened.secret.unwrap().read().unwrap().reveal(),
            )
        };
        let [(one, first), (two, second)] = [one, two].map(secret);
        assert_eq!(first, second);

        one.announce("α", "here").await.unwrap();
        assert_eq!(two.query("α").await.unwrap(), "here");
        let listed = hosts("one name");
        assert_eq!((&*listed[0].name, &*listed[0].address), ("α", "here"));
        assert_eq!(listed.len(), 1);
        assert!(hosts("another name").is_empty());

        drop((one, two));
        assert!(!networks().contains_key("one name"));
        assert_ne!(secret(open("one name")).1, first);
    }
}
