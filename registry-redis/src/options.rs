//! Options: what a user can set.
//!
//! Owns the defaults and limits. Never applies them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::hostdata::HostdataSource;

/// The longest deadline. Longer ones make no sense for a test, and could overflow a
/// point in time.
const LONGEST_DEADLINE: Duration = Duration::from_secs(3600);

/// How a [`RedisRegistry`](crate::RedisRegistry) behaves.
///
/// ```
/// use std::time::Duration;
/// use virtnet_registry_redis::{ClientCertificate, RedisOptions};
///
/// let mut options = RedisOptions::default();
/// options.deadline = Duration::from_millis(500);
/// options.ca_file = Some("/etc/redis/ca.pem".into());
/// options.client_certificate = Some(ClientCertificate {
///     certificate: "/etc/redis/me.pem".into(),
///     key: "/etc/redis/me.key".into(),
/// });
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct RedisOptions {
    /// How long a call may take in total: resolving the server's name, connecting, TLS,
    /// waiting for the reply, and one retry if the connection was lost. After that, the
    /// call fails with *registry is down*. Two seconds by default; more than an hour
    /// counts as an hour.
    pub deadline: Duration,
    /// How long Redis keeps a name that is not renewed, 15 seconds by default. The name of
    /// a killed process stays taken for at most that long. A host relies on nine tenths of
    /// it, counted from the last confirmed renewal; after that it accepts nothing until the
    /// next one.
    ///
    /// The registries of one network may have different leases.
    pub lease: Duration,
    /// The pause between two renewals of all names, five seconds by default. It bounds how
    /// long a name is missing after Redis lost it.
    ///
    /// A renewal and the deadline together must be shorter than nine tenths of the lease,
    /// so that one renewal may fail.
    pub renewal: Duration,
    /// How long the reply to a query may be cached, five seconds by default. Redis reports
    /// when a name changes, so a cached reply is good until then; this bounds its age when
    /// the connection is dead without anybody noticing. Zero switches the cache off: each
    /// query is then a round trip, as it also is with servers or proxies that lack client
    /// tracking or RESP3.
    pub remember: Duration,
    /// A PEM file of certificate authorities. A server's certificate must be signed by one
    /// of them; `None`, the default, trusts those of the operating system.
    ///
    /// This file, and those of [`client_certificate`](RedisOptions::client_certificate), are
    /// read once, when connecting begins. An error names a file that cannot be used.
    pub ca_file: Option<PathBuf>,
    /// The certificate that is presented to servers that ask for one. `None` by default.
    pub client_certificate: Option<ClientCertificate>,
    /// Where to get hostdata that changes while hosts are announced. It is asked once per
    /// renewal. With `None`, the default, hosts stay announced as they were.
    pub hostdata_source: Option<Arc<dyn HostdataSource>>,
}

/// The files that identify a client to a Redis server over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// A PEM file: the client's certificate, followed by the intermediate certificates up to
    /// its authority.
    pub certificate: PathBuf,
    /// A PEM file with the certificate's private key.
    pub key: PathBuf,
}

impl Default for RedisOptions {
    fn default() -> RedisOptions {
        RedisOptions {
            deadline: Duration::from_secs(2),
            lease: Duration::from_secs(15),
            renewal: Duration::from_secs(5),
            remember: Duration::from_secs(5),
            ca_file: None,
            client_certificate: None,
            hostdata_source: None,
        }
    }
}

impl RedisOptions {
    /// The deadline, limited to [`LONGEST_DEADLINE`].
    pub(crate) fn limited_deadline(&self) -> Duration {
        self.deadline.min(LONGEST_DEADLINE)
    }

    /// How long replies are cached, limited to [`LONGEST_DEADLINE`].
    pub(crate) fn cache_lifetime(&self) -> Duration {
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
            .field("ca_file", &self.ca_file)
            .field("client_certificate", &self.client_certificate)
            .field("hostdata_source", &self.hostdata_source.is_some())
            .finish()
    }
}
