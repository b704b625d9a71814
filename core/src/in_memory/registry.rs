//! A registry within one process.
//!
//! Owns [`MemoryHub`], a network's names in memory, and [`MemoryRegistry`], one
//! subnetwork's view of it. Never does I/O and never waits.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{Cause, Failure, Registry, RegistryError};

/// The names of one network, shared by all its subnetworks in this process.
#[derive(Debug, Clone, Default)]
pub struct MemoryHub(Arc<Mutex<HubState>>);

#[derive(Debug, Default)]
struct HubState {
    registries: u64,
    by_name: HashMap<String, Announcement>,
}

#[derive(Debug)]
struct Announcement {
    owner: u64,
    hostdata: String,
}

impl MemoryHub {
    /// Creates the names of a network, with no hosts yet.
    pub fn new() -> MemoryHub {
        MemoryHub::default()
    }

    /// Creates a registry for another subnetwork of this network.
    pub fn registry(&self) -> MemoryRegistry {
        let mut names = self.0.lock();
        names.registries += 1;
        MemoryRegistry {
            hub: self.clone(),
            id: names.registries,
            closed: Mutex::new(false),
        }
    }

    /// The announced hosts with their hostdata, sorted by name.
    pub fn hosts(&self) -> Vec<(String, String)> {
        let names = self.0.lock();
        let hosts = names.by_name.iter();
        let mut hosts: Vec<_> = hosts
            .map(|(host, name)| (host.clone(), name.hostdata.clone()))
            .collect();
        hosts.sort_unstable();
        hosts
    }
}

/// One subnetwork's view of a [`MemoryHub`]. All calls return immediately.
///
/// Dropping it frees its names, like closing it.
#[derive(Debug)]
pub struct MemoryRegistry {
    hub: MemoryHub,
    id: u64,
    closed: Mutex<bool>,
}

impl MemoryRegistry {
    /// Runs `op` on the names, unless this registry was closed.
    fn with<T>(
        &self,
        name: &'static str,
        args: &[&str],
        op: impl FnOnce(&mut HashMap<String, Announcement>) -> Result<T, Failure>,
    ) -> Result<T, RegistryError> {
        let fail = |why: Failure| RegistryError::new("memory:", name, args, why);
        let closed = self.closed.lock();
        if *closed {
            return Err(fail(Failure::explain(Cause::RegistryDown, "it was closed")));
        }
        op(&mut self.hub.0.lock().by_name).map_err(fail)
    }

    /// Why a name is refused, and what to do: usually two tests share a network by mistake.
    fn taken(&self, name: &Announcement) -> Failure {
        let whose = match name.owner == self.id {
            true => "this subnetwork",
            false => "another subnetwork of this process",
        };
        let what = format!(
            "{whose} holds it; parallel tests need one network each, such as \
             virtnet::testing::open() makes"
        );
        Failure::explain(Cause::HostAlreadyRegistered, what)
    }

    fn free(&self) {
        let mut closed = self.closed.lock();
        *closed = true;
        let mut names = self.hub.0.lock();
        names.by_name.retain(|_, name| name.owner != self.id);
    }
}

#[async_trait]
impl Registry for MemoryRegistry {
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError> {
        self.with("announce", &[hostname, hostdata], |names| {
            match names.entry(hostname.to_owned()) {
                Entry::Occupied(held) => Err(self.taken(held.get())),
                Entry::Vacant(vacant) => {
                    vacant.insert(Announcement {
                        owner: self.id,
                        hostdata: hostdata.to_owned(),
                    });
                    Ok(())
                }
            }
        })
    }

    async fn query(&self, hostname: &str) -> Result<String, RegistryError> {
        self.with("query", &[hostname], |names| {
            let name = names.get(hostname).ok_or(Cause::NoSuchHost)?;
            Ok(name.hostdata.clone())
        })
    }

    async fn close(&self) -> Result<(), RegistryError> {
        self.free();
        Ok(())
    }
}

impl Drop for MemoryRegistry {
    fn drop(&mut self) {
        self.free();
    }
}
