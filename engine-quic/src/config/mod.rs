//! What can be set of an engine, and the check of it before anything starts.
//!
//! Owns [`QuicConfig`] and [`Prepared`]. Never opens a socket.

pub(crate) mod limits;
pub(crate) mod transport;
pub(crate) mod tuning;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use virtnet_core::{Addr, Cause, Failure, Notifier};

use crate::hostdata::Advertised;
use crate::identity::tls::Trust;
use crate::observe::qlog::Qlog;
use crate::udp::socket::Bind;
use crate::{Identity, Limits, QuicEngine, Stats, Tuning};

/// Longest of all durations: 30 days.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What can be set of an engine. No duration may be over 30 days.
///
/// ```
/// use std::time::Duration;
/// use virtnet_engine_quic::{Identity, QuicConfig, Secret};
///
/// let config = QuicConfig::new(Identity::secret(Secret::random()))
///     .advertise("10.0.0.2")
///     .dial_timeout(Duration::from_secs(1));
/// config.prepare("net")?;
/// # Ok::<(), virtnet_core::Failure>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct QuicConfig {
    pub(crate) identity: Identity,
    pub(crate) bind: Bind,
    pub(crate) advertise: Option<String>,
    pub(crate) dial_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) pool_idle: Duration,
    pub(crate) limits: Limits,
    pub(crate) tuning: Tuning,
    pub(crate) stats: Option<Stats>,
    pub(crate) key_log: bool,
    pub(crate) qlog: Qlog,
}

impl QuicConfig {
    /// The defaults: bound to all IPv4 addresses, which makes
    /// [`advertise`](QuicConfig::advertise) necessary.
    pub fn new(identity: Identity) -> QuicConfig {
        QuicConfig {
            identity,
            bind: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into(),
            advertise: None,
            dial_timeout: Duration::from_secs(3),
            handshake_timeout: Duration::from_secs(3),
            drain_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(3),
            pool_idle: Duration::from_secs(60),
            limits: Limits::default(),
            tuning: Tuning::default(),
            stats: None,
            key_log: false,
            qlog: Qlog::default(),
        }
    }

    /// The UDP address that every host binds; default `0.0.0.0:0`.
    ///
    /// Leave the port 0, unless there is to be one host only: each host has a
    /// socket of its own. `[::]:0` serves IPv6 and IPv4.
    pub fn bind(mut self, addr: SocketAddr) -> QuicConfig {
        self.bind = addr.into();
        self
    }

    /// The UDP address that the first host binds, and the last port that a host
    /// may have: each takes the lowest free one, so that a firewall can know them.
    ///
    /// This and [`bind`](QuicConfig::bind) take each other's place.
    ///
    /// ```
    /// use virtnet_engine_quic::{Identity, QuicConfig, Secret};
    ///
    /// let config = QuicConfig::new(Identity::secret(Secret::random()))
    ///     .bind_range("0.0.0.0:20000".parse()?, 20_099)
    ///     .advertise("10.0.0.2");
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    pub fn bind_range(mut self, first: SocketAddr, last: u16) -> QuicConfig {
        self.bind = Bind { first, last };
        self
    }

    /// Where other machines reach this one: `host` or `host:port`, where host
    /// is an IP address (IPv6 in brackets where a port follows) or a DNS name;
    /// default the bound address.
    ///
    /// Without a port every host announces the port that it is bound to; with
    /// one, there is to be one host only.
    pub fn advertise(mut self, place: impl Into<String>) -> QuicConfig {
        self.advertise = Some(place.into());
        self
    }

    /// How long a dial waits for a sign of life from the other side; default 3 s. All of
    /// it counts: asking the registry, once more where the answer was out of date, and the
    /// second try then.
    ///
    /// A host whose listener is slow to accept gives its sign of life after
    /// 1 s, so with less than that slow accepts time out.
    pub fn dial_timeout(mut self, timeout: Duration) -> QuicConfig {
        self.dial_timeout = timeout;
        self
    }

    /// How long a peer may take for its part of a handshake: of QUIC's, of a
    /// stream's first frame, of the confirmation; default 3 s.
    pub fn handshake_timeout(mut self, timeout: Duration) -> QuicConfig {
        self.handshake_timeout = timeout;
        self
    }

    /// How long closing waits until what was written is delivered; default 5 s.
    pub fn drain_timeout(mut self, timeout: Duration) -> QuicConfig {
        self.drain_timeout = timeout;
        self
    }

    /// Within which time connections to a peer that has fallen silent are cut;
    /// default 10 s. The smaller value of the two sides counts.
    ///
    /// A peer that is paused for up to this less the
    /// [`keep_alive`](QuicConfig::keep_alive) interval, so 7 s, does not notice.
    pub fn idle_timeout(mut self, timeout: Duration) -> QuicConfig {
        self.idle_timeout = timeout;
        self
    }

    /// How often an unused connection is shown to be alive; default 3 s, and at
    /// most half of the [`idle_timeout`](QuicConfig::idle_timeout).
    pub fn keep_alive(mut self, interval: Duration) -> QuicConfig {
        self.keep_alive = interval;
        self
    }

    /// How long a QUIC connection to a peer is kept that no virtual connection
    /// uses; default 60 s.
    pub fn pool_idle(mut self, timeout: Duration) -> QuicConfig {
        self.pool_idle = timeout;
        self
    }

    /// How much peers may ask of a host at a time; the defaults let members in, but for
    /// more than 256 at once from one machine, or with one certificate.
    pub fn limits(mut self, limits: Limits) -> QuicConfig {
        self.limits = limits;
        self
    }

    /// Sizes that trade memory for speed; the defaults are good ones.
    pub fn tuning(mut self, tuning: Tuning) -> QuicConfig {
        self.tuning = tuning;
        self
    }

    /// Counts into `stats`, for whoever has it too; engines that are given the same
    /// add up. Default: its own.
    ///
    /// ```
    /// use virtnet_engine_quic::{Identity, QuicConfig, Secret, Stats};
    ///
    /// let stats = Stats::default();
    /// let config = QuicConfig::new(Identity::secret(Secret::random())).stats(stats.clone());
    /// // Hosts are made, and dialed …
    /// assert_eq!(stats.snapshot().handshakes_failed, 0);
    /// ```
    pub fn stats(mut self, stats: Stats) -> QuicConfig {
        self.stats = Some(stats);
        self
    }

    /// Whether the keys of all connections are appended to the file that the environment
    /// variable `SSLKEYLOGFILE` names, so that Wireshark can read a capture; default no,
    /// whatever the environment says. Without the variable it has no effect.
    ///
    /// Whoever has the file can read all that these connections carried: that is warned
    /// of in the trace.
    pub fn key_log(mut self, on: bool) -> QuicConfig {
        self.key_log = on;
        self
    }

    /// Checks everything, and derives what hosts of `network` need to prove
    /// their names.
    ///
    /// # Errors
    ///
    /// When a value cannot be, or when hosts would announce an address that
    /// reaches nobody, like `0.0.0.0`; names the value.
    pub fn prepare(self, network: &str) -> Result<Prepared, Failure> {
        // The host does not matter: it is the network's name that is checked.
        Addr::new(network, "host", 0)?;
        self.check()?;
        let network: Arc<str> = network.into();
        let mut trust = Trust::new(&self.identity, network.clone())?;
        trust.key_log = self.key_log;
        if self.key_log && std::env::var_os("SSLKEYLOGFILE").is_some() {
            tracing::warn!(
                network = &*network,
                "all keys go to SSLKEYLOGFILE: nothing is secret from its readers"
            );
        }
        Ok(Prepared {
            advertised: Advertised::new(self.advertise.as_deref(), self.bind)?,
            trust,
            network,
            stats: self.stats.clone().unwrap_or_default(),
            config: self,
        })
    }

    fn check(&self) -> Result<(), Failure> {
        self.bind.check()?;
        self.tuning.check()?;
        self.limits.check()?;
        self.qlog.check()?;
        let invalid = |problem: String| Err(Failure::wrap(Cause::Other, problem));
        for (name, value) in [
            ("dial timeout", self.dial_timeout),
            ("handshake timeout", self.handshake_timeout),
            ("idle timeout", self.idle_timeout),
            ("keep-alive interval", self.keep_alive),
        ] {
            if value < Duration::from_millis(1) {
                return invalid(format!("{name} must be at least 1 ms, got {value:?}"));
            }
        }
        for (name, value) in [
            ("dial timeout", self.dial_timeout),
            ("handshake timeout", self.handshake_timeout),
            ("idle timeout", self.idle_timeout),
            ("drain timeout", self.drain_timeout),
            ("pool idle time", self.pool_idle),
        ] {
            if value > LONGEST {
                return invalid(format!("{name} must be at most 30 days, got {value:?}"));
            }
        }
        if self.keep_alive * 2 > self.idle_timeout {
            return invalid(format!(
                "keep-alive interval must be at most half of the idle timeout, got {:?} and {:?}",
                self.keep_alive, self.idle_timeout
            ));
        }
        Ok(())
    }
}

/// A checked configuration for one network, from which an engine starts
/// without fail.
///
/// ```no_run
/// use virtnet_core::{Registry, SubNetwork};
/// use virtnet_engine_quic::{Identity, QuicConfig, Secret};
///
/// # fn example(registry: std::sync::Arc<dyn Registry>) -> Result<(), Box<dyn std::error::Error>> {
/// let secret = Secret::from_file("network.secret")?;
/// let prepared = QuicConfig::new(Identity::secret(secret))
///     .advertise("10.0.0.2")
///     .prepare("net")?;
/// let net = SubNetwork::new("net", registry, |notifier| prepared.start(notifier))?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Prepared {
    pub(crate) network: Arc<str>,
    pub(crate) config: QuicConfig,
    pub(crate) advertised: Advertised,
    pub(crate) trust: Trust,
    pub(crate) stats: Stats,
}

impl Prepared {
    /// Starts the engine, which hands what arrives to `notifier`.
    pub fn start(self, notifier: Notifier) -> QuicEngine {
        QuicEngine::new(self, notifier)
    }

    /// What the engine will count, to be looked at when it is out of reach.
    pub fn stats(&self) -> Stats {
        self.stats.clone()
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared")
            .field("network", &self.network)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
