//! Binding a host's UDP socket.
//!
//! Owns the choice of the port, and the socket's settings. Never reads or writes: QUIC
//! does.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};
use virtnet_core::Failure;

use crate::{Counters, SocketBuffers};

/// The versions of IP that a UDP socket can send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AddressFamilies {
    pub(crate) v4: bool,
    pub(crate) v6: bool,
}

impl AddressFamilies {
    pub(crate) fn contains(self, addr: &SocketAddr) -> bool {
        if addr.is_ipv4() { self.v4 } else { self.v6 }
    }
}

/// The UDP addresses that hosts may bind: one IP address, and a range of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) first: SocketAddr,
    pub(crate) last: u16,
}

impl From<SocketAddr> for Bind {
    fn from(addr: SocketAddr) -> Bind {
        Bind {
            first: addr,
            last: addr.port(),
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        if self.is_range() {
            write!(f, "-{}", self.last)?;
        }
        Ok(())
    }
}

impl Bind {
    /// Whether it is not a single port.
    pub(crate) fn is_range(&self) -> bool {
        self.last != self.first.port()
    }

    pub(crate) fn check(&self) -> Result<(), Failure> {
        let problem = match self.first.port() {
            0 if self.is_range() => "a range cannot begin with port 0, which means any free port",
            first if first > self.last => "the range's last port is before its first",
            _ => return Ok(()),
        };
        Err(Failure::other(format!("cannot bind {self}: {problem}")))
    }

    /// Whether binding failed because this loopback address does not exist.
    fn is_loopback_missing(&self, err: &io::Error) -> bool {
        err.kind() == io::ErrorKind::AddrNotAvailable && self.first.ip().is_loopback()
    }

    /// Binds the lowest free port, and requests buffers of `buffer` bytes.
    pub(crate) fn socket(
        &self,
        buffer: usize,
        counters: &Counters,
    ) -> Result<(UdpSocket, AddressFamilies), Failure> {
        let failed = |why: &dyn fmt::Display| {
            Failure::other(format!("cannot bind UDP address {self}: {why}"))
        };
        let mut addr = self.first;
        for port in self.first.port()..=self.last {
            addr.set_port(port);
            match bind(addr) {
                Ok((socket, families)) => {
                    counters.granted(request_buffers(&socket, buffer));
                    return Ok((socket.into(), families));
                }
                Err(err) if err.kind() == io::ErrorKind::AddrInUse && self.is_range() => {}
                Err(err) if self.is_range() => return Err(failed(&format!("port {port}: {err}"))),
                Err(err) if self.is_loopback_missing(&err) => {
                    let why = "the loopback interface is down, or does not have this version of IP";
                    return Err(failed(&format!("{why}: {err}")));
                }
                Err(err) => return Err(failed(&err)),
            }
        }
        Err(failed(&"all ports of the range are taken"))
    }
}

/// Binds one socket. A socket that is bound to all IPv6 addresses serves IPv4, too, where
/// the system allows it.
fn bind(addr: SocketAddr) -> io::Result<(Socket, AddressFamilies)> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    let both = addr.is_ipv6() && addr.ip().is_unspecified();
    let families = AddressFamilies {
        v4: addr.is_ipv4() || (both && socket.set_only_v6(false).is_ok()),
        v6: addr.is_ipv6(),
    };
    socket.bind(&addr.into())?;
    socket.set_nonblocking(true)?;
    Ok((socket, families))
}

/// Requests buffers of `asked` bytes for each direction.
fn request_buffers(socket: &Socket, asked: usize) -> SocketBuffers {
    // Errors are ignored: smaller buffers only cost speed.
    let _ = socket.set_recv_buffer_size(asked);
    let _ = socket.set_send_buffer_size(asked);
    // Linux reports twice the granted size: half of it is for its own data structures.
    let reported = if cfg!(target_os = "linux") { 2 } else { 1 };
    SocketBuffers {
        asked,
        receive: socket.recv_buffer_size().unwrap_or(0) / reported,
        send: socket.send_buffer_size().unwrap_or(0) / reported,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two consecutive free ports of the loopback address, and a socket that is bound to
    /// the first.
    fn two_ports() -> (UdpSocket, Bind) {
        loop {
            let kept = UdpSocket::bind("127.0.0.1:0").unwrap();
            let first = kept.local_addr().unwrap();
            let next = first.port().checked_add(1);
            if let Some(last) = next.filter(|next| UdpSocket::bind(("127.0.0.1", *next)).is_ok()) {
                return (kept, Bind { first, last });
            }
        }
    }

    #[test]
    fn the_lowest_free_port_of_a_range_is_taken() {
        let (kept, range) = two_ports();
        let port = |bound: &(UdpSocket, AddressFamilies)| bound.0.local_addr().unwrap().port();
        let second = range.socket(1 << 16, &Counters::default()).unwrap();
        assert_eq!(port(&second), range.last);
        let err = range
            .socket(1 << 16, &Counters::default())
            .unwrap_err()
            .to_string();
        let text = format!(
            "cannot bind UDP address 127.0.0.1:{}-{}: all ports of the range are taken",
            range.first.port(),
            range.last
        );
        assert_eq!(err, text);
        drop(kept);
        assert_eq!(
            port(&range.socket(1 << 16, &Counters::default()).unwrap()),
            range.first.port()
        );
    }

    #[test]
    fn an_address_that_is_not_here_ends_the_search() {
        // An address for documentation (RFC 5737), which no machine has.
        let first = "192.0.2.1:1024".parse().unwrap();
        let range = Bind {
            first,
            last: 65_535,
        };
        let err = range
            .socket(1 << 16, &Counters::default())
            .unwrap_err()
            .to_string();
        let text = "cannot bind UDP address 192.0.2.1:1024-65535: ";
        assert!(err.starts_with(text) && !err.contains("taken"), "{err}");
    }

    #[test]
    fn a_range_has_a_port_and_begins_with_one() {
        for (first, last, problem) in [
            ("127.0.0.1:0", 0, None),
            ("127.0.0.1:7", 7, None),
            ("[::1]:7", 8, None),
            (
                "127.0.0.1:0",
                8,
                Some("127.0.0.1:0-8: a range cannot begin"),
            ),
            ("[::1]:8", 7, Some("[::1]:8-7: the range's last port")),
        ] {
            let first = first.parse().unwrap();
            let checked = Bind { first, last }.check();
            let text = checked.map_err(|err| err.to_string()).err();
            let named = text.as_deref().unwrap_or_default();
            assert_eq!(text.is_some(), problem.is_some(), "{text:?}");
            assert!(named.contains(problem.unwrap_or_default()), "{named}");
        }
    }
}
