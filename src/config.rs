//! Configuration: the settings of one subnetwork.
//!
//! Owns [`Config`] and its defaults. Never checks or uses a setting: `open.rs` does; and
//! never reads the environment: `env.rs` does.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::Limits;
use crate::quic::{QuicConfig, Secret};
#[cfg(feature = "redis")]
use crate::redis::RedisOptions;
use crate::registries::Access;
use crate::setting::{Setting, redacted};
use crate::trace::Recording;

/// The network that is opened when none is named.
pub const DEFAULT_NETWORK: &str = "virtnet";

/// The registry that is used when none is named.
pub const DEFAULT_REGISTRY: &str = "memory:";

/// The settings of a network: where its registry is, what proves membership, and where
/// other machines reach this one.
///
/// [`open`](Config::open) joins the network, [`observer`](Config::observer) looks at it
/// without being a member. Nothing is checked before.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let subnet = virtnet::Config::new("quicα")
///     .registry("redis://10.0.0.9")
///     .secret_file("network.secret")
///     .open()
///     .await?;
/// let host = subnet.new_host("α").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Config {
    pub(crate) network: Setting,
    pub(crate) registry: Setting,
    pub(crate) access: Access,
    pub(crate) proof: Option<Proof>,
    pub(crate) bind: Option<Setting>,
    pub(crate) advertise: Option<Setting>,
    pub(crate) key_log: Setting<bool>,
    pub(crate) qlog: Option<Setting<PathBuf>>,
    pub(crate) silence: Option<Setting<Duration>>,
    pub(crate) recording: Option<Recording>,
    pub(crate) trace: Option<Setting<PathBuf>>,
    /// Under which name it was asked for, if it was.
    pub(crate) trace_live: Option<&'static str>,
    pub(crate) tune: Option<Tune>,
    pub(crate) limits: Limits,
}

/// The proof of membership.
#[derive(Clone)]
pub(crate) enum Proof {
    Secret(Secret),
    SecretFile(Setting<PathBuf>),
    /// The first process creates it.
    SecretInitFile(Setting<PathBuf>),
    /// The authorities' certificates, this subnetwork's chain, its key.
    PkiFiles(&'static str, [PathBuf; 3]),
}

pub(crate) type Tune = Arc<dyn Fn(QuicConfig) -> QuicConfig + Send + Sync>;

impl Config {
    /// The network with the full name `network`, on [`DEFAULT_REGISTRY`] unless another
    /// registry is set.
    pub fn new(network: impl Into<String>) -> Config {
        Config {
            network: Setting::new("network", network.into()),
            registry: Setting::new("registry", DEFAULT_REGISTRY.to_owned()),
            access: Access::default(),
            proof: None,
            bind: None,
            advertise: None,
            key_log: Setting::new("key_log", false),
            qlog: None,
            silence: None,
            recording: None,
            trace: None,
            trace_live: None,
            tune: None,
            limits: Limits::default(),
        }
    }

    /// Replaces the network.
    pub fn network(mut self, network: impl Into<String>) -> Config {
        self.network = Setting::new("network", network.into());
        self
    }

    /// The registry's URL:
    ///
    /// - `memory:`, for networks within this process; needs no secret;
    /// - `local:`, for networks of one user's processes on this machine; creates the
    ///   secret itself; `local:/some/dir` for a folder other than `local::default_dir`;
    /// - `redis://user:password@host:port/db`, a Redis server;
    /// - `redis+sentinel://user:password@host:port,host:port/name/db`, the server
    ///   that these sentinels know by that name;
    /// - `redis+cluster://user:password@host:port,host:port`, a Redis Cluster, by any of
    ///   its nodes.
    ///
    /// In the last three, everything may be left out except one host and the name. With
    /// `rediss` in place of `redis` they use TLS. `local:` needs virtnet's feature `local`,
    /// Redis its feature `redis`; both are on by default.
    pub fn registry(mut self, url: impl Into<String>) -> Config {
        self.registry = Setting::new("registry", url.into());
        self
    }

    /// A PEM file with the authorities to trust for the registry's certificate, in place of
    /// the system's. For TLS, so for URLs with `rediss`.
    pub fn registry_ca(mut self, file: impl Into<PathBuf>) -> Config {
        self.access.ca = Some(file.into());
        self
    }

    /// The client certificate for the registry's TLS, followed by those that link it to its
    /// authority, and its key: two PEM files.
    pub fn registry_cert(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Config {
        self.access.identity = Some((certificate.into(), key.into()));
        self
    }

    /// How long the names of a killed process stay taken: from 100 ms to a day, by default
    /// 15 seconds.
    ///
    /// Names are renewed every third of the lease. A host whose registry is out of reach for
    /// nine tenths of the lease accepts nothing until it is back. So a shorter lease bridges
    /// shorter outages only. `memory:` and `local:` have no leases.
    pub fn lease(mut self, lease: Duration) -> Config {
        self.access.lease = Some(lease);
        self
    }

    /// Changes further settings of a registry on Redis, such as the deadline of its calls.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let config = virtnet::Config::new("quicα").tune_redis(|mut redis| {
    ///     redis.deadline = Duration::from_secs(1);
    ///     redis
    /// });
    /// ```
    #[cfg(feature = "redis")]
    pub fn tune_redis(
        mut self,
        change: impl Fn(RedisOptions) -> RedisOptions + Send + Sync + 'static,
    ) -> Config {
        self.access.tune = Some(Arc::new(change));
        self
    }

    /// Calls `tell` with each warning about the registry and the machine, which is one sentence
    /// for people: that the registry may drop names, for example, has a damaged entry, or that
    /// the machine's address has changed. Outages of the registry are only logged.
    ///
    /// Each warning is also logged with `tracing`.
    pub fn on_warning(mut self, tell: impl Fn(&str) + Send + Sync + 'static) -> Config {
        self.access.warned = Some(Arc::new(tell));
        self
    }

    /// The secret that all members of the network share.
    ///
    /// There is one proof of membership: each of this, [`secret_file`](Config::secret_file),
    /// [`secret_init_file`](Config::secret_init_file) and [`pki_files`](Config::pki_files)
    /// replaces the others.
    pub fn secret(mut self, secret: Secret) -> Config {
        self.proof = Some(Proof::Secret(secret));
        self
    }

    /// A file with the secret, as `virtnet keygen` prints it.
    pub fn secret_file(mut self, path: impl Into<PathBuf>) -> Config {
        let path = Setting::new("secret_file", path.into());
        self.proof = Some(Proof::SecretFile(path));
        self
    }

    /// A file with the secret, which the first process creates: for processes that share a
    /// folder, such as a volume of containers.
    ///
    /// See [`Secret::from_file_or_new`].
    pub fn secret_init_file(mut self, path: impl Into<PathBuf>) -> Config {
        let path = Setting::new("secret_init_file", path.into());
        self.proof = Some(Proof::SecretInitFile(path));
        self
    }

    /// Your own certificates in place of a secret, in three PEM files: the authorities to
    /// trust, the chain of this subnetwork's hosts, and its key.
    ///
    /// The certificate must have the name
    /// [`quic::dns_name`](crate::quic::dns_name) of every host that you create.
    pub fn pki_files(
        mut self,
        authorities: impl Into<PathBuf>,
        chain: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Config {
        let files = [authorities.into(), chain.into(), key.into()];
        self.proof = Some(Proof::PkiFiles("pki_files", files));
        self
    }

    /// The UDP address that hosts bind: `IP:port`, or `IP:first-last`. With a range, which
    /// you can open in a firewall, each host takes the lowest free port.
    ///
    /// Every host has its own socket, so a single port is enough for one host; 0 means any
    /// free port. By default port 0 of all IPv4 addresses; for `memory:` and `local:`, port 0
    /// of the loopback address.
    pub fn bind(mut self, addr: impl Into<String>) -> Config {
        self.bind = Some(Setting::new("bind", addr.into()));
        self
    }

    /// The address at which other machines reach this one: an IP address or a DNS name, with
    /// a port if that differs from the bound one.
    ///
    /// By default the bound address; if that is all addresses, the local address of the route
    /// to the registry.
    pub fn advertise(mut self, host: impl Into<String>) -> Config {
        self.advertise = Some(Setting::new("advertise", host.into()));
        self
    }

    /// How many hosts the subnetwork may have, and how many dials may wait for one of its
    /// listeners. [`quic::Limits`](crate::quic::Limits), of the engine, limit what peers may
    /// ask of a host.
    pub fn limits(mut self, limits: Limits) -> Config {
        self.limits = limits;
        self
    }

    /// Whether to append the keys of all connections to the file that the environment variable
    /// `SSLKEYLOGFILE` names: see [`QuicConfig::key_log`]. If the variable is not set,
    /// [`open`](Config::open) fails.
    pub fn key_log(mut self, on: bool) -> Config {
        self.key_log = Setting::new("key_log", on);
        self
    }

    /// The folder for QUIC's logs: see [`QuicConfig::qlog`]. Needs virtnet's feature `qlog`;
    /// without it, [`open`](Config::open) fails.
    pub fn qlog(mut self, dir: impl Into<PathBuf>) -> Config {
        self.qlog = Some(Setting::new("qlog", dir.into()));
        self
    }

    /// How long a peer may be silent until it counts as lost: from 500 ms to an hour, by default 10
    /// seconds. The other time limits follow in proportion: a dial waits 0.3 of it for an answer,
    /// a close half of it for the delivery of what was written, and the names of a killed process stay taken
    /// for 1.5 of it, unless [`lease`](Config::lease) is set. What [`tune`](Config::tune) sets
    /// counts more.
    ///
    /// Set it for a whole network, so that a test of a partition takes two seconds and not twenty, or so
    /// that a slow machine is not taken for a dead one. If two members differ, the shorter time
    /// counts between them.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let config = virtnet::Config::new("quicα").silence(Duration::from_secs(1));
    /// ```
    pub fn silence(mut self, silence: Duration) -> Config {
        self.silence = Some(Setting::new("silence", silence));
        self
    }

    /// Records what happens at the subnetwork's hosts, in memory: see [`trace`](crate::trace).
    /// [`SubNetwork::trace`](crate::SubNetwork::trace) returns it.
    pub fn record(mut self, recording: Recording) -> Config {
        self.recording = Some(recording);
        self
    }

    /// Records what happens at the subnetwork's hosts, and writes it to a new file in `dir`: see
    /// [`Recording::dir`]. `virtnet trace merge` makes one trace of the files of all processes.
    pub fn trace(mut self, dir: impl Into<PathBuf>) -> Config {
        self.trace = Some(Setting::new("trace", dir.into()));
        self
    }

    /// Records what happens at the subnetwork's hosts, and sends it to the network's live trace, which any process of the
    /// network reads: see [`Recording::live`] and [`trace`](crate::trace).
    pub fn trace_live(mut self) -> Config {
        self.trace_live = Some("trace_live");
        self
    }

    /// Changes further settings of the engine, such as its timeouts.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let config = virtnet::Config::new("quicα")
    ///     .tune(|quic| quic.idle_timeout(Duration::from_secs(5)));
    /// ```
    pub fn tune(
        mut self,
        change: impl Fn(QuicConfig) -> QuicConfig + Send + Sync + 'static,
    ) -> Config {
        self.tune = Some(Arc::new(change));
        self
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proof = self.proof.as_ref().map(|proof| match proof {
            Proof::Secret(_) => "a secret",
            Proof::SecretFile(_) | Proof::SecretInitFile(_) => "a secret in a file",
            Proof::PkiFiles(..) => "certificates in files",
        });
        f.debug_struct("Config")
            .field("network", &self.network.value)
            .field("registry", &redacted(&self.registry.value))
            .field("proof", &proof)
            .field("bind", &self.bind.as_ref().map(|bind| &bind.value))
            .field(
                "advertise",
                &self.advertise.as_ref().map(|place| &place.value),
            )
            .finish_non_exhaustive()
    }
}
