//! QUIC's congestion control, which lets acknowledgements through after a cut.
//!
//! Owns the exception. Everything else is quinn's CUBIC (RFC 9438).
//!
//! quinn sends no acknowledgement while it has data to send that does not fit into the congestion window. After a
//! cut of both directions, both ends may be in that state: each waits for the other's acknowledgement,
//! until its own back-off of some seconds ends. So the window is open from the end of a cut until something
//! that was sent after it is acknowledged.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::Mutex;
use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn::{Connection, VarInt};
use quinn_proto::RttEstimator;

/// How many bytes an open window has in addition: more than can be in flight, and few enough for pacing.
const OPEN: u64 = 1 << 31;

/// How many unidirectional streams a peer may have open.
pub(crate) const UNI_STREAMS: u32 = 1;

/// One QUIC connection, after a cut. Clones share the state.
#[derive(Clone, Default)]
pub(crate) struct Recovery(Arc<Begun>);

#[derive(Default)]
struct Begun {
    is_open: AtomicBool,
    /// When it was opened last.
    at: Mutex<Option<Instant>>,
    /// Once it is made, as long as its holder has it.
    connection: Mutex<Option<Connection>>,
}

impl Recovery {
    /// A cut has ended at `now`.
    pub(crate) fn begin(&self, now: Instant) {
        *self.0.at.lock() = Some(now);
        self.0.is_open.store(true, Relaxed);
    }

    /// The connection is made.
    pub(crate) fn of(&self, connection: &Connection) {
        *self.0.connection.lock() = Some(connection.clone());
    }

    /// Gives the connection back. Call it, as well as `send`, under no lock: quinn takes the connection's own
    /// lock, under which it sends.
    pub(crate) fn release(&self) -> Option<Connection> {
        self.0.connection.lock().take()
    }

    /// Has QUIC send what did not fit into the window before.
    pub(crate) fn send(&self) {
        let connection = self.0.connection.lock().clone();
        if let Some(connection) = connection {
            // The limit that it has already: this only wakes the task of the connection.
            connection.set_max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS));
        }
    }

    fn is_open(&self) -> bool {
        self.0.is_open.load(Relaxed)
    }

    /// Something that was sent at that time is acknowledged.
    fn acknowledged(&self, sent: Instant) {
        if self.is_open() && self.0.at.lock().is_none_or(|begun| begun <= sent) {
            self.0.is_open.store(false, Relaxed);
        }
    }

    pub(crate) fn is_same(&self, other: &Recovery) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Makes the congestion controller of the connection.
impl ControllerFactory for Recovery {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(Recovering {
            cubic: Arc::new(CubicConfig::default()).build(now, mtu),
            recovery: Recovery::clone(&self),
        })
    }
}

struct Recovering {
    cubic: Box<dyn Controller>,
    recovery: Recovery,
}

impl Recovering {
    fn opened(&self, window: u64) -> u64 {
        match self.recovery.is_open() {
            true => window.saturating_add(OPEN),
            false => window,
        }
    }
}

impl Controller for Recovering {
    fn on_sent(&mut self, now: Instant, bytes: u64, last: u64) {
        self.cubic.on_sent(now, bytes, last);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.recovery.acknowledged(sent);
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, last: Option<u64>) {
        self.cubic.on_end_acks(now, in_flight, app_limited, last);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, persistent: bool, lost: u64) {
        self.cubic.on_congestion_event(now, sent, persistent, lost);
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.cubic.on_mtu_update(mtu);
    }

    fn window(&self) -> u64 {
        self.opened(self.cubic.window())
    }

    fn metrics(&self) -> ControllerMetrics {
        self.cubic.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Recovering {
            cubic: self.cubic.clone_box(),
            recovery: self.recovery.clone(),
        })
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_window_is_open_until_an_acknowledgement() {
        let (recovery, now) = (Recovery::default(), Instant::now());
        let mut controller = Arc::new(recovery.clone()).build(now, 1_200);
        let window = controller.window();
        assert_eq!(window, controller.initial_window());
        recovery.begin(now);
        assert_eq!(controller.window(), window + OPEN);
        assert_eq!(controller.clone_box().window(), window + OPEN);
        assert_eq!(controller.metrics().congestion_window, window);
        controller.on_congestion_event(now, now, false, 1_200);
        assert!(controller.window() > OPEN);
        // Acknowledgements of what was sent during the cut tell nothing about the path.
        recovery.acknowledged(now - Duration::from_millis(1));
        assert!(controller.window() > OPEN);
        recovery.acknowledged(now);
        assert!(controller.window() < OPEN);
        assert!(recovery.is_same(&recovery.clone()) && !recovery.is_same(&Recovery::default()));
    }
}
