//! The registry value: opening a network's registry, calling it, closing it.
//!
//! Owns which names are held here, and that none are after a close. Never
//! touches a host's file itself.
//!
//! Calls do their file I/O in the task that polls them. It is a handful of system calls on small
//! files of this machine, usually in memory and never synced: some ten microseconds, less than
//! it takes to hand them to another thread. And code without an await cannot be dropped
//! half-way: a name is held by the registry or not at all.

use std::fmt;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};
use virtnet_core::{
    Cause, Documents, Failure, Registry, RegistryError, Traces, check_hostname, check_network,
};

use crate::entry::{Entry, check_hostdata};
use crate::error::{busy, closed, damaged, down, taken};
use crate::folder;
use crate::listing::{self, Listing};
use crate::name_lock::{self, Attempt, Found, NameLock};
use crate::topic;
use crate::trace_memory::TraceMemory;

/// How long other processes may delay a call, and the pause between two attempts.
pub(crate) const BOUND: Duration = Duration::from_secs(2);
pub(crate) const PAUSE: Duration = Duration::from_millis(1);

/// A network's registry in a folder, for one subnetwork.
///
/// The crate's documentation says what it writes there and what it guarantees.
///
/// Dropping it frees its names, as a close does.
pub struct LocalRegistry {
    shown: String,
    network: String,
    folder: PathBuf,
    owner: String,
    /// The names that are held; `None` after a close.
    locks: Mutex<Option<Vec<NameLock>>>,
    pub(crate) trace: TraceMemory,
}

impl LocalRegistry {
    /// Opens the registry of a network in the folder `dir`. Creates the folder if it does not
    /// exist; its parent must exist.
    ///
    /// # Errors
    ///
    /// - [`Cause::PermissionDenied`] for a folder that other users can access or replace.
    /// - [`Cause::RegistryDown`] if it cannot be created or read.
    /// - [`Cause::InvalidAddr`] if the network's name is invalid.
    pub fn open(dir: &Path, network: &str) -> Result<LocalRegistry, RegistryError> {
        let shown = shown(dir);
        let folder = folder::network(dir, network);
        let prepared = (|| {
            check_network(network)?;
            folder::prepare(&folder)?;
            let tidied = name_lock::tidy(&folder).and_then(|()| topic::tidy(&folder));
            tidied.map_err(|err| down("clean up", &folder, &err))?;
            random().map_err(|err| Failure::other(format!("cannot get random bits: {err}")))
        })();
        match prepared {
            Ok(owner) => Ok(LocalRegistry {
                shown,
                network: network.to_owned(),
                folder,
                owner,
                locks: Mutex::new(Some(Vec::new())),
                trace: TraceMemory::default(),
            }),
            Err(failure) => Err(RegistryError::new(shown, "open", &[network], failure)),
        }
    }

    /// The network's folder, which only this user can access. Members may share other files
    /// in it. File names of 64 hexadecimal digits, and those that begin with `draft-`,
    /// `document-`, `changes-` or `trace-`, are reserved for hosts, documents and the live trace.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All hosts of a network, whichever process announced them, without joining it. Creates
    /// nothing: without the folder, there are no hosts.
    ///
    /// # Errors
    ///
    /// Those of [`open`](LocalRegistry::open). A file that no registry wrote is not an error: it
    /// is listed in [`unreadable`](Listing::unreadable).
    pub fn list(dir: &Path, network: &str) -> Result<Listing, RegistryError> {
        let listing = listing::list(&folder::network(dir, network));
        listing.map_err(|failure| RegistryError::new(shown(dir), "list", &[network], failure))
    }

    /// An error if it was closed.
    pub(crate) fn check_open(&self) -> Result<(), Failure> {
        match *self.locks() {
            Some(_) => Ok(()),
            None => Err(closed()),
        }
    }

    fn locks(&self) -> MutexGuard<'_, Option<Vec<NameLock>>> {
        self.locks.lock()
    }

    /// The path of the host's file; an error for an invalid name.
    fn path(&self, hostname: &str) -> Result<PathBuf, Failure> {
        check_hostname(hostname)?;
        Ok(folder::host(&self.folder, hostname))
    }

    async fn hold(&self, hostname: &str, hostdata: &str) -> Result<(), Failure> {
        let path = self.path(hostname)?;
        check_hostdata(hostname, hostdata)?;
        let entry = Entry {
            pid: std::process::id(),
            owner: self.owner.clone(),
            host: hostname.to_owned(),
            hostdata: hostdata.to_owned(),
        };
        let until = Instant::now() + BOUND;
        while !self.attempt(&path, &entry.text())? {
            if Instant::now() >= until {
                return Err(busy(&path, format_args!("{BOUND:?}")));
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Whether it is held now; if not, try again.
    fn attempt(&self, path: &Path, text: &str) -> Result<bool, Failure> {
        // Locked throughout, so that a close comes before or after.
        let mut locks = self.locks();
        let locks = locks.as_mut().ok_or_else(closed)?;
        let attempt = name_lock::lock_name(&self.folder, path, text);
        match attempt.map_err(|err| down("announce in", &self.folder, &err))? {
            Attempt::Locked(lock) => {
                locks.push(lock);
                Ok(true)
            }
            Attempt::Taken(by) => Err(taken(by.map(|entry| entry.pid))),
            Attempt::Busy => Ok(false),
        }
    }

    fn find(&self, hostname: &str) -> Result<String, Failure> {
        let path = self.path(hostname)?;
        self.check_open()?;
        match name_lock::look(&path).map_err(|err| down("read", &path, &err))? {
            Found::Held(bytes) => match Entry::parse(&bytes) {
                Some(entry) if entry.host == hostname => Ok(entry.hostdata),
                _ => Err(damaged(&path)),
            },
            Found::Stale(_) => Err(Cause::NoSuchHost.into()),
            // There is no such name, or the folder is gone.
            Found::Nothing => match self.folder.metadata() {
                Ok(_) => Err(Cause::NoSuchHost.into()),
                Err(err) => Err(down("read", &self.folder, &err)),
            },
        }
    }

    pub(crate) fn error(&self, op: &'static str, args: &[&str], failure: Failure) -> RegistryError {
        RegistryError::new(&*self.shown, op, args, failure)
    }
}

#[async_trait]
impl Registry for LocalRegistry {
    /// Announces a host.
    ///
    /// # Errors
    ///
    /// Those of the trait, with the holder's process id as the source of
    /// [`Cause::HostAlreadyRegistered`]; [`Cause::InvalidAddr`] for an invalid name.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError> {
        let held = self.hold(hostname, hostdata).await;
        held.map_err(|failure| self.error("announce", &[hostname, hostdata], failure))
    }

    /// Looks a host up.
    ///
    /// # Errors
    ///
    /// Those of the trait; [`Cause::InvalidAddr`] for an invalid name, [`Cause::Protocol`] if
    /// the host's file was not written by a registry.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    async fn query(&self, hostname: &str) -> Result<String, RegistryError> {
        let found = self.find(hostname);
        found.map_err(|failure| self.error("query", &[hostname], failure))
    }

    /// Reads the folder again: the holder may have ended, or come back elsewhere, while it was
    /// dialed.
    ///
    /// # Errors
    ///
    /// Those of [`query`](Registry::query).
    async fn requery(&self, hostname: &str, answer: &str) -> Result<Option<String>, RegistryError> {
        let now = self.query(hostname).await?;
        Ok((now != answer).then_some(now))
    }

    /// Whether the name is held here, and its file is still where other processes look for it. A
    /// folder that was removed, such as that of a user session when it ends, keeps no other
    /// process from the name.
    fn holds(&self, hostname: &str) -> bool {
        let path = folder::host(&self.folder, hostname);
        let locks = self.locks();
        let mut locks = locks.iter().flatten();
        locks.any(|lock| lock.holds(&path))
    }

    /// Unlocks the name, as the system does when a process is killed: it is free at once.
    fn crash(&self, hostname: &str) {
        let path = folder::host(&self.folder, hostname);
        let mut locks = self.locks();
        if let Some(locks) = locks.as_mut() {
            locks.retain(|lock| !lock.holds(&path));
        }
    }

    fn documents(&self) -> Option<&dyn Documents> {
        Some(self)
    }

    fn traces(&self) -> Option<&dyn Traces> {
        Some(self)
    }

    /// Frees the names that were announced here, at once. It never fails, even if their files
    /// cannot be removed.
    async fn close(&self) -> Result<(), RegistryError> {
        let locks = self.locks().take();
        drop(locks);
        Ok(())
    }
}

impl fmt::Debug for LocalRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalRegistry")
            .field("folder", &self.folder)
            .field("network", &self.network)
            .field("closed", &self.locks().is_none())
            .finish_non_exhaustive()
    }
}

/// The registry's name in errors.
fn shown(dir: &Path) -> String {
    format!("local:{}", dir.display())
}

/// 128 random bits, in hexadecimal.
fn random() -> io::Result<String> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(io::Error::other)?;
    Ok(bits.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
