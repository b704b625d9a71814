//! LeaseTiming: the spans of time by which names are leased, checked.
//!
//! Owns how the lease, its renewal, and the deadline of a call must relate.
//! Never counts time itself.

use std::time::Duration;

use virtnet_core::{Cause, Failure};

use crate::options::RedisOptions;

/// Shorter leases than this are lost to a busy machine's pauses.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);
/// Longer ones would keep the names of killed processes for no use.
const LONGEST_LEASE: Duration = Duration::from_secs(24 * 3600);
/// Shorter ones would only keep the server busy.
const SHORTEST_RENEWAL: Duration = Duration::from_millis(10);

/// Which part of a lease is not made use of: room for clocks that do not go
/// equally fast, and for the step from seeing that a name is held to acting so.
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
    /// The timing that `options` ask for, if names can be held by them.
    pub(crate) fn new(options: &RedisOptions) -> Result<LeaseTiming, Failure> {
        let (lease, renewal) = (options.lease, options.renewal);
        let deadline = options.limited_deadline();
        let refused = |why: String| Err(Failure::wrap(Cause::Other, why));
        if !(SHORTEST_LEASE..=LONGEST_LEASE).contains(&lease) {
            return refused(format!(
                "the lease must be from {SHORTEST_LEASE:?} to {LONGEST_LEASE:?}, not {lease:?}"
            ));
        }
        if renewal < SHORTEST_RENEWAL {
            return refused(format!(
                "the renewal must be {SHORTEST_RENEWAL:?} at least, not {renewal:?}"
            ));
        }
        let held = lease - lease / MARGIN;
        if renewal.saturating_add(deadline) >= held {
            return refused(format!(
                "a renewal after {renewal:?} that takes up to the deadline of {deadline:?} must \
                 end before nine tenths of the lease of {lease:?} are over"
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
        u64::try_from(self.lease.as_millis()).expect("it is a day at the most")
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
            (90_000_000, 10, 10, "to 86400s, not 90000s"),
            (1000, 9, 10, "the renewal must be 10ms at least, not 9ms"),
            (1000, 500, 400, "a renewal after 500ms"),
            (1000, u64::MAX, 400, "must end before nine tenths"),
            (1000, 10, u64::MAX, "the deadline of 3600s"),
        ] {
            let refusal = timing(lease, renewal, deadline).unwrap_err().to_string();
            assert!(refusal.contains(words), "{refusal}");
        }
    }
}
