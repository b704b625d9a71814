//! A registry that holds batches of the live trace back.
//!
//! Owns [`Slow`]. Never changes what a call does otherwise.

use async_trait::async_trait;
use tokio::sync::watch;
use virtnet_core::memory::MemoryRegistry;
use virtnet_core::{Documents, Registry, RegistryError, TracePosition, Traces, check_trace_batch};

/// A registry in memory that holds batches back until it is told to let them through.
pub(super) struct Slow {
    pub(super) registry: MemoryRegistry,
    pub(super) open: watch::Receiver<bool>,
}

#[async_trait]
impl Registry for Slow {
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError> {
        self.registry.announce(hostname, hostdata).await
    }

    async fn query(&self, hostname: &str) -> Result<String, RegistryError> {
        self.registry.query(hostname).await
    }

    fn documents(&self) -> Option<&dyn Documents> {
        self.registry.documents()
    }

    fn traces(&self) -> Option<&dyn Traces> {
        Some(self)
    }

    async fn close(&self) -> Result<(), RegistryError> {
        self.registry.close().await
    }
}

#[async_trait]
impl Traces for Slow {
    async fn append(&self, batch: &str) -> Result<TracePosition, RegistryError> {
        check_trace_batch(batch).expect("the sender knows the limit");
        let mut open = self.open.clone();
        let _ = open.wait_for(|open| *open).await;
        self.registry.append(batch).await
    }

    async fn read(
        &self,
        after: TracePosition,
    ) -> Result<Vec<(TracePosition, String)>, RegistryError> {
        self.registry.read(after).await
    }

    async fn next(
        &self,
        after: TracePosition,
    ) -> Result<Vec<(TracePosition, String)>, RegistryError> {
        self.registry.next(after).await
    }

    async fn last(&self) -> Result<TracePosition, RegistryError> {
        self.registry.last().await
    }

    async fn clear(&self) -> Result<(), RegistryError> {
        self.registry.clear().await
    }
}
