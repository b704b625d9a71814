//! The registry's contract: where a network's hosts are reached.
//!
//! Owns the trait. Never interprets hostdata: only the engine that wrote it
//! knows what it means.

use async_trait::async_trait;

use crate::RegistryError;

/// Maps hostname to hostdata for all subnetworks of one network.
///
/// One value serves one subnetwork: what it announced is its own, and
/// [`close`](Registry::close) frees exactly that.
///
/// All methods may be called from many tasks at once. Dropping a returned
/// future cancels the call; a name whose announcement was cancelled is freed,
/// at the latest by `close`. Every call ends within a bound that the registry
/// documents.
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

    /// Frees the names that were announced here and releases everything.
    ///
    /// Later calls of the other methods report
    /// [`Cause::RegistryDown`](crate::Cause::RegistryDown); closing again
    /// succeeds and does nothing.
    ///
    /// # Errors
    ///
    /// When a name could not be freed.
    async fn close(&self) -> Result<(), RegistryError>;
}
