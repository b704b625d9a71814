//! The clock by which leases are counted on our side.
//!
//! Owns [`Moment`]. Never shows the time of day, and cannot be set. It also runs while the
//! process is stopped and, on Linux, while the machine is suspended, as the server's clock
//! does.

use std::time::Duration;

/// A point in time, to be compared with others of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Reading);

#[cfg(any(target_os = "linux", target_os = "android"))]
type Reading = Duration;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
type Reading = std::time::Instant;

impl Moment {
    /// The time since the machine was started.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn now() -> Moment {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        Moment(Duration::new(seconds, nanos))
    }

    /// The best clock of the standard library.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn now() -> Moment {
        Moment(std::time::Instant::now())
    }

    pub(crate) fn plus(self, span: Duration) -> Moment {
        Moment(self.0 + span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on() {
        let begin = Moment::now();
        let later = begin.plus(Duration::from_millis(2));
        assert!(later > begin);
        while Moment::now() < later {
            std::thread::yield_now();
        }
        assert!(Moment::now() < begin.plus(Duration::from_secs(3600)));
    }
}
