//! The hosts of a subnetwork by name: which there are, which one a dial reaches, and how all
//! of them go down.
//!
//! Owns [`Directory`], and [`Reservation`], a name whose host is being made. Never closes
//! engine or registry: the subnetwork's task does.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::context::Context;
use crate::context::limits::Refusal;
use crate::context::rules::Unenforced;
use crate::faults::FaultTable;
use crate::host::accept_queue::AcceptQueue;
use crate::host::inner::{HostInner, HostOwner};
use crate::trace::EventKind;
use crate::{Addr, Cause, Failure, Lost, RegistryError};

/// The hosts of one subnetwork, and what they share.
pub(crate) struct Directory {
    pub(crate) context: Arc<Context>,
    /// Held for map operations only.
    names: Mutex<Names>,
}

/// A name stays here until the subnetwork closes, even if its host is closed.
#[derive(Default)]
struct Names {
    by_name: HashMap<Arc<str>, Name>,
    /// How many hosts are open.
    open: usize,
    auto_close: bool,
}

struct Name {
    host: Weak<HostInner>,
    /// It counts as an open host.
    open: bool,
}

impl Directory {
    pub(crate) fn new(context: Context) -> Directory {
        Directory {
            context: Arc::new(context),
            names: Mutex::default(),
        }
    }

    /// The accept queue of the listener on `dst`, for an incoming dial.
    pub(crate) fn listener(&self, dst: &Addr) -> Result<Arc<AcceptQueue>, Failure> {
        let Context {
            network,
            refusals,
            down,
            ..
        } = &*self.context;
        let refuse = |why| refusals.refuse(why);
        let known = {
            let names = self.names.lock();
            let known = names.by_name.get(dst.host());
            known.map(|known| known.host.upgrade())
        };
        down.check().map_err(|_| refuse(Refusal::WentDown))?;
        let known = known.filter(|_| dst.network() == &**network);
        let host = known.ok_or_else(|| refuse(Refusal::NoSuchHost))?;
        let host = host.filter(|host| host.check().is_ok());
        let listener = host.and_then(|host| host.listener(dst.port()));
        let listener = listener.ok_or_else(|| refuse(Refusal::NothingListens))?;
        self.check_held(dst)?;
        Ok(listener)
    }

    /// Refuses while another subnetwork may hold the name of `dst`.
    pub(crate) fn check_held(&self, dst: &Addr) -> Result<(), Failure> {
        match self.context.registry.holds(dst.host()) {
            true => Ok(()),
            false => Err(self.context.refusals.refuse(Refusal::NameInDoubt)),
        }
    }

    /// Enforces the rules of `table` from now on, on datagrams, dials and connections: when it
    /// returns, nothing of a cut pair is handed to anybody. Waiting tasks look again. If this
    /// subnetwork cannot enforce a rule, nothing has changed.
    pub(crate) fn enforce(&self, table: &Arc<FaultTable>) -> Result<(), Vec<Unenforced>> {
        let context = &self.context;
        let before = context.rules.in_force();
        // Numbers for what is recorded are taken before a rule can do anything.
        let numbers = context.recorder.is_on().then(|| self.hosts().1);
        let numbers = numbers.into_iter().flatten();
        let numbers: Vec<_> = numbers.map(|host| (host.trace().reserve(), host)).collect();
        context.rules.swap(&**context.engine(), table)?;
        let (_, hosts) = self.hosts();
        for host in &hosts {
            host.meet_rules();
            let number = numbers.iter().find(|(_, known)| Arc::ptr_eq(known, host));
            let number = number.and_then(|(number, _)| *number);
            host.record_rules(number, before.as_deref());
        }
        Ok(())
    }

    /// Takes down the host whose name another subnetwork holds now.
    pub(crate) fn lose(&self, lost: Lost) {
        let find = |names: &Names| names.by_name.get(&*lost.hostname)?.host.upgrade();
        let host = find(&self.names.lock());
        if let Some(host) = host {
            host.trace().ends_as(EventKind::HostLost);
            host.go_down(Failure::because(Cause::HostDown, lost.reason));
        }
    }

    /// How many hosts are open, and all hosts that are still in memory.
    pub(crate) fn hosts(&self) -> (usize, Vec<Arc<HostInner>>) {
        let (open, hosts) = {
            let names = self.names.lock();
            let hosts = names.by_name.values().map(|name| name.host.clone());
            (names.open, hosts.collect::<Vec<_>>())
        };
        // Without the lock: dropping the last handle of a host takes it.
        (open, hosts.iter().filter_map(Weak::upgrade).collect())
    }

    /// After all open hosts have crashed: the same for those that were closed before, whose names are still
    /// announced, and for those that are being made.
    pub(crate) fn crash_rest(&self) {
        let names: Vec<_> = self.names.lock().by_name.keys().cloned().collect();
        let Context { registry, .. } = &*self.context;
        for name in names {
            let rest = self.context.engine().vnet_crash(&name);
            registry.crash(&name);
            if let Some(rest) = rest {
                rest();
            }
        }
    }

    /// Has the last open host close all; `false` if no host is open.
    pub(crate) fn auto_close(&self) -> bool {
        let mut names = self.names.lock();
        names.auto_close |= names.open > 0;
        names.open > 0
    }

    /// Takes everything down because of `reason`, or because it was closed.
    pub(crate) fn go_down(&self, reason: Option<Failure>) {
        // Dropped at the end of this function, or when a stream's panic unwinds it.
        let Some((why, keep_open)) = self.context.mark(reason) else {
            return;
        };
        let (_, hosts) = self.hosts();
        let conns: Vec<_> = hosts
            .into_iter()
            .flat_map(|host| host.mark(why.clone()))
            .collect();
        let taken: Vec<_> = conns.iter().map(|conn| conn.let_go()).collect();
        drop((taken, keep_open));
    }
}

impl HostOwner for Directory {
    /// One host less is open, if this one ever was.
    fn host_down(&self, host: &HostInner) {
        let last = {
            let mut guard = self.names.lock();
            let names = &mut *guard;
            let name = names.by_name.get_mut(host.home().host());
            // Another host may have the name, if this one was given up while it was made.
            let name = name.filter(|name| std::ptr::eq(name.host.as_ptr(), host));
            if !name.is_some_and(|name| std::mem::take(&mut name.open)) {
                return;
            }
            names.open -= 1;
            names.auto_close && names.open == 0
        };
        let (network, host) = (&*self.context.network, host.home().host());
        tracing::info!(network, host, "host closed");
        if last {
            self.go_down(None);
        }
    }

    /// One host less is open; as it may come back, it is not the last.
    fn host_crashed(&self, host: &HostInner) {
        let (network, hostname) = (&*self.context.network, host.home().host());
        let mut guard = self.names.lock();
        let names = &mut *guard;
        if let Some(name) = names.by_name.get(hostname)
            && std::ptr::eq(name.host.as_ptr(), host)
        {
            names.open -= usize::from(name.open);
            names.by_name.remove(hostname);
        }
        drop(guard);
        tracing::info!(network, host = hostname, "host crashed");
    }
}

/// The name of a host that is being made; dropping it frees the name, unless it is completed.
pub(crate) struct Reservation<'a> {
    directory: &'a Directory,
    host: &'a HostInner,
    completed: bool,
}

impl<'a> Reservation<'a> {
    pub(crate) fn new(
        directory: &'a Directory,
        host: &'a Arc<HostInner>,
    ) -> Result<Reservation<'a>, Failure> {
        let (context, hostname) = (&directory.context, host.home().host());
        let mut names = directory.names.lock();
        context.down.check()?;
        let (count, most) = (names.by_name.len(), context.limits.hosts);
        match names.by_name.entry(Arc::from(hostname)) {
            Entry::Occupied(_) => Err(RegistryError::taken_here(hostname).into()),
            Entry::Vacant(_) if count >= most => Err(Failure::other(format!(
                "this subnetwork already has {most} hosts, its limit (closed hosts count too)"
            ))),
            Entry::Vacant(vacant) => {
                vacant.insert(Name {
                    host: Arc::downgrade(host),
                    open: false,
                });
                Ok(Reservation {
                    directory,
                    host,
                    completed: false,
                })
            }
        }
    }

    /// The host is open from now on, unless it or the network went down.
    pub(crate) fn complete(mut self) -> Result<(), Failure> {
        let mut guard = self.directory.names.lock();
        let names = &mut *guard;
        self.directory.context.down.check()?;
        // Checked under the lock: if the host goes down later, it is found open, and counted.
        self.host.check()?;
        if let Some(name) = names.by_name.get_mut(self.host.home().host()) {
            name.open = true;
            names.open += 1;
        }
        drop(guard);
        self.completed = true;
        Ok(())
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if !self.completed {
            let mut names = self.directory.names.lock();
            names.by_name.remove(self.host.home().host());
        }
    }
}
