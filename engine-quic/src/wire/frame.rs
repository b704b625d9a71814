//! Frames: encoding and decoding of the messages that open a connection.
//!
//! Owns the layout of protocol version 2 and its limits. Never reads or writes a
//! stream, and never depends on QUIC.
//!
//! A connection is one stream, which the dialer opens:
//!
//! ```text
//! dialer   → Hello    version u8, length u16, then of that length:
//!                     network, source host, source port u16,
//!                     destination host, destination port u16
//! acceptor → Reply    0                    waiting: still deciding
//!                     1, port u16          accepted: the accepting port
//!                     2, code u8           refused; for code 6 the version
//!                                          that the acceptor speaks follows
//! ```
//!
//! All bytes after the Hello and after the final reply belong to the connection.
//! Numbers are big-endian. A name is a one-byte length, then that many bytes of
//! UTF-8. At most one *waiting* precedes the final reply.

use std::ops::Deref;
use std::sync::Arc;

use virtnet_core::{Addr, AddrError, Cause, Failure, MAX_NAME};

/// The version of the protocol, which is the first byte of every connection.
pub(crate) const VERSION: u8 = 2;

/// The bytes before a Hello's body: version and length.
pub(crate) const HEADER: usize = 3;

/// The longest body of a Hello: three names and two ports.
pub(crate) const MAX_BODY: usize = 3 * (1 + MAX_NAME) + 2 * 2;

/// The longest Reply: a refusal that names a version.
pub(crate) const MAX_REPLY: usize = 3;

const WAITING: u8 = 0;
const ACCEPTED: u8 = 1;
const REFUSED: u8 = 2;

/// The bytes are not a valid frame. Texts continue "the host sent …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of protocol version {0}, expected {VERSION}")]
    Version(u8),
    #[error("a first frame of {0} bytes, expected at most {MAX_BODY}")]
    TooLong(usize),
    #[error("a frame that ends too early")]
    Truncated,
    #[error("a frame with unexpected bytes after its end")]
    Trailing,
    #[error("a name that is not UTF-8")]
    NotUtf8,
    #[error("{0}")]
    Name(#[from] AddrError),
    #[error("port 0, expected 1 to 65535")]
    PortZero,
    #[error("a reply of unknown type {0}")]
    Kind(u8),
    #[error("a second \"waiting\" reply, expected at most one")]
    WaitingTwice,
}

/// The first frame: source and destination of the dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) src: Addr,
    pub(crate) dst: Addr,
}

impl Hello {
    /// Encodes the whole frame, and the bytes `first` of the connection behind it. Both
    /// addresses must be of one network.
    pub(crate) fn encode(&self, first: &[u8]) -> Vec<u8> {
        let names = [self.dst.network(), self.src.host(), self.dst.host()];
        let body = names.map(|name| 1 + name.len()).iter().sum::<usize>() + 2 * 2;
        let length = u16::try_from(body).expect("an address holds names of at most 255 bytes");
        let mut frame = Vec::with_capacity(HEADER + body + first.len());
        frame.push(VERSION);
        frame.extend(length.to_be_bytes());
        put_name(&mut frame, self.dst.network());
        put_name(&mut frame, self.src.host());
        frame.extend(self.src.port().to_be_bytes());
        put_name(&mut frame, self.dst.host());
        frame.extend(self.dst.port().to_be_bytes());
        frame.extend_from_slice(first);
        frame
    }

    /// Decodes the length of the body, which is the two bytes after the version.
    pub(crate) fn body_length(bytes: [u8; 2]) -> Result<usize, FrameError> {
        let length = usize::from(u16::from_be_bytes(bytes));
        if length > MAX_BODY {
            return Err(FrameError::TooLong(length));
        }
        Ok(length)
    }

    /// Decodes the body. Names that are among the `known` ones are shared, not copied.
    pub(crate) fn decode(body: &[u8], known: &[Arc<str>]) -> Result<Hello, FrameError> {
        let shared = |name: &str| {
            let same = known.iter().find(|known| ***known == *name);
            same.map_or_else(|| name.into(), Arc::clone)
        };
        let mut rest = body;
        let network: Arc<str> = shared(take_name(&mut rest)?);
        let src_host = take_name(&mut rest)?;
        let src_port = take_u16(&mut rest)?;
        let dst_host = take_name(&mut rest)?;
        let dst_port = take_u16(&mut rest)?;
        if !rest.is_empty() {
            return Err(FrameError::Trailing);
        }
        if src_port == 0 {
            return Err(FrameError::PortZero);
        }
        Ok(Hello {
            src: Addr::new(Arc::clone(&network), shared(src_host), src_port)?,
            dst: Addr::new(network, shared(dst_host), dst_port)?,
        })
    }
}

fn put_name(frame: &mut Vec<u8>, name: &str) {
    let length = u8::try_from(name.len()).expect("an address holds names of at most 255 bytes");
    frame.push(length);
    frame.extend(name.as_bytes());
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], FrameError> {
    let (taken, left) = rest.split_at_checked(count).ok_or(FrameError::Truncated)?;
    *rest = left;
    Ok(taken)
}

fn take_u16(rest: &mut &[u8]) -> Result<u16, FrameError> {
    let bytes = take(rest, 2)?;
    Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
}

fn take_name<'a>(rest: &mut &'a [u8]) -> Result<&'a str, FrameError> {
    let length = take(rest, 1)?[0];
    let name = take(rest, usize::from(length))?;
    std::str::from_utf8(name).map_err(|_| FrameError::NotUtf8)
}

/// The acceptor's reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// No decision yet, but the acceptor is alive.
    Waiting,
    /// Accepted, by this port of the dialed host.
    Accepted(u16),
    /// Refused, for this reason.
    Refused(Refusal),
}

impl Reply {
    pub(crate) fn encode(self) -> ReplyBytes {
        let (bytes, length) = match self {
            Reply::Waiting => ([WAITING, 0, 0], 1),
            Reply::Accepted(port) => {
                let [high, low] = port.to_be_bytes();
                ([ACCEPTED, high, low], 3)
            }
            Reply::Refused(Refusal::Version(theirs)) => ([REFUSED, Refusal::VERSION, theirs], 3),
            Reply::Refused(refusal) => ([REFUSED, refusal.code(), 0], 2),
        };
        ReplyBytes { bytes, length }
    }

    /// Decodes a reply; `None` if `bytes` is an incomplete one.
    ///
    /// The bytes after a reply belong to the connection. So the caller must add one
    /// byte at a time and never read past the reply's end.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<Reply>, FrameError> {
        match *bytes {
            [] | [ACCEPTED] | [ACCEPTED, _] | [REFUSED] | [REFUSED, Refusal::VERSION] => Ok(None),
            [WAITING] => Ok(Some(Reply::Waiting)),
            [ACCEPTED, 0, 0] => Err(FrameError::PortZero),
            [ACCEPTED, high, low] => Ok(Some(Reply::Accepted(u16::from_be_bytes([high, low])))),
            [REFUSED, Refusal::VERSION, theirs] => {
                Ok(Some(Reply::Refused(Refusal::Version(theirs))))
            }
            [REFUSED, code] => Ok(Some(Reply::Refused(Refusal::from_code(code)))),
            [WAITING | ACCEPTED | REFUSED, ..] => Err(FrameError::Trailing),
            [kind, ..] => Err(FrameError::Kind(kind)),
        }
    }
}

/// An encoded reply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplyBytes {
    bytes: [u8; MAX_REPLY],
    length: usize,
}

impl Deref for ReplyBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Why the acceptor refused, sent as a one-byte code:
///
/// | code | reason | error of the dial |
/// |---|---|---|
/// | 1 | the host does not exist | no such host |
/// | 2 | nothing listens, the backlog is full, or the host is closing | connection refused |
/// | 3 | the endpoint belongs to another host | permission denied |
/// | 4 | the endpoint belongs to another network | permission denied |
/// | 5 | the dialer's certificate does not prove its name | permission denied |
/// | 6 | another version of the protocol | protocol violation |
/// | 7 | the first frame is invalid | protocol violation |
/// | other | defined by a later revision | connection refused |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoSuchHost,
    ConnectionRefused,
    WrongHost,
    WrongNetwork,
    SourceNotProved,
    /// The version that the acceptor speaks.
    Version(u8),
    Malformed,
    Unknown(u8),
}

impl Refusal {
    const VERSION: u8 = 6;

    fn code(self) -> u8 {
        match self {
            Refusal::NoSuchHost => 1,
            Refusal::ConnectionRefused => 2,
            Refusal::WrongHost => 3,
            Refusal::WrongNetwork => 4,
            Refusal::SourceNotProved => 5,
            Refusal::Version(_) => Refusal::VERSION,
            Refusal::Malformed => 7,
            Refusal::Unknown(code) => code,
        }
    }

    /// The refusal of a code without further bytes.
    fn from_code(code: u8) -> Refusal {
        match code {
            1 => Refusal::NoSuchHost,
            2 => Refusal::ConnectionRefused,
            3 => Refusal::WrongHost,
            4 => Refusal::WrongNetwork,
            5 => Refusal::SourceNotProved,
            7 => Refusal::Malformed,
            code => Refusal::Unknown(code),
        }
    }

    /// The refusal for a failure of the notifier.
    pub(crate) fn from_failure(failure: &Failure) -> Refusal {
        match failure.cause() {
            Cause::NoSuchHost => Refusal::NoSuchHost,
            _ => Refusal::ConnectionRefused,
        }
    }

    /// The dial's error. `place` is the real address that replied.
    pub(crate) fn failure(self, dst: &Addr, place: impl std::fmt::Display) -> Failure {
        let host = dst.host();
        match self {
            Refusal::NoSuchHost => Cause::NoSuchHost.into(),
            Refusal::ConnectionRefused | Refusal::Unknown(_) => Cause::ConnectionRefused.into(),
            Refusal::WrongHost => Failure::wrap(
                Cause::PermissionDenied,
                format!("{place} replied that it is not host {host:?}"),
            ),
            Refusal::WrongNetwork => Failure::wrap(
                Cause::PermissionDenied,
                format!(
                    "{place} replied that it is not on network {:?}",
                    dst.network()
                ),
            ),
            Refusal::SourceNotProved => Failure::wrap(
                Cause::PermissionDenied,
                format!(
                    "host {host:?} at {place} rejected this host's name: its certificate does not prove it"
                ),
            ),
            Refusal::Version(theirs) => Failure::wrap(
                Cause::Protocol,
                format!(
                    "host {host:?} at {place} speaks protocol version {theirs}, \
                     this side speaks version {VERSION}"
                ),
            ),
            Refusal::Malformed => Failure::wrap(
                Cause::Protocol,
                format!("host {host:?} at {place} could not read the first frame"),
            ),
        }
    }
}

#[cfg(test)]
#[path = "frame/tests.rs"]
mod tests;
