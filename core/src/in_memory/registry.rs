//! A registry within one process.
//!
//! Owns [`MemoryHub`], a network's names, documents and live trace in memory, and [`MemoryRegistry`], one
//! subnetwork's view of it. Never does I/O, and waits only for a change of documents or for a batch of the trace.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::contract::documents::{check_document, check_document_key, check_document_topic};
use crate::in_memory::documents::DocumentTable;
use crate::in_memory::traces::TraceLog;
use crate::{Cause, Documents, Failure, Registry, RegistryError, TracePosition, Traces};

/// The names, documents and live trace of one network, shared by all its subnetworks in this process.
#[derive(Debug, Clone, Default)]
pub struct MemoryHub {
    names: Arc<Mutex<Names>>,
    documents: Arc<DocumentTable>,
    traces: Arc<TraceLog>,
}

#[derive(Debug, Default)]
struct Names {
    registries: u64,
    by_name: HashMap<String, Announcement>,
}

#[derive(Debug)]
struct Announcement {
    owner: u64,
    hostdata: String,
    /// Its owner can announce it again.
    crashed: bool,
}

impl MemoryHub {
    /// Creates the names and documents of a network, with none yet.
    pub fn new() -> MemoryHub {
        MemoryHub::default()
    }

    /// Creates a registry for another subnetwork of this network.
    pub fn registry(&self) -> MemoryRegistry {
        let mut names = self.names.lock();
        names.registries += 1;
        MemoryRegistry {
            hub: self.clone(),
            id: names.registries,
            closed: Mutex::new(false),
        }
    }

    /// The announced hosts with their hostdata, sorted by name.
    pub fn hosts(&self) -> Vec<(String, String)> {
        let names = self.names.lock();
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
        self.unless_closed(name, args, || op(&mut self.hub.names.lock().by_name))
    }

    /// Runs `op` on the documents, unless this registry was closed.
    fn with_documents<T>(
        &self,
        name: &'static str,
        arg: &str,
        op: impl FnOnce(&DocumentTable) -> Result<T, Failure>,
    ) -> Result<T, RegistryError> {
        self.unless_closed(name, &[arg], || op(&self.hub.documents))
    }

    /// Runs `op` on the live trace, unless this registry was closed.
    fn with_traces<T>(
        &self,
        name: &'static str,
        op: impl FnOnce(&TraceLog) -> Result<T, Failure>,
    ) -> Result<T, RegistryError> {
        self.unless_closed(name, &[], || op(&self.hub.traces))
    }

    fn unless_closed<T>(
        &self,
        name: &'static str,
        args: &[&str],
        op: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, RegistryError> {
        let closed = self.closed.lock();
        let result = match *closed {
            true => Err(Failure::explain(Cause::RegistryDown, "it was closed")),
            false => op(),
        };
        result.map_err(|why| RegistryError::new("memory:", name, args, why))
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
        let mut names = self.hub.names.lock();
        names.by_name.retain(|_, name| name.owner != self.id);
        drop((names, closed));
        self.hub.documents.wake();
        self.hub.traces.wake();
    }
}

#[async_trait]
impl Registry for MemoryRegistry {
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError> {
        self.with("announce", &[hostname, hostdata], |names| {
            let announcement = Announcement {
                owner: self.id,
                hostdata: hostdata.to_owned(),
                crashed: false,
            };
            match names.entry(hostname.to_owned()) {
                Entry::Occupied(mut held) => {
                    let is_back = held.get().crashed && held.get().owner == self.id;
                    if !is_back {
                        return Err(self.taken(held.get()));
                    }
                    held.insert(announcement);
                }
                Entry::Vacant(vacant) => drop(vacant.insert(announcement)),
            }
            Ok(())
        })
    }

    async fn query(&self, hostname: &str) -> Result<String, RegistryError> {
        self.with("query", &[hostname], |names| {
            let name = names.get(hostname).ok_or(Cause::NoSuchHost)?;
            Ok(name.hostdata.clone())
        })
    }

    /// The name stays taken for others until the close, as there are no leases.
    fn crash(&self, hostname: &str) {
        let mut names = self.hub.names.lock();
        if let Some(name) = names.by_name.get_mut(hostname)
            && name.owner == self.id
        {
            name.crashed = true;
        }
    }

    fn documents(&self) -> Option<&dyn Documents> {
        Some(self)
    }

    fn traces(&self) -> Option<&dyn Traces> {
        Some(self)
    }

    async fn close(&self) -> Result<(), RegistryError> {
        self.free();
        Ok(())
    }
}

#[async_trait]
impl Documents for MemoryRegistry {
    async fn get(&self, key: &str) -> Result<Option<String>, RegistryError> {
        self.with_documents("get document", key, |documents| {
            check_document_key(key)?;
            Ok(documents.get(key))
        })
    }

    async fn list(&self, topic: &str) -> Result<Vec<(String, String)>, RegistryError> {
        self.with_documents("list documents", topic, |documents| {
            check_document_topic(topic)?;
            documents.list(topic)
        })
    }

    async fn put(
        &self,
        key: &str,
        text: &str,
        lifetime: Option<Duration>,
    ) -> Result<(), RegistryError> {
        self.with_documents("put document", key, |documents| {
            check_document(key, text, lifetime)?;
            documents.write(key, text, lifetime, |_| true);
            Ok(())
        })
    }

    async fn replace(
        &self,
        key: &str,
        old: Option<&str>,
        text: &str,
        lifetime: Option<Duration>,
    ) -> Result<bool, RegistryError> {
        self.with_documents("replace document", key, |documents| {
            check_document(key, text, lifetime)?;
            Ok(documents.write(key, text, lifetime, |present| present == old))
        })
    }

    async fn remove(&self, key: &str) -> Result<(), RegistryError> {
        self.with_documents("remove document", key, |documents| {
            check_document_key(key)?;
            documents.remove(key);
            Ok(())
        })
    }

    async fn changed(&self, topic: &str, seen: u64) -> Result<u64, RegistryError> {
        // From before the first look, so that a change after it is noticed.
        let mut changes = self.hub.documents.changes();
        loop {
            let number = self.with_documents("watch documents", topic, |documents| {
                check_document_topic(topic)?;
                Ok(documents.number(topic))
            })?;
            if number != seen {
                return Ok(number);
            }
            // It fails without a sender only, and the hub has one.
            let _ = changes.changed().await;
        }
    }
}

#[async_trait]
impl Traces for MemoryRegistry {
    async fn append(&self, batch: &str) -> Result<TracePosition, RegistryError> {
        self.with_traces("append to trace", |traces| traces.append(batch))
    }

    async fn read(
        &self,
        after: TracePosition,
    ) -> Result<Vec<(TracePosition, String)>, RegistryError> {
        self.with_traces("read trace", |traces| Ok(traces.read(after)))
    }

    async fn next(
        &self,
        after: TracePosition,
    ) -> Result<Vec<(TracePosition, String)>, RegistryError> {
        let read = || self.with_traces("follow trace", |traces| Ok(traces.read(after)));
        self.hub.traces.next(read).await
    }

    async fn last(&self) -> Result<TracePosition, RegistryError> {
        self.with_traces("read trace", |traces| Ok(traces.last()))
    }

    async fn clear(&self) -> Result<(), RegistryError> {
        self.with_traces("remove trace", |traces| {
            traces.remove();
            Ok(())
        })
    }
}

impl Drop for MemoryRegistry {
    fn drop(&mut self) {
        self.free();
    }
}
