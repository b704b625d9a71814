//! A host's UDP socket, with the faults of the network's plan.
//!
//! Owns the calls of the socket below, and the task that sends what waits. Never decides about
//! a datagram.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, UdpPoller};
use tokio::time::Instant;

use crate::udp::faults::host::{HostFaults, Step};
use crate::udp::faults::queue::Datagram;

/// How many datagrams the task sends before it lets others run.
const AT_ONCE: usize = 32;

/// A UDP socket through which a host sends and receives. Without rules it costs one load for each call.
pub(crate) struct FaultySocket {
    socket: Arc<dyn AsyncUdpSocket>,
    faults: Arc<HostFaults>,
    /// Runs the task that sends.
    runtime: Arc<dyn Runtime>,
    has_task: Arc<AtomicBool>,
}

impl FaultySocket {
    pub(crate) fn new(
        socket: Arc<dyn AsyncUdpSocket>,
        faults: Arc<HostFaults>,
        runtime: Arc<dyn Runtime>,
    ) -> FaultySocket {
        FaultySocket {
            socket,
            faults,
            runtime,
            has_task: Arc::default(),
        }
    }

    /// Starts the task that sends, where there is none: few hosts ever need it.
    fn start_task(&self) {
        if !self.has_task.swap(true, SeqCst) {
            let sender = Sender {
                socket: Arc::clone(&self.socket),
                faults: Arc::clone(&self.faults),
                is_alive: Arc::clone(&self.has_task),
            };
            self.runtime.spawn(Box::pin(sender.run()));
        }
    }
}

impl Drop for FaultySocket {
    fn drop(&mut self) {
        self.faults.end();
    }
}

impl AsyncUdpSocket for FaultySocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if !self.faults.is_active() {
            return self.socket.try_send(transmit);
        }
        if self.faults.is_silent() {
            return Ok(());
        }
        let now = Instant::now();
        let Some(at_once) = self.faults.decide(transmit, now) else {
            return self.socket.try_send(transmit);
        };
        self.start_task();
        for (sent, datagram) in at_once.iter().enumerate() {
            let one = Transmit {
                contents: datagram,
                segment_size: None,
                ..*transmit
            };
            match self.socket.try_send(&one) {
                Ok(()) => {}
                // The decisions are made, and must not be made again.
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                    self.faults.wait(transmit, &at_once[sent..], now);
                    break;
                }
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if !self.faults.is_active() {
            return self.socket.poll_recv(cx, bufs, meta);
        }
        if self.faults.is_silent() {
            loop {
                ready!(self.socket.poll_recv(cx, bufs, meta))?;
            }
        }
        if let (Some(buf), Some(meta)) = (bufs.first_mut(), meta.first_mut())
            && self.faults.read_arrived(cx, buf, meta)
        {
            return Poll::Ready(Ok(1));
        }
        let received = ready!(self.socket.poll_recv(cx, bufs, meta))?;
        let (bufs, meta) = (&bufs[..received], &mut meta[..received]);
        if self.faults.drop_cut(bufs, meta, Instant::now()) {
            self.start_task();
        }
        Poll::Ready(Ok(received))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

impl fmt::Debug for FaultySocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

/// Sends what waits, when its time comes. When the endpoint ends, the rest is sent at once: datagrams that
/// are on their way arrive, also from a host that is gone.
struct Sender {
    socket: Arc<dyn AsyncUdpSocket>,
    faults: Arc<HostFaults>,
    is_alive: Arc<AtomicBool>,
}

impl Sender {
    async fn run(self) {
        let mut poller = Arc::clone(&self.socket).create_io_poller();
        let mut sent = 0;
        loop {
            match self.faults.next_step(Instant::now()) {
                Step::End => {
                    for datagram in self.faults.take_waiting() {
                        self.send(&mut poller, &datagram).await;
                    }
                    return;
                }
                Step::Send(datagram) => {
                    self.send(&mut poller, &datagram).await;
                    sent += 1;
                    if sent % AT_ONCE == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                Step::Idle => {
                    self.is_alive.store(false, SeqCst);
                    // Unless there is something to do again, and nobody has started another task.
                    if self.faults.is_idle() || self.is_alive.swap(true, SeqCst) {
                        return;
                    }
                }
                Step::Wait(None) => self.faults.woken().await,
                Step::Wait(Some(until)) => tokio::select! {
                    () = self.faults.woken() => {}
                    () = tokio::time::sleep_until(until) => {}
                },
            }
        }
    }

    async fn send(&self, poller: &mut Pin<Box<dyn UdpPoller>>, datagram: &Datagram) {
        if self.faults.is_silent() {
            return;
        }
        while let Err(err) = self.socket.try_send(&datagram.transmit()) {
            let writable = std::future::poll_fn(|cx| poller.as_mut().poll_writable(cx));
            if err.kind() != io::ErrorKind::WouldBlock || writable.await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // Where the task is cancelled.
        for datagram in self.faults.take_waiting() {
            // What does not fit into the socket's buffer is lost.
            let _ = self.socket.try_send(&datagram.transmit());
        }
    }
}
