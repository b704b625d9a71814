//! A registry in whose every call others may come in between, and which forgets late, as one whose clock is slow.
//!
//! Never fails. Owns no document: the memory does.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::yield_now;
use virtnet_core::memory::{MemoryHub, MemoryRegistry};
use virtnet_core::pipe::{PipeEngine, Switchboard};
use virtnet_core::{Documents, Registry, RegistryError, SubNetwork};

struct Rough(MemoryRegistry);

/// Two subnetworks of a network with such a registry.
pub(crate) fn subnetworks() -> [SubNetwork; 2] {
    subnetworks_on(&MemoryHub::new())
}

pub(crate) fn subnetworks_on(hub: &MemoryHub) -> [SubNetwork; 2] {
    let switchboard = Switchboard::new();
    [(); 2].map(|()| {
        let registry = Arc::new(Rough(hub.registry()));
        let engine = |notifier| PipeEngine::new(&switchboard, notifier);
        SubNetwork::new("net", registry, engine).unwrap()
    })
}

#[async_trait]
impl Registry for Rough {
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError> {
        self.0.announce(hostname, hostdata).await
    }

    async fn query(&self, hostname: &str) -> Result<String, RegistryError> {
        self.0.query(hostname).await
    }

    fn crash(&self, hostname: &str) {
        self.0.crash(hostname);
    }

    fn documents(&self) -> Option<&dyn Documents> {
        Some(self)
    }

    async fn close(&self) -> Result<(), RegistryError> {
        Registry::close(&self.0).await
    }
}

#[async_trait]
impl Documents for Rough {
    async fn get(&self, key: &str) -> Result<Option<String>, RegistryError> {
        yield_now().await;
        self.0.get(key).await
    }

    async fn list(&self, topic: &str) -> Result<Vec<(String, String)>, RegistryError> {
        yield_now().await;
        self.0.list(topic).await
    }

    async fn put(
        &self,
        key: &str,
        text: &str,
        lifetime: Option<Duration>,
    ) -> Result<(), RegistryError> {
        yield_now().await;
        self.0.put(key, text, lifetime.map(|time| 100 * time)).await
    }

    async fn replace(
        &self,
        key: &str,
        old: Option<&str>,
        text: &str,
        lifetime: Option<Duration>,
    ) -> Result<bool, RegistryError> {
        yield_now().await;
        let lifetime = lifetime.map(|time| 100 * time);
        self.0.replace(key, old, text, lifetime).await
    }

    async fn remove(&self, key: &str) -> Result<(), RegistryError> {
        yield_now().await;
        self.0.remove(key).await
    }

    async fn changed(&self, topic: &str, seen: u64) -> Result<u64, RegistryError> {
        yield_now().await;
        self.0.changed(topic, seen).await
    }
}
