//! The engine: the contract, and the hosts' endpoints that fulfil it.
//!
//! Owns which hosts there are. Never knows a frame or a certificate.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::Instant;
use virtnet_core::{Addr, ByteStream, Cause, Engine, Failure, Notifier, Registry};

use crate::Stats;
use crate::config::Prepared;
use crate::endpoint::{Endpoint, EndpointInner};
use crate::udp::socket::ProbeSocket;

/// The engine that carries connections over QUIC.
///
/// Made by [`Prepared::start`](crate::Prepared::start). Every host has a UDP
/// socket of its own; all connections from one host to another share one QUIC
/// connection.
///
/// Closing it delivers what was written before, for up to the
/// [drain timeout](crate::QuicConfig::drain_timeout); dropping it without does
/// not wait.
pub struct QuicEngine {
    prepared: Prepared,
    notifier: Notifier,
    /// `None` once it was closed.
    open: Mutex<Option<Open>>,
    /// What came of closing; taken by the first who waits for it.
    closed: OnceCell<Mutex<Option<Failure>>>,
}

type Hosts = HashMap<Arc<str>, Endpoint>;

/// What an engine holds until it is closed.
struct Open {
    hosts: Hosts,
    _warm: ProbeSocket,
}

impl QuicEngine {
    pub(crate) fn new(prepared: Prepared, notifier: Notifier) -> QuicEngine {
        QuicEngine {
            prepared,
            notifier,
            open: Mutex::new(Some(Open {
                hosts: Hosts::new(),
                _warm: ProbeSocket::new(),
            })),
            closed: OnceCell::new(),
        }
    }

    /// Counters of what was refused, and why.
    pub fn stats(&self) -> Stats {
        self.prepared.stats()
    }

    fn host(&self, hostname: &str) -> Result<Arc<EndpointInner>, Failure> {
        let open = lock(&self.open);
        let open = open.as_ref().ok_or(Cause::NetworkDown)?;
        let endpoint = open.hosts.get(hostname).ok_or(Cause::HostDown)?;
        Ok(Arc::clone(endpoint.inner()))
    }

    /// Whether a host of that name can be added.
    fn admits(&self, hostname: &str) -> Result<(), Failure> {
        match lock(&self.open).as_ref() {
            None => Err(Cause::NetworkDown.into()),
            Some(open) if open.hosts.contains_key(hostname) => {
                Err(Cause::HostAlreadyRegistered.into())
            }
            Some(_) => Ok(()),
        }
    }

    /// Adds a host; gives it back where the engine was closed meanwhile.
    fn add(&self, hostname: &str, endpoint: Endpoint) -> Option<Endpoint> {
        match lock(&self.open).as_mut() {
            // The registry let two of one name through: the first one stays.
            Some(open) if open.hosts.contains_key(hostname) => Some(endpoint),
            Some(open) => open.hosts.insert(hostname.into(), endpoint),
            None => Some(endpoint),
        }
    }

    async fn close_hosts(&self) -> Mutex<Option<Failure>> {
        let open = lock(&self.open).take();
        let mut closing = JoinSet::new();
        for endpoint in open.into_iter().flat_map(|open| open.hosts.into_values()) {
            closing.spawn(endpoint.close());
        }
        let mut failures = Vec::new();
        while let Some(closed) = closing.join_next().await {
            match closed {
                Ok(closed) => failures.extend(closed.err()),
                Err(err) if err.is_panic() => std::panic::resume_unwind(err.into_panic()),
                // The runtime is ending, and all of it with it.
                Err(_) => {}
            }
        }
        Mutex::new(sum(failures))
    }
}

/// All failures as one.
fn sum(mut failures: Vec<Failure>) -> Option<Failure> {
    if failures.len() < 2 {
        return failures.pop();
    }
    let cause = failures[0].cause();
    let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
    Some(Failure::wrap(cause, texts.join("; ")))
}

#[async_trait]
impl Engine for QuicEngine {
    async fn vnet_new_host(&self, hostname: &str, registry: &dyn Registry) -> Result<(), Failure> {
        self.admits(hostname)?;
        let (endpoint, hostdata) = Endpoint::start(&self.prepared, &self.notifier, hostname)?;
        if let Err(err) = registry.announce(hostname, &hostdata).await {
            // Nothing was written yet that could be undelivered.
            let _ = endpoint.close().await;
            return Err(err.into());
        }
        match self.add(hostname, endpoint) {
            None => Ok(()),
            Some(endpoint) => {
                let _ = endpoint.close().await;
                Err(Cause::NetworkDown.into())
            }
        }
    }

    async fn vnet_dial(
        &self,
        src: &Addr,
        dst: &Addr,
        dst_hostdata: &str,
    ) -> Result<(ByteStream, Addr), Failure> {
        let by = Instant::now() + self.prepared.config.dial_timeout;
        self.vnet_dial_by(src, dst, dst_hostdata, by).await
    }

    fn dial_bound(&self) -> Option<Duration> {
        Some(self.prepared.config.dial_timeout)
    }

    async fn vnet_dial_by(
        &self,
        src: &Addr,
        dst: &Addr,
        dst_hostdata: &str,
        by: Instant,
    ) -> Result<(ByteStream, Addr), Failure> {
        let host = self.host(src.host())?;
        host.dial(src, dst, dst_hostdata, by).await
    }

    async fn close(&self) -> Result<(), Failure> {
        let closed = self.closed.get_or_init(|| self.close_hosts()).await;
        match lock(closed).take() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for QuicEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicEngine")
            .field("prepared", &self.prepared)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is whole, so a panic elsewhere left nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
