//! Recording of a subnetwork.
//!
//! Owns how a user begins to record, and gets what was recorded. Never records: hosts do.

use std::path::PathBuf;
#[cfg(feature = "trace-files")]
use std::sync::Arc;

use crate::SubNetwork;
#[cfg(feature = "trace-files")]
use crate::trace::{LiveTrace, LiveTraceError};
use crate::trace::{Record, RecordError, Recording};

impl SubNetwork {
    /// Records what happens at this subnetwork's hosts from now on, in memory, as [`Recording::new`] says. If it
    /// records already, it goes on.
    ///
    /// Call it before you make hosts: connections that are open already are not recorded.
    ///
    /// ```
    /// # use virtnet_core::pipe::PipeNetwork;
    /// use virtnet_core::trace::Trace;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let network = PipeNetwork::new("pipet")?;
    /// let (here, there) = (network.subnetwork(), network.subnetwork());
    /// here.record();
    /// there.record();
    /// let (alpha, beta) = (here.new_host("α").await?, there.new_host("β").await?);
    /// let listener = beta.listen("β:1")?;
    /// let (dialed, accepted) = tokio::try_join!(alpha.dial("β:1"), listener.accept())?;
    ///
    /// let trace = Trace::merge([here.trace(), there.trace()])?;
    /// let lines: Vec<_> = trace.events().iter().map(|traced| traced.event.to_string()).collect();
    /// assert!(lines.ends_with(&[
    ///     "α:1 -> β:1 dialing".to_owned(),
    ///     "β:2 <- α:1 accepted".to_owned(),
    ///     "α:1 -> β:2 connected".to_owned(),
    /// ]));
    /// # Ok(()) }
    /// ```
    pub fn record(&self) {
        let recorder = &self.directory.context.recorder;
        if !recorder.is_on() {
            // Without a file nothing can fail.
            drop(recorder.start(&Recording::new()));
        }
    }

    /// Records from now on as `recording` says. Returns the path of the file, if it writes one.
    ///
    /// The file is complete when [`close`](SubNetwork::close) returns, which reports if it could not be
    /// written to the end; or when the last handle of a subnetwork whose runtime has ended is dropped.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if the file cannot be created, if this subnetwork writes one already, or if its registry has
    /// no live trace ([`Recording::live`]).
    pub fn record_with(&self, recording: &Recording) -> Result<Option<PathBuf>, RecordError> {
        if recording.is_live() && self.directory.context.registry.traces().is_none() {
            return Err(RecordError::not_shared());
        }
        self.directory.context.recorder.start(recording)
    }

    /// What was recorded so far, to be merged with the records of the network's other subnetworks
    /// ([`Trace::merge`](crate::trace::Trace::merge)). Without events, if nothing is recorded.
    ///
    /// It can be asked for after the close, too.
    pub fn trace(&self) -> Record {
        self.directory.context.recorder.record()
    }

    /// What happens on the whole network, on whichever machines: the events of all its subnetworks that record live
    /// ([`Recording::live`]). This one need not.
    ///
    /// # Errors
    ///
    /// [`LiveTraceError::NotShared`] if its registry has no live trace.
    #[cfg(feature = "trace-files")]
    pub fn live_trace(&self) -> Result<LiveTrace, LiveTraceError> {
        let trace = LiveTrace::new(self.network(), Arc::clone(&self.directory.context.registry))?;
        Ok(trace.keeping(Arc::clone(&self.directory) as _))
    }
}
