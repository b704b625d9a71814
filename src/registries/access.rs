//! How a registry is used, in addition to its URL: TLS, leases, and who gets warnings.
//!
//! Owns how these settings become the options of a registry. Never connects.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "redis")]
use crate::redis::{ClientCertificate, HostdataSource, RedisOptions};

/// The settings that a user gave; by default none.
#[derive(Clone, Default)]
pub(crate) struct Access {
    pub(crate) ca: Option<PathBuf>,
    /// The client's certificate, and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    pub(crate) lease: Option<Duration>,
    #[cfg(feature = "redis")]
    pub(crate) tune: Option<TuneRedis>,
    pub(crate) warned: Option<Warned>,
    /// Where the hosts of an open network are announced. Users do not set it.
    #[cfg(feature = "redis")]
    pub(crate) home: Option<Arc<dyn HostdataSource>>,
}

#[cfg(feature = "redis")]
pub(crate) type TuneRedis = Arc<dyn Fn(RedisOptions) -> RedisOptions + Send + Sync>;

pub(crate) type Warned = Arc<dyn Fn(&str) + Send + Sync>;

impl Access {
    /// The options of a Redis registry.
    #[cfg(feature = "redis")]
    pub(super) fn redis(&self) -> RedisOptions {
        let mut redis = RedisOptions::default();
        if let Some(lease) = self.lease {
            // A third each, so that one renewal may fail within any lease.
            redis.lease = lease;
            redis.renewal = lease / 3;
            redis.deadline = redis.deadline.min(lease / 3);
        }
        redis.ca_file.clone_from(&self.ca);
        redis.client_certificate = self
            .identity
            .clone()
            .map(|(certificate, key)| ClientCertificate { certificate, key });
        redis.hostdata_source.clone_from(&self.home);
        match &self.tune {
            Some(tune) => tune(redis),
            None => redis,
        }
    }

    /// Traces a warning, and passes it on.
    pub(super) fn found(&self, what: &str) {
        tracing::warn!("{what}");
        self.warn(what);
    }

    /// Passes a warning on that is traced already.
    pub(crate) fn warn(&self, what: &str) {
        if let Some(warned) = &self.warned {
            warned(what);
        }
    }
}

#[cfg(all(test, feature = "redis"))]
mod tests {
    use super::*;

    #[test]
    fn a_lease_brings_what_must_fit_into_it() {
        let times = |access: &Access| {
            let redis = access.redis();
            (redis.lease, redis.renewal, redis.deadline)
        };
        let seconds = Duration::from_secs;
        let mut access = Access::default();
        let default = times(&access);
        access.lease = Some(default.0);
        assert_eq!(times(&access), default);
        for (lease, third, deadline) in [(3, 1, 1), (60, 20, 2)] {
            access.lease = Some(seconds(lease));
            let expected = (seconds(lease), seconds(third), seconds(deadline));
            assert_eq!(times(&access), expected);
        }
        access.tune = Some(Arc::new(|mut redis| {
            redis.renewal /= 2;
            redis
        }));
        assert_eq!(times(&access).1, seconds(10));
    }
}
