//! The network of these tests: an engine that records which rules it was given, and a registry that fails
//! when it is told to.
//!
//! Owns these doubles. Never asserts anything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;
use virtnet_core::faults::FaultTable;
use virtnet_core::memory::{MemoryHub, MemoryRegistry};
use virtnet_core::pipe::{PipeEngine, Switchboard};
use virtnet_core::{
    Addr, ByteStream, Cause, Documents, Enforced, Engine, Failure, Host, Registry, RegistryError,
    SubNetwork,
};
/// The pipe engine, which says which rules are in force, and may be deaf.
struct Recorder {
    pipe: PipeEngine,
    record: Record,
}

#[derive(Clone, Default)]
pub(crate) struct Record {
    /// The tables that were given.
    given: Arc<Mutex<Vec<Arc<FaultTable>>>>,
    /// Its dials never end.
    pub(crate) deaf: Arc<AtomicBool>,
}

impl Record {
    pub(crate) fn cuts(&self, from: &str, to: &str) -> bool {
        let given = self.given.lock().unwrap();
        given
            .last()
            .is_some_and(|table| table.link(from, to).is_some())
    }

    pub(crate) fn given(&self) -> usize {
        self.given.lock().unwrap().len()
    }

    pub(crate) fn versions(&self) -> Vec<u64> {
        let given = self.given.lock().unwrap();
        given.iter().map(|table| table.version()).collect()
    }

    /// The tables that were given after the first `given`.
    pub(crate) fn since(&self, given: usize) -> Vec<Arc<FaultTable>> {
        self.given.lock().unwrap()[given..].to_vec()
    }
}

#[async_trait]
impl Engine for Recorder {
    async fn vnet_new_host(&self, hostname: &str, registry: &dyn Registry) -> Result<(), Failure> {
        self.pipe.vnet_new_host(hostname, registry).await
    }

    async fn vnet_dial(
        &self,
        src: &Addr,
        dst: &Addr,
        dst_hostdata: &str,
    ) -> Result<(ByteStream, Addr), Failure> {
        while self.record.deaf.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(5)).await;
        }
        self.pipe.vnet_dial(src, dst, dst_hostdata).await
    }

    fn vnet_enforce(&self, table: &Arc<FaultTable>) -> Enforced {
        self.record.given.lock().unwrap().push(Arc::clone(table));
        self.pipe.vnet_enforce(table)
    }

    fn vnet_crash(&self, hostname: &str) -> Option<Box<dyn FnOnce() + Send + '_>> {
        self.pipe.vnet_crash(hostname)
    }

    async fn close(&self) -> Result<(), Failure> {
        self.pipe.close().await
    }
}

/// A registry whose documents fail while it is down.
pub(crate) struct Fallible {
    memory: MemoryRegistry,
    down: AtomicBool,
    /// The plan cannot be read; all else works.
    pub(crate) blind: AtomicBool,
    /// Names that were announced before the member's documents had them.
    pub(crate) unlisted: Mutex<Vec<String>>,
    /// The plan that the next change comes with: a reply that a later read overtakes.
    pub(crate) overtaken: Mutex<Option<String>>,
}

impl Fallible {
    fn new(hub: &MemoryHub) -> Arc<Fallible> {
        Arc::new(Fallible {
            memory: hub.registry(),
            down: AtomicBool::new(false),
            blind: AtomicBool::new(false),
            unlisted: Mutex::default(),
            overtaken: Mutex::default(),
        })
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), RegistryError> {
        Fallible::fail_if(&self.down)
    }

    fn fail_if(flag: &AtomicBool) -> Result<(), RegistryError> {
        let err = || RegistryError::new("fallible", "documents", &[], Cause::RegistryDown);
        match flag.load(Ordering::SeqCst) {
            true => Err(err()),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Registry for Fallible {
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError> {
        let listed = self.memory.list("member").await?;
        let line = format!("host {hostname}");
        let listed = listed
            .iter()
            .any(|(_, text)| text.lines().any(|found| found == line));
        if !listed {
            self.unlisted.lock().unwrap().push(hostname.to_owned());
        }
        self.memory.announce(hostname, hostdata).await
    }

    async fn query(&self, hostname: &str) -> Result<String, RegistryError> {
        self.memory.query(hostname).await
    }

    fn crash(&self, hostname: &str) {
        self.memory.crash(hostname);
    }

    fn documents(&self) -> Option<&dyn Documents> {
        Some(self)
    }

    async fn close(&self) -> Result<(), RegistryError> {
        Registry::close(&self.memory).await
    }
}

#[async_trait]
impl Documents for Fallible {
    async fn get(&self, key: &str) -> Result<Option<String>, RegistryError> {
        self.check()?;
        if key == "plan" {
            Fallible::fail_if(&self.blind)?;
        }
        self.memory.get(key).await
    }

    async fn list(&self, topic: &str) -> Result<Vec<(String, String)>, RegistryError> {
        self.check()?;
        self.memory.list(topic).await
    }

    async fn put(
        &self,
        key: &str,
        text: &str,
        lifetime: Option<Duration>,
    ) -> Result<(), RegistryError> {
        self.check()?;
        self.memory.put(key, text, lifetime).await
    }

    async fn replace(
        &self,
        key: &str,
        old: Option<&str>,
        text: &str,
        lifetime: Option<Duration>,
    ) -> Result<bool, RegistryError> {
        self.check()?;
        // Others may come in between.
        tokio::task::yield_now().await;
        self.memory.replace(key, old, text, lifetime).await
    }

    async fn remove(&self, key: &str) -> Result<(), RegistryError> {
        self.check()?;
        self.memory.remove(key).await
    }

    async fn changed(&self, topic: &str, seen: u64) -> Result<u64, RegistryError> {
        self.check()?;
        self.memory.changed(topic, seen).await
    }

    async fn changed_documents(
        &self,
        topic: &str,
        seen: u64,
        keys: &[&str],
    ) -> Result<(u64, Vec<Option<String>>), RegistryError> {
        let number = self.changed(topic, seen).await?;
        if topic == "plan"
            && let Some(plan) = self.overtaken.lock().unwrap().take()
        {
            // With the number of then.
            return Ok((u64::MAX - 1, vec![Some(plan), None]));
        }
        let mut texts = Vec::new();
        for key in keys {
            texts.push(self.get(key).await?);
        }
        Ok((number, texts))
    }
}

#[derive(Default)]
pub(crate) struct Net {
    pub(crate) hub: MemoryHub,
    switchboard: Switchboard,
}

pub(crate) struct Member {
    pub(crate) subnet: SubNetwork,
    pub(crate) registry: Arc<Fallible>,
    pub(crate) record: Record,
    pub(crate) hosts: Vec<Host>,
}

impl Net {
    pub(crate) fn subnetwork(&self) -> Member {
        let (registry, record) = (Fallible::new(&self.hub), Record::default());
        let engine = |notifier| Recorder {
            pipe: PipeEngine::new(&self.switchboard, notifier),
            record: record.clone(),
        };
        let subnet = SubNetwork::new("pipet", Arc::clone(&registry) as _, engine).unwrap();
        Member {
            subnet,
            registry,
            record,
            hosts: Vec::new(),
        }
    }

    /// A subnetwork with these hosts.
    pub(crate) async fn member(&self, hosts: &[&str]) -> Member {
        let mut member = self.subnetwork();
        for host in hosts {
            member
                .hosts
                .push(member.subnet.new_host(host).await.unwrap());
        }
        member
    }

    /// All documents vanish.
    pub(crate) async fn flush(&self) {
        let docs = self.hub.registry();
        for topic in ["plan", "member"] {
            for (key, _) in docs.list(topic).await.unwrap() {
                docs.remove(&key).await.unwrap();
            }
        }
    }

    /// The members' documents.
    pub(crate) async fn members(&self) -> Vec<(String, String)> {
        self.hub.registry().list("member").await.unwrap()
    }
}
