//! The checks that every registry must pass, over a folder of its own.

use std::sync::Arc;

use crate::support::temp;
use async_trait::async_trait;
use tempfile::TempDir;
use virtnet_core::Registry;
use virtnet_core::conformance::RegistryBed;
use virtnet_registry_local::LocalRegistry;

struct Local(TempDir);

#[async_trait]
impl RegistryBed for Local {
    async fn registry(&self) -> Arc<dyn Registry> {
        Arc::new(LocalRegistry::open(self.0.path(), "pipet").unwrap())
    }

    async fn registry_of_another_network(&self) -> Option<Arc<dyn Registry>> {
        Some(Arc::new(
            LocalRegistry::open(self.0.path(), "other").unwrap(),
        ))
    }
}

/// After a check no name and no document is left in the folder, nor the draft of one.
impl Drop for Local {
    fn drop(&mut self) {
        for network in std::fs::read_dir(self.0.path()).unwrap() {
            let left = std::fs::read_dir(network.unwrap().path()).unwrap().count();
            if !std::thread::panicking() {
                assert_eq!(left, 0, "files are left");
            }
        }
    }
}

virtnet_core::registry_conformance!(async { Local(temp()) });

#[tokio::test]
async fn it_has_documents() {
    assert!(Local(temp()).registry().await.documents().is_some());
}

#[tokio::test]
async fn it_has_a_live_trace() {
    assert!(Local(temp()).registry().await.traces().is_some());
}
