//! Hostdata that changes while hosts are announced, as when the machine gets another address.
//!
//! Owns [`HostdataSource`], which a user may implement, and when it is asked. Never reads
//! hostdata: only the source knows what is in it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::sleep;

/// Gives the current hostdata of this process's hosts, where it can change while they are
/// announced: a machine's address changes when the machine joins another network.
///
/// The registry asks it for as long as the registry is open. Hostdata that has changed is
/// announced in place of the old, under the same owner and lease: the name stays held
/// throughout, and processes that looked it up are told.
#[async_trait]
pub trait HostdataSource: Send + Sync {
    /// Finds out where the hosts are now. Returns `Some` if that has changed, with a sentence
    /// that says so; the sentence is logged as a warning.
    ///
    /// Called once per [renewal](crate::RedisOptions::renewal), never twice at the same time.
    /// Renewals do not wait for it. If it cannot find out for now, for example because there
    /// is no network, it returns `None` and keeps its last answer.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the registry is closed. It must leave a complete answer
    /// behind, the old one or the new one.
    async fn refresh(&self) -> Option<String>;

    /// The hostdata to announce in place of `hostdata`, by the last
    /// [`refresh`](HostdataSource::refresh); `None` leaves it as it is.
    ///
    /// `hostdata` is always what the host was first announced with, not a later replacement.
    /// Called for each host at each renewal, so it must be cheap.
    fn current(&self, hostdata: &str) -> Option<String>;
}

/// A registry's source of hostdata, if it has one.
pub(crate) struct CurrentHostdata {
    source: Option<Arc<dyn HostdataSource>>,
    changed: Notify,
}

impl CurrentHostdata {
    pub(crate) fn new(source: Option<Arc<dyn HostdataSource>>) -> CurrentHostdata {
        let changed = Notify::new();
        CurrentHostdata { source, changed }
    }

    /// What to announce for a host that was first announced with `hostdata`.
    pub(crate) fn current(&self, hostdata: &Arc<str>) -> Arc<str> {
        let source = self.source.as_ref();
        let current = source.and_then(|source| source.current(hostdata));
        current.map_or_else(|| Arc::clone(hostdata), Arc::from)
    }

    /// Waits until hostdata has changed, or did so since the last wait.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Asks the source once per `interval`; ends only if there is none.
    pub(crate) async fn watch(&self, network: &str, interval: Duration) {
        let Some(source) = &self.source else {
            return;
        };
        loop {
            sleep(interval).await;
            if let Some(change) = source.refresh().await {
                tracing::warn!(network, "{change}");
                self.changed.notify_one();
            }
        }
    }
}
