//! The conformance suite over the in-memory engine and registry.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use virtnet_core::conformance::{Bed, RegistryBed};
use virtnet_core::memory::MemoryHub;
use virtnet_core::pipe::PipeNetwork;
use virtnet_core::{Registry, SubNetwork};

struct Pipes(PipeNetwork);

#[async_trait]
impl Bed for Pipes {
    async fn subnetwork(&self) -> SubNetwork {
        self.0.subnetwork()
    }

    async fn quick_subnetwork(&self) -> SubNetwork {
        let (dial, idle) = (Duration::from_secs(2), Duration::from_secs(3));
        self.0.clone().with_bounds(dial, idle).subnetwork()
    }

    fn is_exact(&self) -> bool {
        true
    }
}

struct Memory(MemoryHub);

#[async_trait]
impl RegistryBed for Memory {
    async fn registry(&self) -> Arc<dyn Registry> {
        Arc::new(self.0.registry())
    }

    async fn registry_of_another_network(&self) -> Option<Arc<dyn Registry>> {
        Some(Arc::new(MemoryHub::new().registry()))
    }
}

mod pipe {
    use super::*;
    virtnet_core::conformance!(async { Pipes(PipeNetwork::new("pipet").unwrap()) });
}

mod memory {
    use super::*;
    virtnet_core::registry_conformance!(async { Memory(MemoryHub::new()) });

    #[test]
    fn it_has_documents() {
        assert!(MemoryHub::new().registry().documents().is_some());
    }

    #[test]
    fn it_has_a_live_trace() {
        assert!(MemoryHub::new().registry().traces().is_some());
    }
}

mod runtime {
    use super::*;
    virtnet_core::conformance_tests! {
        async { Pipes(PipeNetwork::new("pipet").unwrap()) };
        closing: a_runtime_that_ends;
    }
}
