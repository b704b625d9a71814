//! The state that all hosts of one subnetwork share: engine, registry, running calls, limits,
//! counters, fault rules, the recorder of the trace, and the reason for being down.
//!
//! Owns [`Context`]. Never knows a host: the subnetwork's directory does.

pub(crate) mod calls;
pub(crate) mod down;
pub(crate) mod fault_counts;
pub(crate) mod limits;
pub(crate) mod outcomes;
pub(crate) mod rules;

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::context::calls::Calls;
use crate::context::down::Down;
use crate::context::limits::Refusals;
use crate::context::outcomes::Outcomes;
use crate::context::rules::Rules;
use crate::trace::recorder::Recorder;
use crate::{Cause, Engine, Failure, Limits, Registry};

/// Keeps engine and registry from closing. The subnetwork holds one until all of it is down,
/// and every stream holds one until it is dropped. If the network goes down without a
/// close, the reason is sent over it.
pub(crate) type KeepOpen = mpsc::UnboundedSender<Failure>;

/// The state that the hosts of one subnetwork share.
pub(crate) struct Context {
    pub(crate) network: Arc<str>,
    /// Set before anything but the engine's own notifier knows the subnetwork.
    engine: OnceLock<Arc<dyn Engine>>,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) limits: Limits,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) outcomes: Outcomes,
    /// Connections and dials under way keep it, and nothing else of the context.
    pub(crate) rules: Arc<Rules>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) down: Down,
    /// Dropped once all hosts are down.
    keep_open: Mutex<Option<KeepOpen>>,
    pub(crate) calls: Arc<Calls>,
}

impl Context {
    pub(crate) fn new(
        network: &str,
        limits: Limits,
        registry: Arc<dyn Registry>,
        keep_open: KeepOpen,
    ) -> Context {
        let network: Arc<str> = Arc::from(network);
        Context {
            recorder: Arc::new(Recorder::new(Arc::clone(&network))),
            network,
            engine: OnceLock::new(),
            registry,
            limits,
            refusals: Arc::default(),
            outcomes: Outcomes::default(),
            rules: Arc::default(),
            down: Down::default(),
            keep_open: Mutex::new(Some(keep_open)),
            calls: Arc::default(),
        }
    }

    /// Sets the engine, which is made after the context, as it needs a notifier.
    pub(crate) fn set_engine(&self, engine: Arc<dyn Engine>) {
        drop(self.engine.set(engine));
    }

    pub(crate) fn engine(&self) -> &Arc<dyn Engine> {
        self.engine
            .get()
            .expect("it is set before there are handles")
    }

    /// Keeps engine and registry from closing while the result is held.
    pub(crate) fn keep_open(&self) -> Result<KeepOpen, Failure> {
        let keep_open = self.keep_open.lock().clone();
        keep_open.ok_or_else(|| {
            self.down
                .get()
                .cloned()
                .unwrap_or(Cause::NetworkDown.into())
        })
    }

    /// Runs a call to engine or registry until it is done or the network goes down.
    pub(crate) async fn run<T: 'static>(
        &self,
        call: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            why = self.down.wait() => Err(why.clone()),
            done = self.calls.run(call) => done.unwrap_or_else(|| Err(Cause::NetworkDown.into())),
        }
    }

    /// Marks the network down because of `reason`, or because it was closed. `None` if it
    /// was down before. The caller marks the hosts, then drops the [`KeepOpen`].
    pub(crate) fn mark(&self, reason: Option<Failure>) -> Option<(Failure, Option<KeepOpen>)> {
        let why = match &reason {
            Some(reason) => Failure::because(Cause::NetworkDown, reason.clone()),
            None => Cause::NetworkDown.into(),
        };
        if !self.down.set(why.clone()) {
            return None;
        }
        let network = &*self.network;
        tracing::info!(network, reason = reason.as_ref().map(display), "closing");
        let keep_open = self.keep_open.lock().take();
        if let (Some(keep_open), Some(reason)) = (&keep_open, reason) {
            drop(keep_open.send(reason));
        }
        Some((why, keep_open))
    }
}
