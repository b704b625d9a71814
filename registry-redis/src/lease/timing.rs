//! LeaseTiming: the durations by which names are leased, checked.
//!
//! Owns how the lease, its renewal, and the deadline of a call must relate.
//! Never counts time itself.

use std::time::Duration;

use virtnet_core::{Cause, Failure};

use crate::options::RedisOptions;

/// Shorter leases than this are lost to a busy machine's pauses.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);
/// Longer ones would keep the names of killed processes without need.
const LONGEST_LEASE: Duration = Duration::from_secs(24 * 3600);
/// Shorter ones would only keep the server busy.
const SHORTEST_RENEWAL: Duration = Duration::from_millis(10);

/// The fraction of a lease that is not relied on: a margin for clocks of different speed, and
/// for the time between checking that a name is held and acting on it.
const MARGIN: u32 = 10;

/// The timing of a registry's leases.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeaseTiming {
    /// How long the server keeps a name that is not renewed.
    pub(crate) lease: Duration,
    /// The pause from one renewal to the next.
    pub(crate) renewal: Duration,
    /// How long we rely on a lease after we asked for it: less than it lasts.
    pub(crate) held: Duration,
}

impl LeaseTiming {
    /// The timing of `options`, if its durations fit together.
    pub(crate) fn new(options: &RedisOptions) -> Result<LeaseTiming, Failure> {
        let (lease, renewal) = (options.lease, options.renewal);
        let deadline = options.limited_deadline();
        let refused = |why: String| Err(Failure::wrap(Cause::Other, why));
        if !(SHORTEST_LEASE..=LONGEST_LEASE).contains(&lease) {
            return refused(format!(
                "the lease must be from {SHORTEST_LEASE:?} to {LONGEST_LEASE:?}, got {lease:?}"
            ));
        }
        if renewal < SHORTEST_RENEWAL {
            return refused(format!(
                "the renewal must be at least {SHORTEST_RENEWAL:?}, got {renewal:?}"
            ));
        }
        let held = lease - lease / MARGIN;
        if renewal.saturating_add(deadline) >= held {
            return refused(format!(
                "the renewal plus the deadline must be less than nine tenths of the lease, got \
                 {renewal:?} plus {deadline:?} for a lease of {lease:?}"
            ));
        }
        Ok(LeaseTiming {
            lease,
            renewal,
            held,
        })
    }

    /// The lease in milliseconds, as Redis counts.
    pub(crate) fn lease_millis(&self) -> u64 {
        u64::try_from(self.lease.as_millis()).expect("a lease is at most a day")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(lease: u64, renewal: u64, deadline: u64) -> Result<LeaseTiming, Failure> {
        LeaseTiming::new(&RedisOptions {
            lease: Duration::from_millis(lease),
            renewal: Duration::from_millis(renewal),
            deadline: Duration::from_millis(deadline),
            ..RedisOptions::default()
        })
    }

    #[test]
    fn the_defaults_are_good_and_leave_a_margin() {
        let timing = LeaseTiming::new(&RedisOptions::default()).unwrap();
        assert_eq!(timing.lease_millis(), 15_000);
        assert_eq!(timing.held, Duration::from_millis(13_500));
        assert!(self::timing(100, 10, 50).is_ok());
    }

    #[test]
    fn timings_by_which_no_name_could_be_held_are_refused_in_words() {
        for (lease, renewal, deadline, words) in [
            (99, 10, 10, "the lease must be from 100ms"),
            (90_000_000, 10, 10, "to 86400s, got 90000s"),
            (1000, 9, 10, "the renewal must be at least 10ms, got 9ms"),
            (1000, 500, 400, "got 500ms plus 400ms for a lease of 1s"),
            (
                1000,
                u64::MAX,
                400,
                "must be less than nine tenths of the lease",
            ),
            (1000, 10, u64::MAX, "plus 3600s"),
        ] {
            let refusal = timing(lease, renewal, deadline).unwrap_err().to_string();
            assert!(refusal.contains(words), "{refusal}");
        }
    }
}
