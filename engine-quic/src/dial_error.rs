//! The errors of a dial. Their texts name the host and its real address.
//!
//! Owns the mapping from QUIC and TLS errors to causes. Never retries or decides
//! anything.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use quinn::{ConnectionError, ReadError, VarInt, WriteError};
use virtnet_core::{Addr, Cause, Failure};

use crate::config::transport::{CloseCode, StreamCode};
use crate::hostdata::RealAddr;
use crate::udp::send_errors::SendErrors;
use crate::wire::handshake::HandshakeError;

/// The QUIC error code of a TLS alert is this plus the alert (RFC 9001, section 4.8).
const ALERTS: u64 = 0x100;

/// The host that a dial tries to reach, and its real address.
#[derive(Clone, Copy)]
pub(crate) struct DialTarget<'a> {
    pub(crate) dst: &'a Addr,
    pub(crate) place: &'a RealAddr,
    /// The socket address that was tried, once it is known.
    pub(crate) addr: Option<SocketAddr>,
    /// Errors of sends by the operating system, and the time from which they matter.
    pub(crate) send_errors: (&'a SendErrors, Instant),
}

impl fmt::Display for DialTarget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.to_string();
        match self.addr.map(|addr| addr.to_string()) {
            Some(addr) if addr != place => write!(f, "{place} ({addr})"),
            _ => f.write_str(&place),
        }
    }
}

impl DialTarget<'_> {
    /// No reply arrived in time.
    pub(crate) fn no_answer(&self, within: Duration) -> Failure {
        let host = self.dst.host();
        let mut text = format!("no answer from host {host:?} at {self} within {within:?}");
        let (send_errors, since) = self.send_errors;
        let addr = self.addr.or_else(|| self.place.addr());
        if let Some(err) = addr.and_then(|addr| send_errors.last_since(addr, since)) {
            text += &format!(": this machine refused to send there: {err}");
        }
        Failure::wrap(Cause::TimedOut, text)
    }

    /// The operating system cannot send there from a socket bound to `local`.
    pub(crate) fn unreachable(&self, local: IpAddr, err: &io::Error) -> Failure {
        let host = self.dst.host();
        let from = match local.is_unspecified() {
            true => String::new(),
            false => format!(" from {local}"),
        };
        let text = format!("cannot reach host {host:?} at {self}{from}: {err}");
        Failure::wrap(Cause::HostUnreachable, text)
    }

    /// The QUIC connection failed, or was lost before the dial was accepted.
    pub(crate) fn lost(&self, reason: &ConnectionError) -> Failure {
        let host = self.dst.host();
        match reason {
            ConnectionError::TransportError(err) => match alert(err.code.into()) {
                Some(alert) => self.not_trusted(alert),
                None => self.failed(Cause::Protocol, reason),
            },
            ConnectionError::ConnectionClosed(close) => match alert(close.error_code.into()) {
                Some(alert) => self.rejected(alert),
                // CONNECTION_REFUSED (RFC 9000, section 20.1).
                None if u64::from(close.error_code) == 2 => self.too_many_connections(),
                None => self.failed(Cause::ConnectionCut, reason),
            },
            ConnectionError::ApplicationClosed(close) if is(close.error_code, CloseCode::Bye) => {
                Cause::ConnectionRefused.into()
            }
            ConnectionError::ApplicationClosed(close)
                if is(close.error_code, CloseCode::SourceNotProved) =>
            {
                crate::wire::frame::Refusal::SourceNotProved.failure(self.dst, self)
            }
            ConnectionError::ApplicationClosed(close)
                if is(close.error_code, CloseCode::TooMany) =>
            {
                self.too_many_connections()
            }
            ConnectionError::TimedOut => Failure::wrap(
                Cause::TimedOut,
                format!("host {host:?} at {self} stopped responding"),
            ),
            ConnectionError::VersionMismatch => self.failed(Cause::Protocol, reason),
            ConnectionError::LocallyClosed => Cause::NetworkDown.into(),
            ConnectionError::ApplicationClosed(_)
            | ConnectionError::Reset
            | ConnectionError::CidsExhausted => self.failed(Cause::ConnectionCut, reason),
        }
    }

    /// The handshake on a stream failed. `lost` is why the QUIC connection ended, if it
    /// did.
    pub(crate) fn not_dialed(
        &self,
        err: &HandshakeError,
        lost: Option<&ConnectionError>,
        within: Duration,
    ) -> Failure {
        let host = self.dst.host();
        match (err, lost) {
            (HandshakeError::Refused(refusal), _) => refusal.failure(self.dst, self),
            (HandshakeError::Frame(err), _) => Failure::wrap(
                Cause::Protocol,
                format!("host {host:?} at {self} sent {err}"),
            ),
            (HandshakeError::TimedOut | HandshakeError::Io(_), Some(reason)) => self.lost(reason),
            (HandshakeError::TimedOut, None) => self.no_answer(within),
            (HandshakeError::Io(err), None) => match stream_code(err) {
                // The host is closing, or no accept got the connection.
                Some(code) if is(code, StreamCode::Closing) || is(code, StreamCode::Aborted) => {
                    Cause::ConnectionRefused.into()
                }
                Some(code) if is(code, StreamCode::Silent) => Failure::wrap(
                    Cause::TimedOut,
                    format!("host {host:?} at {self} timed out waiting for this side"),
                ),
                Some(_) | None => self.failed(Cause::ConnectionCut, err),
            },
        }
    }

    fn too_many_connections(&self) -> Failure {
        let host = self.dst.host();
        let text = format!("host {host:?} at {self} accepts no more connections at the moment");
        Failure::wrap(Cause::ConnectionRefused, text)
    }

    fn failed(&self, cause: Cause, err: &dyn fmt::Display) -> Failure {
        let host = self.dst.host();
        // It may contain text from the peer, and is printed to terminals.
        let err = err.to_string().replace(char::is_control, " ");
        let text = format!("the connection to host {host:?} at {self} failed: {err}");
        Failure::wrap(cause, text)
    }

    /// This side rejected the peer's certificate.
    fn not_trusted(&self, alert: u8) -> Failure {
        let (host, network) = (self.dst.host(), self.dst.network());
        let denied = |problem: String| Failure::wrap(Cause::PermissionDenied, problem);
        match alert {
            alerts::UNKNOWN_CA => denied(format!(
                "expected host {host:?} at {self}, got a peer that is not on network {network:?}: \
                 it is on another network, or is not a virtnet host"
            )),
            alerts::DECRYPT_ERROR => denied(format!(
                "expected host {host:?} at {self}, got a peer with another secret \
                 for network {network:?}"
            )),
            alerts::BAD_CERTIFICATE => denied(format!(
                "expected host {host:?} at {self}, got another host of network {network:?}"
            )),
            alerts::CERTIFICATE_EXPIRED => denied(format!(
                "the certificate of host {host:?} at {self} is not valid at this time"
            )),
            alerts::NO_APPLICATION_PROTOCOL => self.other_protocol(),
            alert => denied(format!(
                "expected host {host:?} at {self}, got a peer that did not prove its name (TLS alert {alert})"
            )),
        }
    }

    /// The peer rejected this host's certificate, or the protocol.
    fn rejected(&self, alert: u8) -> Failure {
        let (host, network) = (self.dst.host(), self.dst.network());
        let why = match alert {
            alerts::NO_APPLICATION_PROTOCOL => return self.other_protocol(),
            alerts::UNKNOWN_CA => format!("its issuer is not trusted on network {network:?}"),
            alerts::DECRYPT_ERROR => "the hosts have different secrets".to_owned(),
            alerts::CERTIFICATE_EXPIRED => {
                "it is not valid at this time by that host's clock".to_owned()
            }
            alert => format!("TLS alert {alert}"),
        };
        Failure::wrap(
            Cause::PermissionDenied,
            format!("host {host:?} at {self} rejected this host's certificate: {why}"),
        )
    }

    fn other_protocol(&self) -> Failure {
        let (host, alpn) = (
            self.dst.host(),
            String::from_utf8_lossy(crate::identity::tls::ALPN[0]),
        );
        let text =
            format!("expected host {host:?} at {self}, got a peer that does not speak {alpn}");
        Failure::wrap(Cause::Protocol, text)
    }
}

/// The TLS alerts that have error texts of their own (RFC 8446, section 6).
mod alerts {
    pub(super) const BAD_CERTIFICATE: u8 = 42;
    pub(super) const CERTIFICATE_EXPIRED: u8 = 45;
    pub(super) const UNKNOWN_CA: u8 = 48;
    pub(super) const DECRYPT_ERROR: u8 = 51;
    pub(super) const NO_APPLICATION_PROTOCOL: u8 = 120;
}

fn alert(code: u64) -> Option<u8> {
    code.checked_sub(ALERTS)?.try_into().ok()
}

fn is(code: VarInt, known: impl Into<VarInt>) -> bool {
    code == known.into()
}

/// The code with which the peer ended either direction of the stream.
fn stream_code(err: &io::Error) -> Option<VarInt> {
    let inner = err.get_ref()?;
    if let Some(ReadError::Reset(code)) = inner.downcast_ref() {
        return Some(*code);
    }
    match inner.downcast_ref() {
        Some(WriteError::Stopped(code)) => Some(*code),
        _ => None,
    }
}
