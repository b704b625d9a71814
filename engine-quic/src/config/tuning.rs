//! Tuning: sizes that trade memory for speed.
//!
//! Owns the defaults and the validation. Never applies them.

use virtnet_core::{Cause, Failure};

use crate::udp::batch::MAX_DATAGRAM;
use crate::udp::mtu::SMALLEST;

/// Sizes that trade memory for speed. The defaults suit loopback, containers on one
/// machine, clouds with and without jumbo frames, and the internet.
///
/// ```
/// use virtnet_engine_quic::{Identity, QuicConfig, Secret, Tuning};
///
/// let mut tuning = Tuning::default();
/// // At most 64 MB, not 2 GB, for a thousand slow readers.
/// tuning.stream_window = 64 << 10;
/// let config = QuicConfig::new(Identity::secret(Secret::random())).tuning(tuning);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tuning {
    /// The largest UDP payload to try on any path, in bytes, from 1,200 to 65,507;
    /// default 8,972, which fills a jumbo frame.
    ///
    /// The engine searches for the largest payload that each path carries, up to this
    /// value and the MTU that the kernel reports for the route. It repeats the search
    /// every 10 minutes, and restarts at 1,200 when large datagrams stop arriving.
    ///
    /// On one machine, 32,000 transfers bulk data 1.4 times as fast. It is not the
    /// default because more than about 12,000 adds one round trip and a millisecond of
    /// work to the first dial to a peer: the probes fill the first congestion window.
    pub largest_datagram: u16,
    /// Unread data that one connection buffers, in bytes, from 1,200 to 4,294,967,295;
    /// default 2 MiB. When it is full, that connection's writer waits, and no other.
    /// Each connection may use this much memory.
    ///
    /// It also limits throughput: one connection transfers at most this much per round
    /// trip, and all connections from one host to another at most
    /// [`send_window`](Tuning::send_window) (with 2 MiB, 20 MB/s at 100 ms). Raise
    /// both for long paths.
    pub stream_window: u32,
    /// Sent but unacknowledged data for one peer, in bytes, at least 1,200; default
    /// 2 MiB. All connections from one host to another share it. Raise it where
    /// bandwidth times round-trip time is larger.
    pub send_window: u64,
    /// Buffer to request from the kernel for each direction of a host's UDP socket, in
    /// bytes, from 1,200 to 2,147,483,647; default 4 MiB. The kernel may grant less;
    /// [`Stats::socket_buffers`](crate::Stats::socket_buffers) reports how much. With
    /// the usual 208 KiB, bursts lose datagrams, and handshakes take up to a second.
    pub socket_buffer: usize,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            // A jumbo frame of 9,000 bytes without the IPv4 and UDP headers.
            largest_datagram: 9000 - 20 - 8,
            // A larger one costs memory and makes many connections less fair.
            stream_window: 2 << 20,
            // A larger one is slower on short paths.
            send_window: 2 << 20,
            socket_buffer: 4 << 20,
        }
    }
}

impl Tuning {
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let least = u64::from(SMALLEST);
        for (name, value, most) in [
            (
                "largest datagram",
                self.largest_datagram.into(),
                MAX_DATAGRAM.into(),
            ),
            ("stream window", self.stream_window.into(), u64::MAX),
            ("send window", self.send_window, u64::MAX),
            ("socket buffer", self.socket_buffer as u64, i32::MAX as u64),
        ] {
            let bound = match value {
                value if value < least => format!("at least {least}"),
                value if value > most => format!("at most {most}"),
                _ => continue,
            };
            let problem = format!("{name} must be {bound} bytes, got {value}");
            return Err(Failure::wrap(Cause::Other, problem));
        }
        Ok(())
    }
}
