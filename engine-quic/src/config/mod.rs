//! What can be set of an engine, and the check of it before anything starts.
//!
//! Owns [`QuicConfig`] and [`Prepared`]. Never opens a socket.

pub(crate) mod limits;
pub(crate) mod transport;
pub(crate) mod tuning;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use virtnet_core::Failure;

use crate::observe::qlog::Qlog;
use crate::udp::socket::Bind;
use crate::{Counters, Identity, Limits, Tuning};

/// Longest of all durations: 30 days.
const MAX_DURATION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

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
    pub(crate) counters: Option<Counters>,
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
            counters: None,
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

    /// Counts into `counters`, of which you keep a clone to read them. Several engines
    /// that are given the same counters add up. Default: new counters for each engine.
    ///
    /// ```
    /// use virtnet_engine_quic::{Counters, Identity, QuicConfig, Secret};
    ///
    /// let counters = Counters::default();
    /// let identity = Identity::secret(Secret::random());
    /// let config = QuicConfig::new(identity).counters(counters.clone());
    /// // Make hosts, and dial them …
    /// assert_eq!(counters.stats().handshakes_failed, 0);
    /// ```
    pub fn counters(mut self, counters: Counters) -> QuicConfig {
        self.counters = Some(counters);
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

    /// Has QUIC write what it does into `dir`, by the feature `qlog`: which packets were
    /// sent, received and lost, round-trip times and congestion windows, a file for each
    /// connection and each of its ends. Default none. The folder is made if need be.
    ///
    /// The files are [qlog](https://datatracker.ietf.org/doc/draft-ietf-quic-qlog-main-schema/)
    /// as JSON text sequences, which qvis shows, and are named like
    /// `α-dials-127.0.0.1-4433-71-1.sqlog`: the host, its peer, the process, a number. They
    /// have no payload and no keys in them, and are as long as their connections are: some
    /// 150 bytes for each packet. They are written line by line as things happen, which takes
    /// time from the connections. A handshake that fails leaves its file, too, so whoever
    /// reaches the host's port can make some: it is for debugging, not for exposed hosts.
    ///
    /// ```no_run
    /// use virtnet_engine_quic::{Identity, QuicConfig, Secret};
    ///
    /// let config = QuicConfig::new(Identity::secret(Secret::random())).qlog("qlogs");
    /// ```
    pub fn qlog(mut self, dir: impl Into<PathBuf>) -> QuicConfig {
        self.qlog = Qlog::in_dir(dir.into());
        self
    }

    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.bind.check()?;
        self.tuning.check()?;
        self.limits.check()?;
        self.qlog.check()?;
        let invalid = |problem: String| Err(Failure::other(problem));
        for (name, value) in [
            ("dial timeout", self.dial_timeout),
            ("handshake timeout", self.handshake_timeout),
            ("idle timeout", self.idle_timeout),
            ("keep-alive interval", self.keep_alive),
        ] {
            if value < Duration::from_millis(1) {
                return invalid(format!("a {name} of {value:?} is none"));
            }
        }
        for (name, value) in [
            ("dial timeout", self.dial_timeout),
            ("handshake timeout", self.handshake_timeout),
            ("idle timeout", self.idle_timeout),
            ("drain timeout", self.drain_timeout),
            ("pool idle time", self.pool_idle),
        ] {
            if value > MAX_DURATION {
                return invalid(format!(
                    "a {name} of {value:?} is more than {MAX_DURATION:?}"
                ));
            }
        }
        if self.keep_alive * 2 > self.idle_timeout {
            return invalid(format!(
                "a keep-alive interval of {:?} is more than half of the idle timeout of {:?}",
                self.keep_alive, self.idle_timeout
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
