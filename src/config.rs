//! Configurations: the settings of one subnetwork.
//!
//! Owns [`Config`] and the defaults that it starts from. Never checks or uses a
//! setting: `open.rs` does; and never reads the environment: `env.rs` does.

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

/// The network that is joined when none is named.
pub const DEFAULT_NETWORK: &str = "virtnet";

/// The registry that is used when none is named.
pub const DEFAULT_REGISTRY: &str = "memory:";

/// How to join a network: where its registry is, what proves membership, and
/// where others reach this machine.
///
/// Nothing is checked before [`open`](Config::open).
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
    pub(crate) tune: Option<Tune>,
    pub(crate) limits: Limits,
}

/// What proves that hosts are who they say.
#[derive(Clone)]
pub(crate) enum Proof {
    Secret(Secret),
    SecretFile(Setting<PathBuf>),
    /// Made by whoever comes first.
    SecretInitFile(Setting<PathBuf>),
    /// The authorities' certificates, the own chain, its key.
    PkiFiles(&'static str, [PathBuf; 3]),
}

pub(crate) type Tune = Arc<dyn Fn(QuicConfig) -> QuicConfig + Send + Sync>;

impl Config {
    /// Joins the network with the full name `network`: on
    /// [`DEFAULT_REGISTRY`], unless another one is set.
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
            tune: None,
            limits: Limits::default(),
        }
    }

    /// Another network, in place of the one it was made for.
    pub fn network(mut self, network: impl Into<String>) -> Config {
        self.network = Setting::new("network", network.into());
        self
    }

    /// The registry's URL:
    ///
    /// - `memory:`, whose networks are within this process and which needs no
    ///   secret;
    /// - `local:`, whose networks are those of one user's processes on this
    ///   machine, and which makes the secret by itself; `local:/some/dir` for
    ///   a folder other than [`local::default_dir`](crate::local::default_dir);
    /// - `redis://user:password@host:port/db`, a Redis server;
    /// - `redis+sentinel://user:password@host:port,host:port/name/db`, the server
    ///   that those sentinels know by that name;
    /// - `redis+cluster://user:password@host:port,host:port`, a Redis Cluster, of
    ///   which any nodes are named.
    ///
    /// Of the last three all but a host, and the name, may be left out. With
    /// `rediss` in place of `redis` they speak TLS.
    pub fn registry(mut self, url: impl Into<String>) -> Config {
        self.registry = Setting::new("registry", url.into());
        self
    }

    /// Trusts registries whose certificate is by an authority in this PEM file,
    /// in place of the system's. For TLS, so for URLs with `rediss`.
    pub fn registry_ca(mut self, file: impl Into<PathBuf>) -> Config {
        self.access.ca = Some(file.into());
        self
    }

    /// Shows the registry who we are, by TLS: a certificate, with those that
    /// link it to its authority, and its key, each in a PEM file.
    pub fn registry_cert(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Config {
        self.access.identity = Some((certificate.into(), key.into()));
        self
    }

    /// For how long the names of a process that was killed stay taken: from
    /// 100 ms to a day, by default 15 seconds.
    ///
    /// The names are renewed each third of it. A host whose registry can't be
    /// reached for nine tenths of it accepts nothing until it can again, so a
    /// short one stands shorter outages. `memory:` and
    /// `local:` have no leases.
    pub fn lease(mut self, lease: Duration) -> Config {
        self.access.lease = Some(lease);
        self
    }

    /// Changes what else can be set of a registry on Redis, such as the deadline
    /// of its calls.
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

    /// Has people told what does no harm yet: a registry that may drop names, or
    /// that has an entry which cannot be read. Each is one sentence.
    ///
    /// All of them are also logged with `tracing`.
    pub fn on_warning(mut self, tell: impl Fn(&str) + Send + Sync + 'static) -> Config {
        self.access.warned = Some(Arc::new(tell));
        self
    }

    /// The secret that all members of the network share.
    ///
    /// This, [`secret_file`](Config::secret_file) and
    /// [`pki_files`](Config::pki_files) take each other's place.
    pub fn secret(mut self, secret: Secret) -> Config {
        self.proof = Some(Proof::Secret(secret));
        self
    }

    /// The file that holds the secret, as `virtnet keygen` writes it.
    pub fn secret_file(mut self, path: impl Into<PathBuf>) -> Config {
        let path = Setting::new("secret_file", path.into());
        self.proof = Some(Proof::SecretFile(path));
        self
    }

    /// The same for a file that whoever comes first makes, with a new secret:
    /// for processes that share a folder, such as a volume of containers.
    ///
    /// See [`Secret::from_file_or_new`].
    pub fn secret_init_file(mut self, path: impl Into<PathBuf>) -> Config {
        let path = Setting::new("secret_init_file", path.into());
        self.proof = Some(Proof::SecretInitFile(path));
        self
    }

    /// Certificates of your own in place of a secret, as three PEM files: the
    /// authorities to trust, the chain of this subnetwork's hosts, and its key.
    ///
    /// The certificate must hold the name
    /// [`quic::dns_name`](crate::quic::dns_name) of every host to be made.
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

    /// The UDP address that every host binds: `IP:port`, or `IP:first-last`, of
    /// which each host takes the lowest free port, for firewalls to know them.
    ///
    /// Every host has a socket of its own, so a single port is for one host; 0 is
    /// any free one. By default port 0 of all IPv4 addresses, with `memory:` and
    /// `local:` of the loopback address.
    pub fn bind(mut self, addr: impl Into<String>) -> Config {
        self.bind = Some(Setting::new("bind", addr.into()));
        self
    }

    /// Where other machines reach this one: an IP address or a DNS name, and a
    /// port if that differs from the bound one.
    ///
    /// By default the address that is bound; where that is all of them, the one
    /// by which this machine reaches the registry.
    pub fn advertise(mut self, host: impl Into<String>) -> Config {
        self.advertise = Some(Setting::new("advertise", host.into()));
        self
    }

    /// How many hosts the subnetwork may have, and how many dials may wait for one of
    /// its listeners. What peers may ask of a host is the engine's to limit
    /// ([`quic::Limits`](crate::quic::Limits)).
    pub fn limits(mut self, limits: Limits) -> Config {
        self.limits = limits;
        self
    }

    /// Whether the keys of all connections are appended to the file that the environment
    /// variable `SSLKEYLOGFILE` names: see [`QuicConfig::key_log`]. Without that variable
    /// [`open`](Config::open) refuses it.
    pub fn key_log(mut self, on: bool) -> Config {
        self.key_log = Setting::new("key_log", on);
        self
    }

    /// The folder that QUIC writes into what it does: see [`QuicConfig::qlog`]. Needs
    /// virtnet's feature `qlog`, without which [`open`](Config::open) refuses it.
    pub fn qlog(mut self, dir: impl Into<PathBuf>) -> Config {
        self.qlog = Some(Setting::new("qlog", dir.into()));
        self
    }

    /// Changes what else can be set of the engine, such as its timeouts.
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
