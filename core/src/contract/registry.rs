//! The registry's contract: where a network's hosts are reached.
//!
//! Owns the trait, and [`Lost`], what a registry says of a name it had to give
//! up. Never interprets hostdata: only the engine that wrote it knows what it
//! means.

use async_trait::async_trait;

use crate::{Failure, RegistryError};

/// Maps hostname to hostdata for all subnetworks of one network.
///
/// One value serves one subnetwork: what it announced is its own, and
/// [`close`](Registry::close) frees exactly that.
///
/// All methods may be called from many tasks at once. Dropping a returned
/// future cancels the call; a name whose announcement was cancelled is freed,
/// at the latest by `close`. Every call ends within a bound that the registry
/// documents.
///
/// # Names that can be lost
///
/// A registry whose names are *leased* has two more things to say, which the
/// provided methods don't: whether a name is still certainly held
/// ([`holds`](Registry::holds)), which the subnetwork asks before it lets a host
/// accept, and that a name is lost for good ([`lost`](Registry::lost)), upon
/// which it takes the host down. One that answers queries from memory says in
/// [`requery`](Registry::requery) that an answer was out of date.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    /// Announces that `hostname` is reached as `hostdata` says.
    ///
    /// # Errors
    ///
    /// [`Cause::HostAlreadyRegistered`](crate::Cause::HostAlreadyRegistered)
    /// when the name is taken, by this registry value or by any other;
    /// [`Cause::RegistryDown`](crate::Cause::RegistryDown) when the registry
    /// cannot be reached, or was closed.
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError>;

    /// Returns the hostdata that `hostname` was announced with.
    ///
    /// # Errors
    ///
    /// [`Cause::NoSuchHost`](crate::Cause::NoSuchHost) when it is not
    /// announced; [`Cause::RegistryDown`](crate::Cause::RegistryDown) when the
    /// registry cannot be reached, or was closed.
    async fn query(&self, hostname: &str) -> Result<String, RegistryError>;

    /// Looks again, past any memory, after `answer` led nowhere, or to nothing yet: what a
    /// query for `hostname` answers now, if that is something else.
    ///
    /// Provided: answers are never out of date.
    ///
    /// # Errors
    ///
    /// Those of [`query`](Registry::query).
    async fn requery(&self, hostname: &str, answer: &str) -> Result<Option<String>, RegistryError> {
        let _ = (hostname, answer);
        Ok(None)
    }

    /// Whether nobody else can hold `hostname`, which was announced here, at
    /// this moment. Never blocks.
    ///
    /// While it says no, dials to the host are refused.
    ///
    /// Provided: what was announced is held until the close.
    fn holds(&self, hostname: &str) -> bool {
        let _ = hostname;
        true
    }

    /// Waits for the next name that was announced here and is lost for good,
    /// because another registry value holds it, or has held it since, for however short a
    /// time: that it is free again, or held here again, changes nothing. The host goes down,
    /// and stays so.
    ///
    /// It is called by one task of the subnetwork, again and again. Provided:
    /// never.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no name: the next call reports it.
    async fn lost(&self) -> Lost {
        std::future::pending().await
    }

    /// Frees the names that were announced here and releases everything.
    ///
    /// Later calls of the other methods report
    /// [`Cause::RegistryDown`](crate::Cause::RegistryDown); closing again
    /// succeeds and does nothing.
    ///
    /// The subnetwork never drops the returned future, unless its runtime ends.
    ///
    /// # Errors
    ///
    /// When a name could not be freed.
    async fn close(&self) -> Result<(), RegistryError>;
}

/// A name that a registry had announced and holds no more.
#[derive(Debug, Clone)]
pub struct Lost {
    /// The name of the host, which goes down.
    pub hostname: String,
    /// What happened: found in the source chain of the host's errors.
    pub reason: Failure,
}
