//! A host that another call adds, or an engine that another call closes, while the
//! registry announces the host.
//!
//! Owns a registry whose answers wait for the test. Never dials.

use tokio::sync::Semaphore;
use virtnet_core::memory::MemoryHub;
use virtnet_core::{RegistryError, SubNetwork};

use super::*;
use crate::{Identity, Secret};

/// A registry that accepts every name, one announcement for each permit.
struct AcceptsAll(Semaphore);

#[async_trait]
impl Registry for AcceptsAll {
    async fn announce(&self, _: &str, _: &str) -> Result<(), RegistryError> {
        self.0.acquire().await.expect("never closed").forget();
        Ok(())
    }

    async fn query(&self, _: &str) -> Result<String, RegistryError> {
        unreachable!("nobody dials")
    }

    async fn close(&self) -> Result<(), RegistryError> {
        Ok(())
    }
}

/// An engine, and the subnetwork that its notifier needs.
fn engine() -> (Arc<QuicEngine>, SubNetwork) {
    let prepare = || {
        let config = QuicConfig::new(Identity::secret(Secret::random()));
        config
            .bind(([127, 0, 0, 1], 0).into())
            .prepare("net")
            .unwrap()
    };
    let mut engine = None;
    let subnet = SubNetwork::new("net", Arc::new(MemoryHub::new().registry()), |notifier| {
        engine = Some(prepare().start(notifier.clone()));
        prepare().start(notifier)
    });
    (Arc::new(engine.unwrap()), subnet.unwrap())
}

#[tokio::test]
async fn a_name_that_the_registry_accepts_twice_is_registered_already() {
    let ((engine, _subnet), registry) = (engine(), AcceptsAll(Semaphore::new(0)));
    let later = async {
        // Both calls wait for the registry by now.
        registry.0.add_permits(2);
    };
    let (first, second, ()) = tokio::join!(
        engine.vnet_new_host("α", &registry),
        engine.vnet_new_host("α", &registry),
        later,
    );
    let (added, refused) = if first.is_ok() {
        (first, second)
    } else {
        (second, first)
    };
    assert!(added.is_ok(), "{added:?}");
    assert_eq!(refused.unwrap_err().cause(), Cause::HostAlreadyRegistered);
    let third = engine.vnet_new_host("α", &registry).await;
    assert_eq!(third.unwrap_err().cause(), Cause::HostAlreadyRegistered);
    engine.close().await.unwrap();
}

#[tokio::test]
async fn an_engine_that_closes_meanwhile_adds_no_host() {
    let ((engine, _subnet), registry) = (engine(), AcceptsAll(Semaphore::new(0)));
    let close = async {
        engine.close().await.unwrap();
        registry.0.add_permits(1);
    };
    let (added, ()) = tokio::join!(engine.vnet_new_host("α", &registry), close);
    assert_eq!(added.unwrap_err().cause(), Cause::NetworkDown);
    let again = engine.vnet_new_host("α", &registry).await;
    assert_eq!(again.unwrap_err().cause(), Cause::NetworkDown);
}
