//! The hosts of a subnetwork: which there are, what a dial finds, how all goes
//! down.
//!
//! Owns [`Context`], what the handles of one subnetwork share, and the list of
//! its hosts. Never closes engine or registry: the subnetwork's task does.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::context::calls::Calls;
use crate::context::dials::Outcomes;
use crate::context::down::Down;
use crate::context::limits::{Refusal, Refusals};
use crate::context::sync::lock;
use crate::host::accept_queue::AcceptQueue;
use crate::host::inner::HostInner;
use crate::subnet::close::Closed;
use crate::{Addr, Cause, Engine, Failure, Limits, Lost, Registry, RegistryError};

/// How often hosts that are waited for are looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Keeps engine and registry from closing: held by the subnetwork until all of
/// it is down, and with every stream until that is dropped. What is sent is why
/// the network is down, where it was not closed.
pub(crate) type KeepOpen = mpsc::UnboundedSender<Failure>;

/// What the handles of one subnetwork share.
pub(crate) struct Context {
    pub(crate) network: Arc<str>,
    /// Set before anybody but the engine's own notifier knows the subnetwork.
    pub(crate) engine: OnceLock<Arc<dyn Engine>>,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) limits: Limits,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) outcomes: Outcomes,
    pub(crate) down: Down,
    /// Given up once all here is down.
    pub(crate) hold: Mutex<Option<KeepOpen>>,
    pub(crate) ops: Arc<Calls>,
    /// A plain lock: held for map operations only.
    pub(crate) hosts: Mutex<Directory>,
    pub(crate) closed: watch::Receiver<Option<Closed>>,
}

/// A name stays here until the subnetwork closes, whatever became of its host.
#[derive(Default)]
pub(crate) struct Directory {
    pub(crate) by_name: HashMap<Arc<str>, DirectoryEntry>,
    pub(crate) open: usize,
    pub(crate) auto_close: bool,
}

pub(crate) struct DirectoryEntry {
    pub(crate) host: Weak<HostInner>,
    /// It counts among the open hosts.
    open: bool,
}

impl Context {
    /// What listens on `dst`, for a dial that came in.
    pub(crate) fn listener(&self, dst: &Addr) -> Result<Arc<AcceptQueue>, Failure> {
        let refuse = |why| self.refusals.refuse(why);
        let known = {
            let hosts = lock(&self.hosts);
            let known = hosts.by_name.get(dst.host());
            known.map(|known| known.host.upgrade())
        };
        self.down.check().map_err(|_| refuse(Refusal::WentDown))?;
        let known = known.filter(|_| dst.network() == &*self.network);
        let host = known.ok_or_else(|| refuse(Refusal::NoSuchHost))?;
        let host = host.filter(|host| host.check().is_ok());
        let listener = host.and_then(|host| host.listener(dst.port()));
        let listener = listener.ok_or_else(|| refuse(Refusal::NothingListens))?;
        self.check_held(dst)?;
        Ok(listener)
    }

    /// Refuses while another subnetwork may hold the name of `dst`.
    pub(crate) fn check_held(&self, dst: &Addr) -> Result<(), Failure> {
        match self.registry.holds(dst.host()) {
            true => Ok(()),
            false => Err(self.refusals.refuse(Refusal::NameInDoubt)),
        }
    }

    /// Takes down the host whose name another subnetwork holds now.
    pub(crate) fn lose(&self, lost: Lost) {
        let find = |names: &Directory| names.by_name.get(&*lost.hostname)?.host.upgrade();
        let host = find(&lock(&self.hosts));
        if let Some(host) = host {
            host.go_down(Failure::because(Cause::HostDown, lost.reason));
        }
    }

    /// The engine, which every handle has.
    pub(crate) fn engine(&self) -> &Arc<dyn Engine> {
        self.engine
            .get()
            .expect("it is set before there are handles")
    }

    /// Keeps the engine from closing as long as it is held.
    pub(crate) fn hold(&self) -> Result<KeepOpen, Failure> {
        let hold = lock(&self.hold).clone();
        hold.ok_or_else(|| {
            self.down
                .get()
                .cloned()
                .unwrap_or(Cause::NetworkDown.into())
        })
    }

    /// Waits until all of `missing` are announced.
    pub(crate) async fn wait_for_hosts(
        &self,
        mut missing: Vec<&str>,
        timeout: Duration,
    ) -> Result<(), Failure> {
        // No deadline is one that no clock can tell.
        let deadline = Instant::now().checked_add(timeout);
        let mut look = tokio::time::interval(LOOK);
        loop {
            look.tick().await;
            let (mut absent, mut outage) = (Vec::new(), None);
            let mut names = missing.into_iter();
            while outage.is_none()
                && let Some(hostname) = names.next()
            {
                match self.find(hostname).await {
                    Ok(()) => continue,
                    Err(why) if why.cause() == Cause::NoSuchHost => {}
                    Err(why) if why.cause() == Cause::RegistryDown => outage = Some(why),
                    Err(why) => return Err(why),
                }
                absent.push(hostname);
            }
            // While the registry is down, one call is enough to wait for.
            absent.extend(names);
            missing = absent;
            if missing.is_empty() {
                return Ok(());
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(outage.unwrap_or_else(|| too_late(&missing, timeout)));
            }
        }
    }

    /// Whether the host is announced now, whatever the registry remembers.
    async fn find(&self, hostname: &str) -> Result<(), Failure> {
        let (registry, hostname) = (Arc::clone(&self.registry), hostname.to_owned());
        self.run(async move {
            let answer = registry.query(&hostname).await?;
            registry.requery(&hostname, &answer).await?;
            Ok(())
        })
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
        let network = &*self.network;
        tracing::info!(network, reason = reason.as_ref().map(display), "closing");
        // Given up at the end of this, or while a stream's panic unwinds it.
        let hold = lock(&self.hold).take();
        if let (Some(hold), Some(reason)) = (&hold, reason) {
            drop(hold.send(reason));
        }
        let hosts: Vec<_> = {
            let names = lock(&self.hosts);
            names
                .by_name
                .values()
                .map(|name| name.host.clone())
                .collect()
        };
        let hosts = hosts.iter().filter_map(Weak::upgrade);
        let conns: Vec<_> = hosts.flat_map(|host| host.mark(why.clone())).collect();
        let taken: Vec<_> = conns.iter().map(|conn| conn.let_go()).collect();
        drop((taken, hold));
    }

    /// `host` is down: one less is open, if it ever was.
    pub(crate) fn host_closed(&self, host: &HostInner) {
        let last = {
            let mut guard = lock(&self.hosts);
            let hosts = &mut *guard;
            let name = hosts.by_name.get_mut(host.home().host());
            // Of that name, but another: one that was given up while it was made.
            let name = name.filter(|name| std::ptr::eq(name.host.as_ptr(), host));
            if !name.is_some_and(|name| std::mem::take(&mut name.open)) {
                return;
            }
            hosts.open -= 1;
            hosts.auto_close && hosts.open == 0
        };
        let (network, host) = (&*self.network, host.home().host());
        tracing::info!(network, host, "host closed");
        if last {
            self.go_down(None);
        }
    }
}

/// A host that is being made; forgotten unless it is completed.
pub(crate) struct Reservation<'a> {
    subnet: &'a Context,
    sockets: &'a HostInner,
    completed: bool,
}

impl<'a> Reservation<'a> {
    pub(crate) fn new(
        subnet: &'a Context,
        home: &Addr,
        sockets: &'a Arc<HostInner>,
    ) -> Result<Reservation<'a>, Failure> {
        let mut hosts = lock(&subnet.hosts);
        subnet.down.check()?;
        let (count, most) = (hosts.by_name.len(), subnet.limits.hosts);
        match hosts.by_name.entry(Arc::from(home.host())) {
            Entry::Occupied(_) => Err(RegistryError::taken_here(home.host()).into()),
            Entry::Vacant(_) if count >= most => Err(Failure::other(format!(
                "this subnetwork has had {most} hosts, which is its limit"
            ))),
            Entry::Vacant(vacant) => {
                vacant.insert(DirectoryEntry {
                    host: Arc::downgrade(sockets),
                    open: false,
                });
                Ok(Reservation {
                    subnet,
                    sockets,
                    completed: false,
                })
            }
        }
    }

    /// The host exists from now on, unless it or the network went down.
    pub(crate) fn complete(mut self) -> Result<(), Failure> {
        let mut guard = lock(&self.subnet.hosts);
        let hosts = &mut *guard;
        self.subnet.down.check()?;
        // Whatever takes it down later finds it open, and counts it.
        self.sockets.check()?;
        if let Some(name) = hosts.by_name.get_mut(self.sockets.home().host()) {
            name.open = true;
            hosts.open += 1;
        }
        drop(guard);
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

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if !self.completed {
            lock(&self.subnet.hosts)
                .by_name
                .remove(self.sockets.home().host());
        }
    }
}
