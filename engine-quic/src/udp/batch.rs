//! Sending large datagrams in batches that the kernel accepts.
//!
//! Owns the splitting of a batch of datagrams that is too large for one call. Never reads
//! a datagram, and never keeps a copy.
//!
//! quinn passes up to ten datagrams in one call, which the kernel splits (generic
//! segmentation offload). The kernel refuses a batch that is larger than one IP packet;
//! quinn ignores that error, regards the datagrams as lost, and concludes that the path
//! does not carry large datagrams. On a path with datagrams of more than 6,550 bytes, such
//! as loopback and links between containers, this would happen to every full batch.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// The largest UDP payload, in bytes: an IPv4 packet without the headers of IP and UDP.
/// Also the limit for the batch of one call.
pub(crate) const MAX_DATAGRAM: u16 = 65_535 - 20 - 8;

/// A UDP socket that accepts batches of any size.
pub(crate) struct BatchSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    /// How many bytes were sent of each batch that did not fit into the socket's buffer.
    partly_sent: Mutex<HashMap<BatchId, usize>>,
}

/// Identifies a batch when its sender tries again: address and length of its memory,
/// which the sender keeps until then, and the destination.
type BatchId = (usize, usize, SocketAddr);

/// How many batches are remembered. Others are sent again from the start; QUIC ignores
/// duplicates.
const MAX_PARTLY_SENT: usize = 1024;

impl BatchSocket {
    pub(crate) fn new(socket: Arc<dyn AsyncUdpSocket>) -> BatchSocket {
        BatchSocket {
            socket,
            partly_sent: Mutex::default(),
        }
    }

    /// Sends a batch in pieces, each of as many datagrams as fit into one call.
    fn send_pieces(&self, transmit: &Transmit<'_>, segment: usize) -> io::Result<()> {
        let piece = (usize::from(MAX_DATAGRAM) / segment).max(1) * segment;
        let contents = transmit.contents;
        let id = (
            contents.as_ptr() as usize,
            contents.len(),
            transmit.destination,
        );
        let mut sent = self.partly_sent.lock().remove(&id).unwrap_or(0);
        for piece in contents[sent..].chunks(piece) {
            let transmit = Transmit {
                contents: piece,
                segment_size: (piece.len() > segment).then_some(segment),
                ..*transmit
            };
            match self.socket.try_send(&transmit) {
                Ok(()) => sent += piece.len(),
                Err(err) => {
                    // The next try must continue here: with a small buffer, it would
                    // otherwise send the same pieces each time.
                    if err.kind() == io::ErrorKind::WouldBlock && sent > 0 {
                        let mut partly_sent = self.partly_sent.lock();
                        if partly_sent.len() < MAX_PARTLY_SENT {
                            partly_sent.insert(id, sent);
                        }
                    }
                    return Err(err);
                }
            }
        }
        Ok(())
    }
}

impl AsyncUdpSocket for BatchSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        match transmit.segment_size {
            Some(segment) if transmit.contents.len() > usize::from(MAX_DATAGRAM) => {
                self.send_pieces(transmit, segment)
            }
            _ => self.socket.try_send(transmit),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    /// Always one: the datagrams that the kernel coalesces are together never larger than
    /// the largest datagram, and quinn reserves memory for each segment.
    fn max_receive_segments(&self) -> usize {
        1
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

impl fmt::Debug for BatchSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that accepts a number of calls, and records them.
    #[derive(Debug, Default)]
    struct LimitedSocket {
        calls_left: Mutex<usize>,
        sent: Mutex<Vec<(Vec<u8>, Option<usize>)>>,
    }

    impl AsyncUdpSocket for LimitedSocket {
        fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
            unreachable!("nobody waits")
        }

        fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
            let mut left = self.calls_left.lock();
            *left = left.checked_sub(1).ok_or(io::ErrorKind::WouldBlock)?;
            let piece = (transmit.contents.to_vec(), transmit.segment_size);
            self.sent.lock().push(piece);
            Ok(())
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            _: &mut [IoSliceMut<'_>],
            _: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    fn batch(contents: &[u8], segment: usize) -> Transmit<'_> {
        Transmit {
            destination: ([127, 0, 0, 1], 9).into(),
            ecn: None,
            contents,
            segment_size: Some(segment),
            src_ip: None,
        }
    }

    fn contents(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn what_the_kernel_takes_goes_in_one() {
        let limited = Arc::new(LimitedSocket {
            calls_left: Mutex::new(9),
            ..LimitedSocket::default()
        });
        let socket = BatchSocket::new(limited.clone());
        let bytes = contents(10 * 1452);
        socket.try_send(&batch(&bytes, 1452)).unwrap();
        assert_eq!(*limited.sent.lock(), [(bytes, Some(1452))]);
    }

    #[test]
    fn pieces_are_of_whole_datagrams_and_go_on_where_they_were() {
        let max = usize::from(MAX_DATAGRAM);
        // A piece's datagrams; the last datagram may be a short one.
        for (segment, each) in [(max, 1), (max / 2, 2), (16_384, 3), (9000, 7)] {
            let limited = Arc::new(LimitedSocket::default());
            let socket = BatchSocket::new(limited.clone());
            let bytes = contents(9 * segment + 100);
            let batch = batch(&bytes, segment);
            let pieces = bytes.len().div_ceil(each * segment);
            for round in 0..pieces {
                *limited.calls_left.lock() = 1;
                let sent = socket.try_send(&batch);
                assert_eq!(sent.is_ok(), round == pieces - 1, "{sent:?}");
            }
            let sent = std::mem::take(&mut *limited.sent.lock());
            assert_eq!(sent.len(), pieces);
            for (piece, size) in &sent {
                assert!(piece.len() <= max, "{}", piece.len());
                assert_eq!(size.is_some(), piece.len() > segment);
            }
            let sent: Vec<u8> = sent.into_iter().flat_map(|(piece, _)| piece).collect();
            assert!(sent == bytes, "{segment}");
            // Nothing is remembered of a batch that was sent.
            assert!(socket.partly_sent.lock().is_empty());
        }
    }

    #[tokio::test]
    async fn the_kernel_takes_them() {
        use quinn::Runtime;
        let bind = || std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let (from, to) = (bind(), bind());
        let socket = quinn::TokioRuntime.wrap_udp_socket(from).unwrap();
        let socket = Arc::new(BatchSocket::new(socket));
        to.set_nonblocking(true).unwrap();
        let to = tokio::net::UdpSocket::from_std(to).unwrap();

        let segments = socket.max_transmit_segments();
        let bytes = contents(segments.min(5) * 16_384);
        let mut batch = batch(&bytes, 16_384);
        batch.destination = to.local_addr().unwrap();
        let mut poller = Arc::clone(&socket).create_io_poller();
        while let Err(err) = socket.try_send(&batch) {
            assert_eq!(err.kind(), io::ErrorKind::WouldBlock);
            let writable = std::future::poll_fn(|cx| poller.as_mut().poll_writable(cx));
            writable.await.unwrap();
        }
        let (mut got, mut datagram) = (Vec::new(), vec![0; 1 << 16]);
        while got.len() < bytes.len() {
            let count = to.recv(&mut datagram).await.unwrap();
            assert_eq!(count, 16_384);
            got.extend_from_slice(&datagram[..count]);
        }
        assert!(got == bytes);
    }
}
