//! The hosts of a subnetwork: which there are, what a dial finds, how all goes
//! down.
//!
//! Owns [`Shared`], what the handles of one subnetwork share, and the list of
//! its hosts. Never closes engine or registry: the subnetwork's task does.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::close::Closed;
use crate::down::Down;
use crate::listener::Meeting;
use crate::ops::Ops;
use crate::socket::Sockets;
use crate::sync::lock;
use crate::{Addr, ByteStream, Cause, Engine, Failure, Lost, Registry};

/// How often hosts that are waited for are looked for.
const LOOK: Duration = Duration::from_millis(50);

/// What the handles of one subnetwork share.
pub(crate) struct Shared {
    pub(crate) network: Arc<str>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) down: Down,
    /// Starts the closing of engine and registry, once all here is down; by
    /// being dropped where nothing is left to take down.
    pub(crate) all_down: Mutex<Option<oneshot::Sender<Option<Failure>>>>,
    pub(crate) ops: Arc<Ops>,
    /// A plain lock: held for map operations only.
    pub(crate) hosts: Mutex<Names>,
    pub(crate) closed: watch::Receiver<Option<Closed>>,
}

/// A name stays here until the subnetwork closes, whatever became of its host.
#[derive(Default)]
pub(crate) struct Names {
    by_name: HashMap<Arc<str>, Weak<Sockets>>,
    pub(crate) open: usize,
    pub(crate) auto_close: bool,
}

impl Shared {
    /// What listens on `dst`, for a dial that came in.
    pub(crate) fn listener(&self, dst: &Addr) -> Result<Arc<Meeting>, Failure> {
        let host = {
            let hosts = lock(&self.hosts);
            self.down.check().map_err(|_| Cause::ConnectionRefused)?;
            let known = hosts.by_name.get(dst.host());
            let known = known.filter(|_| dst.network() == &*self.network);
            known.ok_or(Cause::NoSuchHost)?.upgrade()
        };
        let host = host.filter(|host| host.check().is_ok());
        let listener = host.and_then(|host| host.listener(dst.port()));
        let listener = listener.ok_or(Cause::ConnectionRefused)?;
        self.check_held(dst)?;
        Ok(listener)
    }

    /// Refuses while another subnetwork may hold the name of `dst`.
    pub(crate) fn check_held(&self, dst: &Addr) -> Result<(), Failure> {
        match self.registry.holds(dst.host()) {
            true => Ok(()),
            false => Err(Cause::ConnectionRefused.into()),
        }
    }

    /// Takes down the host whose name another subnetwork holds now.
    pub(crate) fn lose(&self, lost: Lost) {
        let host = lock(&self.hosts).by_name.get(&*lost.hostname).cloned();
        if let Some(host) = host.and_then(|host| host.upgrade()) {
            host.go_down(Failure::because(Cause::HostDown, lost.reason));
        }
    }

    /// Looks `dst` up in the registry and has the engine connect `src` to it.
    pub(crate) async fn dial(&self, src: Addr, dst: Addr) -> Result<(ByteStream, Addr), Failure> {
        let (engine, registry) = (Arc::clone(&self.engine), Arc::clone(&self.registry));
        self.run(async move {
            let hostdata = registry.query(dst.host()).await?;
            let failure = match engine.vnet_dial(&src, &dst, &hostdata).await {
                Ok(dialed) => return Ok(dialed),
                Err(failure) => failure,
            };
            // An answer that led nowhere may have been out of date.
            match registry.requery(dst.host(), &hostdata).await? {
                Some(hostdata) => engine.vnet_dial(&src, &dst, &hostdata).await,
                None => Err(failure),
            }
        })
        .await
    }

    /// Waits until all of `missing` are announced.
    pub(crate) async fn wait_for_hosts(
        &self,
        mut missing: Vec<&str>,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + timeout;
        let mut look = tokio::time::interval(LOOK);
        loop {
            look.tick().await;
            let (mut absent, mut outage) = (Vec::new(), None);
            for hostname in missing {
                match self.find(hostname).await {
                    Ok(_) => continue,
                    Err(why) if why.cause() == Cause::NoSuchHost => {}
                    Err(why) if why.cause() == Cause::RegistryDown => outage = Some(why),
                    Err(why) => return Err(why),
                }
                absent.push(hostname);
            }
            missing = absent;
            if missing.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(outage.unwrap_or_else(|| too_late(&missing, timeout)));
            }
        }
    }

    async fn find(&self, hostname: &str) -> Result<String, Failure> {
        let (registry, hostname) = (Arc::clone(&self.registry), hostname.to_owned());
        self.run(async move { Ok(registry.query(&hostname).await?) })
            .await
    }

    /// Runs a call to engine or registry until it is done or all goes down.
    pub(crate) async fn run<T: 'static>(
        &self,
        call: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            why = self.down.wait() => Err(why.clone()),
            done = self.ops.run(call) => done.unwrap_or_else(|| Err(Cause::NetworkDown.into())),
        }
    }

    /// Takes everything down, because of `reason` or because somebody closed.
    pub(crate) fn go_down(&self, reason: Option<Failure>) {
        let why = match &reason {
            Some(reason) => Failure::because(Cause::NetworkDown, reason.clone()),
            None => Cause::NetworkDown.into(),
        };
        if !self.down.set(why.clone()) {
            return;
        }
        let hosts: Vec<_> = lock(&self.hosts).by_name.values().cloned().collect();
        for host in hosts.iter().filter_map(Weak::upgrade) {
            host.go_down(why.clone());
        }
        // Only now: what the streams had written is with the engine.
        if let Some(all_down) = lock(&self.all_down).take() {
            drop(all_down.send(reason));
        }
    }

    /// One of the hosts that were open is so no more.
    pub(crate) fn host_closed(&self) {
        let last = {
            let mut hosts = lock(&self.hosts);
            hosts.open -= 1;
            hosts.auto_close && hosts.open == 0
        };
        if last {
            self.go_down(None);
        }
    }
}

/// A host that is being made; forgotten unless it is completed.
pub(crate) struct Arrival<'a> {
    subnet: &'a Shared,
    sockets: &'a Sockets,
    completed: bool,
}

impl<'a> Arrival<'a> {
    pub(crate) fn new(
        subnet: &'a Shared,
        home: &Addr,
        sockets: &'a Arc<Sockets>,
    ) -> Result<Arrival<'a>, Failure> {
        let mut hosts = lock(&subnet.hosts);
        subnet.down.check()?;
        match hosts.by_name.entry(Arc::from(home.host())) {
            Entry::Occupied(_) => Err(Cause::HostAlreadyRegistered.into()),
            Entry::Vacant(vacant) => {
                vacant.insert(Arc::downgrade(sockets));
                Ok(Arrival {
                    subnet,
                    sockets,
                    completed: false,
                })
            }
        }
    }

    /// The host exists from now on, unless the network went down.
    pub(crate) fn complete(mut self) -> Result<(), Failure> {
        let mut hosts = lock(&self.subnet.hosts);
        self.subnet.down.check()?;
        hosts.open += 1;
        self.sockets.open();
        drop(hosts);
        self.completed = true;
        Ok(())
    }
}

/// Says who was waited for in vain.
fn too_late(missing: &[&str], timeout: Duration) -> Failure {
    let names: Vec<_> = missing.iter().map(|name| format!("{name:?}")).collect();
    let what = format!("within {timeout:?} there was no {}", names.join(", "));
    Failure::wrap(Cause::TimedOut, what)
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        if !self.completed {
            lock(&self.subnet.hosts)
                .by_name
                .remove(self.sockets.home().host());
        }
    }
}
