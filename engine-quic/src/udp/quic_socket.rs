//! A host's UDP socket, as quinn uses it.
//!
//! Owns the calls that send and receive, and the handling of send errors: for QUIC the
//! datagram is lost, and the error is recorded ([`SendErrors`]). Never reads a datagram.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::RwLock;
use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::udp::mtu;
use crate::udp::send_errors::SendErrors;

/// A UDP socket that keeps segmentation offload when one destination fails.
///
/// On EINVAL, `UdpSocketState` assumes an old kernel or a driver without segmentation
/// offload, and stops using it for all destinations, until it is dropped. A blackhole route
/// causes EINVAL, too. So the state for sending is made again when the route is the cause.
pub(crate) struct QuicSocket {
    io: UdpSocket,
    local: IpAddr,
    /// Settings of receiving never change; so receiving needs no lock.
    recv_state: Arc<UdpSocketState>,
    /// The same at first: detecting offload takes two sockets each time.
    send_state: RwLock<Arc<UdpSocketState>>,
    send_errors: Arc<SendErrors>,
}

impl QuicSocket {
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub(crate) fn new(
        socket: std::net::UdpSocket,
        send_errors: Arc<SendErrors>,
    ) -> io::Result<QuicSocket> {
        let state = Arc::new(UdpSocketState::new((&socket).into())?);
        Ok(QuicSocket {
            local: socket.local_addr()?.ip(),
            send_state: RwLock::new(Arc::clone(&state)),
            recv_state: state,
            io: UdpSocket::from_std(socket)?,
            send_errors,
        })
    }

    /// Handles an error of sending a datagram.
    fn send_failed(&self, to: SocketAddr, err: &io::Error) {
        if mtu::is_too_large(err) {
            // Expected: this is how QUIC's search finds the path MTU.
            return;
        }
        if err.kind() == io::ErrorKind::InvalidInput && mtu::route(self.local, to).is_err() {
            // If this fails, sending continues without offload.
            if let Ok(state) = UdpSocketState::new((&self.io).into()) {
                *self.send_state.write() = Arc::new(state);
            }
        }
        self.send_errors.record(to, err);
    }
}

impl AsyncUdpSocket for QuicSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller {
            socket: self,
            waiting: None,
        })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.io.try_io(Interest::WRITABLE, || {
            self.send_state.read().try_send((&self.io).into(), transmit)
        });
        match sent {
            Err(err) if err.kind() != io::ErrorKind::WouldBlock => {
                self.send_failed(transmit.destination, &err);
                Ok(())
            }
            sent => sent,
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.io.poll_recv_ready(cx))?;
            let received = self.io.try_io(Interest::READABLE, || {
                self.recv_state.recv((&self.io).into(), bufs, meta)
            });
            // Errors are either about a datagram that was sent earlier, or WouldBlock.
            if let Ok(received) = received {
                return Poll::Ready(Ok(received));
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.send_state.read().max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.recv_state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.recv_state.may_fragment()
    }
}

impl fmt::Debug for QuicSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}

/// Waits until the socket is writable, for one sender.
struct Poller {
    socket: Arc<QuicSocket>,
    waiting: Option<Writable>,
}

type Writable = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Poller { socket, waiting } = &mut *self;
        // QUIC asks before every datagram, and nearly always the socket is writable: only a
        // wait costs an allocation.
        if waiting.is_none()
            && let Poll::Ready(ready) = pin!(socket.io.writable()).poll(cx)
        {
            return Poll::Ready(ready);
        }
        let writable = waiting.get_or_insert_with(|| {
            let socket = Arc::clone(socket);
            Box::pin(async move { socket.io.writable().await })
        });
        let ready = ready!(writable.as_mut().poll(cx));
        *waiting = None;
        Poll::Ready(ready)
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Instant;

    use super::*;

    /// An address for documentation (RFC 5737), to which loopback has no route.
    const ELSEWHERE: &str = "192.0.2.1:9";

    fn loopback() -> std::net::UdpSocket {
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap()
    }

    fn datagram(destination: SocketAddr) -> Transmit<'static> {
        Transmit {
            destination,
            ecn: None,
            contents: b"datagram",
            segment_size: None,
            src_ip: None,
        }
    }

    async fn send(udp: &Arc<QuicSocket>, destination: SocketAddr) {
        let mut poller = Arc::clone(udp).create_io_poller();
        while let Err(err) = udp.try_send(&datagram(destination)) {
            assert_eq!(err.kind(), io::ErrorKind::WouldBlock);
            let writable = std::future::poll_fn(|cx| poller.as_mut().poll_writable(cx));
            writable.await.unwrap();
        }
    }

    /// There is no route from loopback to that address; the error is the one of a blackhole
    /// route.
    #[tokio::test]
    async fn a_route_that_is_refused_ends_no_offload() {
        let to = ELSEWHERE.parse().unwrap();
        let plain = loopback();
        let state = UdpSocketState::new((&plain).into()).unwrap();
        let segments = state.max_gso_segments();
        let err = state
            .try_send((&plain).into(), &datagram(to))
            .expect_err("nothing can be sent");
        let offload_lost = state.max_gso_segments() < segments;
        println!(
            "{err}: {segments} segments, then {}",
            state.max_gso_segments()
        );
        // On a machine without routes the error is another one, which does not turn off offload.
        assert_eq!(
            offload_lost,
            err.kind() == io::ErrorKind::InvalidInput && segments > 1
        );

        let (send_errors, began) = (Arc::new(SendErrors::default()), Instant::now());
        let udp = Arc::new(QuicSocket::new(loopback(), Arc::clone(&send_errors)).unwrap());
        for _ in 0..3 {
            send(&udp, to).await;
            assert_eq!(udp.max_transmit_segments(), segments);
        }
        let recorded = send_errors.last_since(to, began).expect("it was refused");
        assert_eq!(recorded.raw_os_error(), err.raw_os_error());
        // Sending to other peers still works.
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        send(&udp, peer.local_addr().unwrap()).await;
        let mut got = [0; 16];
        assert_eq!(peer.recv(&mut got).await.unwrap(), b"datagram".len());
    }
}
