//! The settings of an engine, and their check before anything starts.
//!
//! Owns [`QuicConfig`]. Never opens a socket.

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

/// The largest value of any duration: 30 days.
const MAX_DURATION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The settings of an engine. Each duration is at most 30 days.
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
    /// The defaults. They bind all IPv4 addresses, so you must also set
    /// [`advertise`](QuicConfig::advertise).
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
    /// Leave the port 0 unless you make one host only: each host has its own socket.
    /// `[::]:0` serves IPv6 and IPv4.
    pub fn bind(mut self, addr: SocketAddr) -> QuicConfig {
        self.bind = addr.into();
        self
    }

    /// A range of UDP ports for the hosts, for example because a firewall lets only these
    /// through: from the port of `first` to `last`. Each host binds the lowest free port.
    ///
    /// Replaces [`bind`](QuicConfig::bind); the last call counts.
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

    /// The address at which other machines reach this one: `host` or `host:port`, where
    /// host is an IP address (IPv6 in brackets if a port follows) or a DNS name. Default:
    /// the bound address.
    ///
    /// Without a port, every host announces the port that it is bound to. With a port,
    /// make one host only.
    pub fn advertise(mut self, addr: impl Into<String>) -> QuicConfig {
        self.advertise = Some(addr.into());
        self
    }

    /// How long a dial waits for the first answer of the other side; default 3 s. This
    /// includes the query of the registry and, where its answer was out of date, a second
    /// query and a second attempt.
    ///
    /// A host whose listener does not accept at once answers after 1 s, or a third of its
    /// [`handshake_timeout`](QuicConfig::handshake_timeout), that it is still waiting. So with less than
    /// that, dials to slow listeners time out.
    pub fn dial_timeout(mut self, timeout: Duration) -> QuicConfig {
        self.dial_timeout = timeout;
        self
    }

    /// How long a peer may take for the QUIC handshake, and for the first frame of a stream,
    /// each; default 3 s. A reply to it that cannot be written for that long is given up.
    pub fn handshake_timeout(mut self, timeout: Duration) -> QuicConfig {
        self.handshake_timeout = timeout;
        self
    }

    /// How long closing waits for the delivery of data that was written before; default 5 s.
    pub fn drain_timeout(mut self, timeout: Duration) -> QuicConfig {
        self.drain_timeout = timeout;
        self
    }

    /// After how long without a packet from a peer its connections are cut; default 10 s.
    /// The smaller value of the two sides counts.
    ///
    /// Connections survive a pause of the peer for up to this timeout minus the
    /// [`keep_alive`](QuicConfig::keep_alive) interval: 7 s by default.
    pub fn idle_timeout(mut self, timeout: Duration) -> QuicConfig {
        self.idle_timeout = timeout;
        self
    }

    /// How often to send a packet on an idle connection to keep it alive; default 3 s, at
    /// most half of the [`idle_timeout`](QuicConfig::idle_timeout).
    pub fn keep_alive(mut self, interval: Duration) -> QuicConfig {
        self.keep_alive = interval;
        self
    }

    /// How long to keep a QUIC connection that no virtual connection uses; default 60 s.
    pub fn pool_idle(mut self, timeout: Duration) -> QuicConfig {
        self.pool_idle = timeout;
        self
    }

    /// How much peers may use of a host at a time. Raise the defaults if more than 256
    /// hosts of one machine, or with the same certificate, connect at once.
    pub fn limits(mut self, limits: Limits) -> QuicConfig {
        self.limits = limits;
        self
    }

    /// Sizes that trade memory for speed; the defaults suit most networks.
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

    /// Whether to append the keys of all connections to the file that the environment
    /// variable `SSLKEYLOGFILE` names, so that Wireshark can decrypt a capture. Default: no,
    /// also where the variable is set. Without the variable it has no effect.
    ///
    /// Anybody who can read that file can decrypt these connections; a warning is logged.
    pub fn key_log(mut self, on: bool) -> QuicConfig {
        self.key_log = on;
        self
    }

    /// Logs QUIC's events into files in `dir`: packets sent, received and lost, round-trip
    /// times and congestion windows. Each end of each connection has its own file. Default:
    /// no log. Needs the feature `qlog`. The folder is created if it does not exist.
    ///
    /// The format is [qlog](https://datatracker.ietf.org/doc/draft-ietf-quic-qlog-main-schema/)
    /// as JSON text sequences, which qvis shows. A file has a name such as
    /// `α-dials-127.0.0.1-4433-71-1.sqlog`: host, peer, process id, number. Files contain no
    /// payload and no keys, and grow by about 150 bytes for each packet. Each event is
    /// written at once, which slows the connections down. A failed handshake leaves a file,
    /// too, so anybody who can reach the host's port can create files: use it for
    /// debugging, not on exposed hosts.
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
                return invalid(format!("{name} must be at least 1ms, got {value:?}"));
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
                    "{name} must be at most {MAX_DURATION:?} (30 days), got {value:?}"
                ));
            }
        }
        if self.keep_alive * 2 > self.idle_timeout {
            return invalid(format!(
                "keep-alive interval must be at most half of the idle timeout of {:?}, got {:?}",
                self.idle_timeout, self.keep_alive
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
