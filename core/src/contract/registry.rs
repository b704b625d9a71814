//! The registry's contract: a directory of a network's hosts.
//!
//! Owns the trait [`Registry`], and [`Lost`], a registry's report of a name it
//! had to give up. Never interprets hostdata: only the engine that wrote it can.

use async_trait::async_trait;

use crate::{Documents, Failure, RegistryError, Traces};

/// Maps host names to hostdata for all subnetworks of one network.
///
/// Each value serves one subnetwork. It owns the names that it announced, and
/// [`close`](Registry::close) frees exactly those.
///
/// All methods may be called from many tasks at once. Dropping a returned
/// future cancels the call; a name whose announcement was cancelled is freed,
/// at the latest by `close`. Every call ends within a time that the registry
/// documents.
///
/// # Names that can be lost
///
/// A registry with *leased* names also implements two provided methods:
/// [`holds`](Registry::holds), which the subnetwork calls before a host accepts,
/// and [`lost`](Registry::lost), which reports a name that is permanently lost, so
/// that the subnetwork closes the host. A registry that caches answers implements
/// [`requery`](Registry::requery), to replace an answer that is out of date.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    /// Announces that `hostname` is reached by `hostdata`.
    ///
    /// # Errors
    ///
    /// [`Cause::HostAlreadyRegistered`](crate::Cause::HostAlreadyRegistered)
    /// if the name is taken, by this registry value or another;
    /// [`Cause::RegistryDown`](crate::Cause::RegistryDown) if the registry
    /// cannot be reached or was closed.
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError>;

    /// Returns the hostdata that `hostname` was announced with.
    ///
    /// # Errors
    ///
    /// [`Cause::NoSuchHost`](crate::Cause::NoSuchHost) if it is not
    /// announced; [`Cause::RegistryDown`](crate::Cause::RegistryDown) if the
    /// registry cannot be reached or was closed.
    async fn query(&self, hostname: &str) -> Result<String, RegistryError>;

    /// Queries `hostname` again, without any cache, because `answer` may be out of date: a
    /// dial with it failed, or has had no response yet. Returns the new hostdata if it
    /// differs from `answer`, else `None`.
    ///
    /// The default returns `None`: answers are never out of date.
    ///
    /// # Errors
    ///
    /// The errors of [`query`](Registry::query).
    async fn requery(&self, hostname: &str, answer: &str) -> Result<Option<String>, RegistryError> {
        let _ = (hostname, answer);
        Ok(None)
    }

    /// Whether `hostname`, which this value announced, is certainly held by no other
    /// value at this moment. Never blocks.
    ///
    /// While it returns false, dials to the host are refused.
    ///
    /// The default returns true: names are held until the close.
    fn holds(&self, hostname: &str) -> bool {
        let _ = hostname;
        true
    }

    /// Waits for the next name that this value announced and has permanently lost,
    /// because another registry value holds it or has held it since. It stays lost, even
    /// if it is free or held here again. The subnetwork then closes the host for good.
    ///
    /// One task of the subnetwork calls it repeatedly. The default waits without end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no name: the next call reports it.
    async fn lost(&self) -> Lost {
        std::future::pending().await
    }

    /// The host was crashed: from now on this value treats the name as if the process that announced it had
    /// been killed. It neither renews nor frees it, so a leased name stays taken until its lease
    /// is over. This value can announce the name again at once. Never blocks.
    ///
    /// The default does nothing: the name stays announced until the close, and cannot be announced
    /// again.
    fn crash(&self, hostname: &str) {
        let _ = hostname;
    }

    /// The documents that the network's subnetworks share, if this registry has them. The plan of
    /// faults is one: without documents, setting a plan reports that the registry cannot share it.
    /// A registry that wraps another one returns that one's.
    ///
    /// The default returns `None`.
    fn documents(&self) -> Option<&dyn Documents> {
        None
    }

    /// The live trace that the network's subnetworks share, if this registry has one. Without it, recording live
    /// reports that the registry cannot share it. A registry that wraps another one returns that one's.
    ///
    /// The default returns `None`.
    fn traces(&self) -> Option<&dyn Traces> {
        None
    }

    /// Frees the names that were announced here and releases everything.
    ///
    /// Later calls of the other methods report
    /// [`Cause::RegistryDown`](crate::Cause::RegistryDown). Closing again
    /// succeeds and does nothing.
    ///
    /// The subnetwork never drops the returned future, unless its runtime ends.
    ///
    /// # Errors
    ///
    /// If a name could not be freed.
    async fn close(&self) -> Result<(), RegistryError>;
}

/// A name that a registry has announced and no longer holds.
#[derive(Debug, Clone)]
pub struct Lost {
    /// The name of the host, which the subnetwork closes.
    pub hostname: String,
    /// The reason; it is in the source chain of the host's errors.
    pub reason: Failure,
}
