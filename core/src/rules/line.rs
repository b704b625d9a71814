//! A line with a rate, on which the bytes of connections arrive.
//!
//! Owns when the line is free again. Never reads: connections do, no faster than it says.

use std::time::Duration;

use tokio::time::Instant;

use crate::rules::link::PairState;

/// Bytes arrive in portions of so much time.
const PORTION: Duration = Duration::from_millis(5);

/// A reader that came too late catches up so much: timers are late by up to a few milliseconds,
/// which must not lower the rate.
const CATCH_UP: Duration = Duration::from_millis(50);

impl PairState {
    /// How many bytes may arrive at `now`, or when to ask again.
    pub(crate) fn arrives(&self, rate: u64, now: Instant) -> Result<u64, Instant> {
        match *self.free.lock() {
            Some(free) if free > now => Err(free),
            _ => Ok(((rate as f64 * PORTION.as_secs_f64()) as u64).max(1)),
        }
    }

    /// So many bytes have arrived at `now`.
    pub(crate) fn arrived(&self, bytes: u64, rate: u64, now: Instant) {
        let mut free = self.free.lock();
        let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
        let begin = free.map_or(now, |free| free.max(earliest));
        *free = Some(begin + Duration::from_secs_f64(bytes as f64 / rate as f64));
    }
}
