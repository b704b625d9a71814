//! Options: what a user can set.
//!
//! Owns the defaults and limits. Never applies them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::connection::tls::TlsFiles;
use crate::lease::whereabouts::Whereabouts;

/// The longest deadline there is. Longer ones make no sense for a test, and
/// could not be added to a point in time.
const LONGEST_DEADLINE: Duration = Duration::from_secs(3600);

/// How a [`RedisRegistry`](crate::RedisRegistry) behaves.
///
/// ```
/// use std::time::Duration;
/// use virtnet_registry_redis::RedisOptions;
///
/// let mut options = RedisOptions::default();
/// options.deadline = Duration::from_millis(500);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct RedisOptions {
    /// How long a call may take, everything included: resolving the server's
    /// name, connecting, TLS, waiting for the answer, and trying once more when
    /// the connection was lost. Past it, the registry is down. Two seconds by
    /// default; more than an hour counts as an hour.
    pub deadline: Duration,
    /// How long Redis keeps a name that is not renewed, 15 seconds by default:
    /// for so long the name of a process that was killed stays taken. A host
    /// relies on nine tenths of it, counted from the last renewal that was
    /// confirmed; past that it accepts nothing until the next one.
    ///
    /// The registries of one network may have different leases.
    pub lease: Duration,
    /// The pause from one renewal of all names to the next, five seconds by
    /// default. It bounds how long a name is missing after Redis lost it.
    ///
    /// A renewal and the deadline together must be shorter than nine tenths of
    /// the lease, so that one renewal may fail.
    pub renewal: Duration,
    /// For how long the answer to a query may be remembered, five seconds by
    /// default. Redis tells us when a name changes, so that an answer is good
    /// until then; this bounds how old one can be when the path to it silently
    /// went dead. Zero switches the memory off: each query is then a round trip. So it
    /// is anyway with servers or proxies that have no client tracking, or do not speak RESP3.
    pub remember: Duration,
    pub(crate) tls: TlsFiles,
    pub(crate) whereabouts: Option<Arc<dyn Whereabouts>>,
}

impl Default for RedisOptions {
    fn default() -> RedisOptions {
        RedisOptions {
            deadline: Duration::from_secs(2),
            lease: Duration::from_secs(15),
            renewal: Duration::from_secs(5),
            remember: Duration::from_secs(5),
            tls: TlsFiles::default(),
            whereabouts: None,
        }
    }
}

impl RedisOptions {
    /// Trusts servers whose certificate is by an authority in this PEM file, in
    /// place of the system's.
    ///
    /// Files are read when connecting begins, and no later; an error names one
    /// that cannot be used.
    ///
    /// ```
    /// use virtnet_registry_redis::RedisOptions;
    ///
    /// let options = RedisOptions::default()
    ///     .with_ca_file("/etc/redis/ca.pem")
    ///     .with_client_certificate("/etc/redis/me.pem", "/etc/redis/me.key");
    /// ```
    pub fn with_ca_file(mut self, path: impl Into<PathBuf>) -> RedisOptions {
        self.tls.ca = Some(path.into());
        self
    }

    /// Shows servers who we are: by a certificate, with those that link it to
    /// its authority, and its private key, each in a PEM file.
    pub fn with_client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> RedisOptions {
        self.tls.identity = Some((certificate.into(), key.into()));
        self
    }

    /// Asks where this process's hosts are once per renewal, and announces them
    /// there when that has changed. Without it, hosts stay announced as they were.
    pub fn with_whereabouts(mut self, asked: Arc<dyn Whereabouts>) -> RedisOptions {
        self.whereabouts = Some(asked);
        self
    }

    /// The deadline that counts.
    pub(crate) fn bound(&self) -> Duration {
        self.deadline.min(LONGEST_DEADLINE)
    }

    /// For how long answers are remembered.
    pub(crate) fn remembered(&self) -> Duration {
        self.remember.min(LONGEST_DEADLINE)
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("deadline", &self.deadline)
            .field("lease", &self.lease)
            .field("renewal", &self.renewal)
            .field("remember", &self.remember)
            .field("tls", &self.tls)
            .field("whereabouts", &self.whereabouts.is_some())
            .finish()
    }
}
