//! Whereabouts: what is announced in place of hostdata that is not true any more.
//!
//! Owns the question, and when it is asked. Never reads hostdata: who asks to be
//! asked knows what is in it.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::lease::timing::LeaseTiming;

/// Where the hosts of this process are, when that may change while they are
/// announced: a machine's address does when it comes into another network.
///
/// It is asked again and again for as long as the registry is open. What it then
/// says is announced in place of what was announced, under the same owner and
/// lease: the name stays held throughout, and who looked it up is told.
#[async_trait]
pub trait Whereabouts: Send + Sync {
    /// Finds out where the hosts are now. `Some`, when that is elsewhere than before,
    /// says so in a sentence, which is logged as a warning.
    ///
    /// Called once per [renewal](crate::RedisOptions::renewal), never twice at a
    /// time, and beside the renewals: none of them waits for it. Who cannot find
    /// out for the moment, as there is no network, goes on with what was so.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the registry is closed. It must leave a whole
    /// answer behind, the old one or the new one.
    async fn look(&self) -> Option<String>;

    /// What is to be announced in place of `hostdata`, by what was found out last;
    /// `None` leaves it as it is.
    ///
    /// `hostdata` is always what the host was announced with, not what came of it.
    /// It is called for each host at each renewal, so it does no more than compare.
    fn now(&self, hostdata: &str) -> Option<String>;
}

/// What a registry value knows of it.
pub(crate) struct Where {
    asked: Option<Arc<dyn Whereabouts>>,
    moved: Notify,
}

impl Where {
    pub(crate) fn new(asked: Option<Arc<dyn Whereabouts>>) -> Where {
        let moved = Notify::new();
        Where { asked, moved }
    }

    /// What is announced for hosts that were to be announced with `hostdata`.
    pub(crate) fn now(&self, hostdata: &Arc<str>) -> Arc<str> {
        let now = self.asked.as_ref().and_then(|asked| asked.now(hostdata));
        now.map_or_else(|| Arc::clone(hostdata), Arc::from)
    }

    /// Waits until the hosts are elsewhere, or have been since the last wait.
    pub(crate) async fn moved(&self) {
        self.moved.notified().await;
    }

    /// Keeps asking; never ends when there is something to ask.
    pub(crate) async fn follow(&self, network: &str, terms: &LeaseTiming) {
        let Some(asked) = &self.asked else {
            return;
        };
        loop {
            sleep(terms.renewal).await;
            if let Some(what) = asked.look().await {
                tracing::warn!(network, "{what}");
                self.moved.notify_one();
            }
        }
    }
}
