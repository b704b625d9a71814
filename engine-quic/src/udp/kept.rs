//! Sockets that an engine keeps open, so that its hosts start faster.
//!
//! Owns the probe of quinn's detection, and the check of the loopback interface. Never reads
//! from these sockets; nothing is sent over them.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};

use parking_lot::Mutex;
use quinn::udp::UdpSocketState;
use virtnet_core::{Cause, Failure};

use crate::udp::mtu;

/// The sockets that an engine keeps until it is closed.
#[derive(Debug)]
pub(crate) struct KeptSockets {
    /// For each endpoint, quinn opens and closes IPv6 sockets, to detect whether the kernel
    /// can coalesce datagrams. When the first such socket of a system is opened, and when the
    /// last is closed, Linux patches its own code while all processors are stopped: 50 µs each.
    /// With this one kept open, quinn's is never the first or last. It is bound to loopback.
    _probe: Option<UdpSocket>,
    /// Connected to a loopback address; connecting it again looks the route up.
    loopback: Mutex<Option<UdpSocket>>,
}

impl Default for KeptSockets {
    fn default() -> KeptSockets {
        KeptSockets {
            _probe: probe(),
            loopback: Mutex::new(None),
        }
    }
}

fn probe() -> Option<UdpSocket> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    // Without IPv6 no socket is needed.
    let socket = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).ok();
    socket.filter(|socket| UdpSocketState::new(socket.into()).is_ok())
}

impl KeptSockets {
    /// Checks that the loopback interface is up, if a host that is bound to `local` is announced
    /// at a loopback address. In a sandbox it may be down.
    ///
    /// # Errors
    ///
    /// When nothing can be sent to `addr`.
    pub(crate) fn loopback_is_up(&self, local: IpAddr, addr: SocketAddr) -> Result<(), Failure> {
        if !addr.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        let mut kept = self.loopback.lock();
        // An error may come from the address that the socket got when it was first connected.
        if kept.as_ref().is_some_and(|kept| kept.connect(addr).is_ok()) {
            return Ok(());
        }
        *kept = mtu::connected(local, addr).map_err(|err| nobody_reaches(addr, &err))?;
        Ok(())
    }
}

fn nobody_reaches(addr: SocketAddr, err: &io::Error) -> Failure {
    let why = match err.kind() {
        io::ErrorKind::NetworkUnreachable => "the loopback interface is down: ",
        _ => "",
    };
    let text = format!("nobody can reach a host at {addr}: {why}{err}");
    Failure::wrap(Cause::HostUnreachable, text)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_socket_serves_all_hosts_of_an_engine() {
        for (local, hosts) in [
            ("127.0.0.1:0", ["127.0.0.1:9", "127.0.0.1:10"]),
            ("0.0.0.0:0", ["127.0.0.2:9", "127.0.0.2:10"]),
            ("[::]:0", ["127.0.0.1:9", "127.0.0.1:10"]),
        ] {
            let kept = KeptSockets::default();
            let sockets = hosts.map(|host| {
                let checked = kept.loopback_is_up(addr(local).ip(), addr(host));
                assert!(checked.is_ok(), "{local} {host}: {checked:?}");
                let socket = kept.loopback.lock();
                let socket = socket.as_ref().expect("it is kept");
                assert_eq!(socket.peer_addr().unwrap(), addr(host));
                socket.local_addr().unwrap()
            });
            assert_eq!(sockets[0], sockets[1]);
        }
        // No loopback address: nothing is asked.
        let kept = KeptSockets::default();
        let elsewhere = kept.loopback_is_up(addr("127.0.0.1:0").ip(), addr("192.0.2.1:9"));
        assert!(elsewhere.is_ok(), "{elsewhere:?}");
    }
}
