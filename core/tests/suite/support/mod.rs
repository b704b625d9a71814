//! A scripted engine and registry, for tests of core.
//!
//! Owns the scripts. Never asserts anything.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use virtnet_core::memory::MemoryHub;
use virtnet_core::{
    Addr, ByteStream, Cause, Conn, Engine, Failure, Host, Listener, Notifier, Registry,
    RegistryError, SubNetwork,
};

/// An engine that announces hosts at once, never completes a dial, and records its calls.
#[derive(Clone, Default)]
pub(crate) struct Script {
    /// The number of running calls.
    pub(crate) running: Arc<AtomicUsize>,
    /// The number of streams that were not dropped yet.
    pub(crate) streams: Arc<AtomicUsize>,
    /// The number of calls and streams when the engine was closed.
    pub(crate) closed_under: Arc<AtomicUsize>,
    /// The parts that were closed, in order.
    pub(crate) log: Arc<Mutex<Vec<&'static str>>>,
    pub(crate) new_host_hangs: bool,
    pub(crate) close_fails: bool,
    pub(crate) close_panics: bool,
}

/// Is counted until it is dropped. The drop yields, so that other threads can run in
/// between.
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(crate) fn new(count: &Arc<AtomicUsize>) -> Counted {
        count.fetch_add(1, Ordering::SeqCst);
        Counted(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        for _ in 0..100 {
            std::thread::yield_now();
        }
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Engine for Script {
    async fn vnet_new_host(&self, hostname: &str, registry: &dyn Registry) -> Result<(), Failure> {
        let _counted = Counted::new(&self.running);
        registry.announce(hostname, "here").await?;
        if self.new_host_hangs {
            pending::<()>().await;
        }
        Ok(())
    }

    async fn vnet_dial(&self, _: &Addr, _: &Addr, _: &str) -> Result<(ByteStream, Addr), Failure> {
        let _counted = Counted::new(&self.running);
        pending().await
    }

    async fn close(&self) -> Result<(), Failure> {
        let [running, streams] = [&self.running, &self.streams].map(|n| n.load(Ordering::SeqCst));
        self.closed_under.store(running + streams, Ordering::SeqCst);
        self.log.lock().unwrap().push("engine");
        assert!(!self.close_panics, "a bug in the engine");
        match self.close_fails {
            true => Err(Failure::other("some problem")),
            false => Ok(()),
        }
    }
}

/// A registry that is down for queries, and whose close fails.
#[derive(Default)]
pub(crate) struct Stubborn(pub(crate) Arc<Mutex<Vec<&'static str>>>);

#[async_trait]
impl Registry for Stubborn {
    async fn announce(&self, _: &str, _: &str) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn query(&self, hostname: &str) -> Result<String, RegistryError> {
        Err(RegistryError::new(
            "stubborn",
            "query",
            &[hostname],
            Cause::RegistryDown,
        ))
    }

    async fn close(&self) -> Result<(), RegistryError> {
        self.0.lock().unwrap().push("registry");
        let why = Failure::because(Cause::RegistryDown, "the cable was cut");
        Err(RegistryError::new("stubborn", "close", &[], why))
    }
}

/// A subnetwork over `script`, and the notifier that its engine got.
pub(crate) fn subnetwork(script: &Script, registry: Arc<dyn Registry>) -> (SubNetwork, Notifier) {
    let mut given = None;
    let subnet = SubNetwork::new("pipet", registry, |notifier| {
        given = Some(notifier);
        script.clone()
    });
    (subnet.unwrap(), given.unwrap())
}

pub(crate) async fn alpha(script: &Script) -> (SubNetwork, Notifier, Host) {
    let (subnet, notifier) = subnetwork(script, Arc::new(MemoryHub::new().registry()));
    let host = subnet.new_host("α").await.unwrap();
    (subnet, notifier, host)
}

pub(crate) fn addr(written: &str) -> Addr {
    Addr::parse("pipet", written).unwrap()
}

/// A stream, and the far ends of its two directions.
pub(crate) fn stream() -> (ByteStream, DuplexStream, DuplexStream) {
    let ((reader, far_writer), (writer, far_reader)) = (duplex(64), duplex(64));
    (ByteStream::new(reader, writer), far_writer, far_reader)
}

/// A connection from γ to `listener` over the given halves.
pub(crate) async fn accept_over(
    notifier: &Notifier,
    listener: &Listener,
    reader: impl AsyncRead + Send + Unpin + 'static,
    writer: impl AsyncWrite + Send + Unpin + 'static,
) -> Conn {
    let src = addr("γ:1");
    let engine = async {
        let accept = notifier
            .vnet_accept(&src, listener.local_addr())
            .await
            .unwrap();
        accept.ack(ByteStream::new(reader, writer));
    };
    let (accepted, ()) = tokio::join!(listener.accept(), engine);
    accepted.unwrap().0
}
