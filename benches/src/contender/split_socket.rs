//! A UDP socket that takes batches of large datagrams.
//!
//! Owns the splitting of a batch that the kernel would refuse: one of over 65507
//! bytes. Never changes a datagram.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};

/// What fits in one IPv4 packet: 65535 less the headers.
pub const LARGEST: usize = 65_507;

pub struct SplitSocket(Arc<dyn AsyncUdpSocket>);

impl SplitSocket {
    pub fn new(socket: UdpSocket) -> io::Result<Arc<SplitSocket>> {
        let inner = TokioRuntime.wrap_udp_socket(socket)?;
        Ok(Arc::new(SplitSocket(inner)))
    }
}

impl fmt::Debug for SplitSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl AsyncUdpSocket for SplitSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.0).create_io_poller()
    }

    /// A batch that is blocked half-way is sent whole again: QUIC drops what
    /// came twice, and losing the rest would be taken for congestion.
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Some(size) = transmit.segment_size else {
            return self.0.try_send(transmit);
        };
        if transmit.contents.len() <= LARGEST {
            return self.0.try_send(transmit);
        }
        let piece = (LARGEST / size).max(1) * size;
        for contents in transmit.contents.chunks(piece) {
            self.0.try_send(&Transmit {
                destination: transmit.destination,
                ecn: transmit.ecn,
                contents,
                segment_size: (contents.len() > size).then_some(size),
                src_ip: transmit.src_ip,
            })?;
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.0.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.0.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.0.may_fragment()
    }
}
