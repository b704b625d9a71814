//! The checks that every registry must pass, over a real server.

use std::sync::Arc;

use async_trait::async_trait;
use virtnet_core::Registry;
use virtnet_core::conformance::RegistryBed;
use virtnet_testkit::redis::RedisServer;

use crate::calls::join;

struct Redis(RedisServer);

#[async_trait]
impl RegistryBed for Redis {
    async fn registry(&self) -> Arc<dyn Registry> {
        Arc::new(join(&self.0, "pipet").await)
    }

    async fn registry_of_another_network(&self) -> Option<Arc<dyn Registry>> {
        Some(Arc::new(join(&self.0, "other").await))
    }
}

virtnet_core::registry_conformance!(async { Redis(RedisServer::start()) });

#[tokio::test]
async fn it_has_documents() {
    let registry = Redis(RedisServer::start()).registry().await;
    assert!(registry.documents().is_some());
}

#[tokio::test]
async fn it_has_a_live_trace() {
    let registry = Redis(RedisServer::start()).registry().await;
    assert!(registry.traces().is_some());
}
