//! The settings of an engine, and their validation before anything starts.
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

/// The longest duration that a setting accepts: 30 days.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The settings of a QUIC engine. No duration may be longer than 30 days.
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
    /// A configuration with the defaults. It binds to all IPv4 addresses, so you must
    /// set [`advertise`](QuicConfig::advertise), or bind to one address.
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

    /// The UDP address that every host binds to; default `0.0.0.0:0`.
    ///
    /// Each host has its own socket, so leave the port 0 unless you make only one
    /// host. `[::]:0` serves both IPv6 and IPv4. Replaces
    /// [`bind_range`](QuicConfig::bind_range).
    pub fn bind(mut self, addr: SocketAddr) -> QuicConfig {
        self.bind = addr.into();
        self
    }

    /// The range of UDP ports that hosts bind to: from the port of `first` to `last`,
    /// on the IP address of `first`. Each host takes the lowest free port, so you can
    /// open exactly these in a firewall.
    ///
    /// Replaces [`bind`](QuicConfig::bind).
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

    /// The address at which other machines reach this one: `host` or `host:port`,
    /// where `host` is an IP address (IPv6 in brackets if a port follows) or a DNS
    /// name; default the bound address.
    ///
    /// Without a port, every host announces the port that it is bound to. With a port,
    /// make only one host.
    pub fn advertise(mut self, place: impl Into<String>) -> QuicConfig {
        self.advertise = Some(place.into());
        self
    }

    /// How long a dial waits for the peer's first reply; default 3 s, at least 1 ms. This
    /// includes the registry lookup and, when its answer was out of date, the second
    /// lookup and attempt.
    ///
    /// A host whose listener has not accepted yet replies after 1 s that it is still
    /// deciding. So with less than 1 s, dials to slow listeners time out.
    pub fn dial_timeout(mut self, timeout: Duration) -> QuicConfig {
        self.dial_timeout = timeout;
        self
    }

    /// How long a peer may take for each of the QUIC handshake, the first frame of a
    /// stream and the confirmation; default 3 s, at least 1 ms.
    pub fn handshake_timeout(mut self, timeout: Duration) -> QuicConfig {
        self.handshake_timeout = timeout;
        self
    }

    /// How long a close waits until written data is delivered; default 5 s.
    pub fn drain_timeout(mut self, timeout: Duration) -> QuicConfig {
        self.drain_timeout = timeout;
        self
    }

    /// The time within which connections to a peer that stops responding are cut;
    /// default 10 s, at least 1 ms. The smaller value of the two sides applies.
    ///
    /// Connections survive a pause of the peer of up to this value minus the
    /// [`keep_alive`](QuicConfig::keep_alive) interval: 7 s by default.
    pub fn idle_timeout(mut self, timeout: Duration) -> QuicConfig {
        self.idle_timeout = timeout;
        self
    }

    /// How often an otherwise unused QUIC connection sends a keep-alive; default 3 s,
    /// at least 1 ms and at most half of the [`idle_timeout`](QuicConfig::idle_timeout).
    pub fn keep_alive(mut self, interval: Duration) -> QuicConfig {
        self.keep_alive = interval;
        self
    }

    /// How long a QUIC connection stays open while no virtual connection uses it;
    /// default 60 s.
    pub fn pool_idle(mut self, timeout: Duration) -> QuicConfig {
        self.pool_idle = timeout;
        self
    }

    /// Limits on what peers may use of a host at a time. The defaults refuse no member
    /// unless more than 256 connect at once from one machine or with one certificate.
    pub fn limits(mut self, limits: Limits) -> QuicConfig {
        self.limits = limits;
        self
    }

    /// Sizes that trade memory for speed; the defaults suit most networks.
    pub fn tuning(mut self, tuning: Tuning) -> QuicConfig {
        self.tuning = tuning;
        self
    }

    /// Counts into `stats`, of which you can keep a clone. Engines with the same `stats`
    /// add up. By default, each engine has its own.
    ///
    /// ```
    /// use virtnet_engine_quic::{Identity, QuicConfig, Secret, Stats};
    ///
    /// let stats = Stats::default();
    /// let config = QuicConfig::new(Identity::secret(Secret::random())).stats(stats.clone());
    /// // Make hosts, dial …
    /// assert_eq!(stats.snapshot().handshakes_failed, 0);
    /// ```
    pub fn stats(mut self, stats: Stats) -> QuicConfig {
        self.stats = Some(stats);
        self
    }

    /// Whether to append the TLS keys of all connections to the file that the environment
    /// variable `SSLKEYLOGFILE` names, so that Wireshark can decrypt a capture; default
    /// no, even if the variable is set. Without the variable it has no effect.
    ///
    /// With this file, anybody can decrypt the traffic of these connections; a
    /// `tracing` warning says so.
    pub fn key_log(mut self, on: bool) -> QuicConfig {
        self.key_log = on;
        self
    }

    /// Validates all settings, and derives the keys with which hosts of `network`
    /// prove their names.
    ///
    /// # Errors
    ///
    /// When the network's name or a setting is invalid, or hosts would announce an
    /// unspecified address such as `0.0.0.0`. The error names the value.
    pub fn prepare(self, network: &str) -> Result<Prepared, Failure> {
        // Only the network's name is checked; the host's is a placeholder.
        Addr::new(network, "host", 0)?;
        self.check()?;
        let network: Arc<str> = network.into();
        let mut trust = Trust::new(&self.identity, network.clone())?;
        trust.key_log = self.key_log;
        if self.key_log && std::env::var_os("SSLKEYLOGFILE").is_some() {
            tracing::warn!(
                network = &*network,
                "TLS keys are written to SSLKEYLOGFILE: its readers can decrypt all traffic"
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

/// A validated configuration for one network, from which an engine starts without
/// errors.
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
    /// Starts the engine, which reports incoming connections to `notifier`.
    pub fn start(self, notifier: Notifier) -> QuicEngine {
        QuicEngine::new(self, notifier)
    }

    /// The engine's counters. Keep them to read them after the engine has been moved.
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
