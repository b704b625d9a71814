//! A host that joins: it is named in the member's documents before it is announced, and it has the
//! plan before anybody has the host.
//!
//! Owns that order. Never writes a document: the member's task does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use async_trait::async_trait;

use crate::control::state::Control;
use crate::{Cause, Documents, Lost, Registry, RegistryError, Traces};

/// A host that is being made; dropping it takes the host off the list, unless it is completed.
///
/// Those who set a plan write it, and then look who is listed. So either they see the host, and
/// wait for its member; or they have written the plan before, and the member reads it.
pub(crate) struct Joining {
    control: Arc<Control>,
    host: String,
    generation: u64,
    completed: AtomicBool,
}

impl Joining {
    /// `None` if the registry has no documents: then there is no plan.
    pub(crate) fn new(control: &Arc<Control>, host: &str) -> Option<Joining> {
        control.registry.documents()?;
        Some(Joining {
            generation: control.add_host(host),
            control: Arc::clone(control),
            host: host.to_owned(),
            completed: AtomicBool::new(false),
        })
    }

    /// Waits until the member's documents name the host.
    async fn listed(&self) -> Result<(), RegistryError> {
        let mut progress = self.control.progress.subscribe();
        let generation = self.generation;
        let tried = progress.wait_for(|progress| {
            let failed = progress.unlisted.as_ref();
            progress.listed >= generation || failed.is_some_and(|(failed, _)| *failed >= generation)
        });
        // The sender is in `control`.
        let Ok(progress) = tried.await.map(|progress| progress.clone()) else {
            return Ok(());
        };
        match progress.unlisted {
            _ if progress.listed >= generation => Ok(()),
            // Its announcement would fail, too.
            Some((_, why)) if why.cause() == Cause::RegistryDown => Err(why),
            why => {
                let why = why.map(|(_, why)| why.to_string());
                tracing::warn!(host = self.host, why, "this host meets no plan of faults");
                Ok(())
            }
        }
    }

    /// Waits until the plan was read once the host was listed, and is enforced. The member is
    /// listed by then, so whoever sets a plan waits for it, even if this gave up.
    async fn ready(&self) {
        let mut progress = self.control.progress.subscribe();
        let generation = self.generation;
        let read = progress.wait_for(|progress| {
            let unlisted = progress.unlisted.as_ref();
            progress.ready >= generation
                || progress.unread >= generation
                || unlisted.is_some_and(|(failed, _)| *failed >= generation)
        });
        if read.await.is_ok_and(|progress| progress.ready < generation) {
            tracing::warn!(host = self.host, "the plan of faults could not be read yet");
        }
    }

    /// The host exists, and stays on the list.
    pub(crate) fn complete(&self) {
        self.completed.store(true, Relaxed);
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        if !self.completed.load(Relaxed) {
            self.control.remove_host(&self.host);
        }
    }
}

/// The registry of the host's subnetwork, for the call in which an engine makes the host: the
/// announcement waits until the host is listed and the plan is enforced. Meanwhile the engine makes its resources.
pub(crate) struct JoiningRegistry {
    registry: Arc<dyn Registry>,
    joining: Arc<Joining>,
}

impl JoiningRegistry {
    pub(crate) fn new(registry: Arc<dyn Registry>, joining: &Arc<Joining>) -> JoiningRegistry {
        JoiningRegistry {
            registry,
            joining: Arc::clone(joining),
        }
    }
}

#[async_trait]
impl Registry for JoiningRegistry {
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError> {
        // Before, because a call that is dropped after the announcement would leave the name taken.
        let listed = self.joining.listed().await;
        listed.map_err(|why| {
            let args = [hostname, hostdata];
            RegistryError::new(why.registry(), "announce", &args, why.failure().clone())
        })?;
        self.joining.ready().await;
        self.registry.announce(hostname, hostdata).await
    }

    async fn query(&self, hostname: &str) -> Result<String, RegistryError> {
        self.registry.query(hostname).await
    }

    async fn requery(&self, hostname: &str, answer: &str) -> Result<Option<String>, RegistryError> {
        self.registry.requery(hostname, answer).await
    }

    fn holds(&self, hostname: &str) -> bool {
        self.registry.holds(hostname)
    }

    async fn lost(&self) -> Lost {
        self.registry.lost().await
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
