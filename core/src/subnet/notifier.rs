//! Reports of an engine: a dial came in, or the transport went down.
//!
//! Owns [`Notifier`]. Never keeps the subnetwork alive, because the subnetwork holds the
//! engine that holds the notifier.

use std::sync::{Arc, Weak};

use tracing::Instrument;

use crate::host::gate::dial::arrives;
use crate::subnet::directory::Directory;
use crate::subnet::faults::ASKING;
use crate::{Accept, Addr, Cause, Failure};

/// Reports an engine's events to its subnetwork.
#[derive(Clone)]
pub struct Notifier(pub(crate) Weak<Directory>);

impl Notifier {
    /// Offers a dial that came in from `src` to the listener on `dst`.
    ///
    /// Waits until an accept takes it. The engine then tells the dialer the accepting
    /// address, and hands the connection over with [`Accept::ack`].
    ///
    /// # Errors
    ///
    /// [`Cause::NoSuchHost`] when the host of `dst` is not on this subnetwork;
    /// [`Cause::ConnectionRefused`] when nothing listens there, when the
    /// listener's backlog is full, or when the listener, its host or the
    /// network goes down while the dial waits.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws the dial: no accept will see it. An accept that
    /// already took it waits for the next dial.
    pub async fn vnet_accept(&self, src: &Addr, dst: &Addr) -> Result<Accept, Failure> {
        let span = tracing::debug_span!("incoming", network = dst.network(), %src, %dst);
        self.offer(src, dst).instrument(span).await
    }

    async fn offer(&self, src: &Addr, dst: &Addr) -> Result<Accept, Failure> {
        if (src.port(), dst.port()) == (ASKING, 0) {
            // Only a sign of life is asked for.
            return Err(Cause::ConnectionRefused.into());
        }
        tracing::debug!("arrived");
        // The subnetwork is not held while the dial waits, so that it can be dropped.
        let (queue, rules) = {
            let directory = self.directory()?;
            (
                directory.listener(dst)?,
                Arc::clone(&directory.context.rules),
            )
        };
        if rules.generation() > 0 {
            // Boxed: a dial without rules must not be larger for it.
            Box::pin(async {
                tokio::select! {
                    biased;
                    arrived = arrives(&rules, src, dst) => arrived,
                    // The queue says so.
                    _ = queue.down.wait() => Ok(()),
                }
            })
            .await?;
        }
        let accept = queue.offer(src).await?;
        // The name may have been lost while the dial waited.
        self.directory()?.check_held(dst)?;
        tracing::debug!(local = %accept.addr(), "taken");
        Ok(accept)
    }

    fn directory(&self) -> Result<Arc<Directory>, Failure> {
        self.0.upgrade().ok_or(Cause::ConnectionRefused.into())
    }

    /// Reports that the transport is gone: the subnetwork goes down as if it had
    /// been closed, and its `close` reports `cause`.
    ///
    /// Has no effect if the subnetwork was closed or went down before.
    pub fn vnet_down(&self, cause: impl Into<Failure>) {
        if let Some(directory) = self.0.upgrade() {
            directory.go_down(Some(cause.into()));
        }
    }
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").finish_non_exhaustive()
    }
}
