//! Tuning: sizes that trade memory for speed.
//!
//! Owns the defaults, and the check of each value. Never applies them.

use virtnet_core::Failure;

use crate::udp::batch::MAX_DATAGRAM;
use crate::udp::mtu::MIN_DATAGRAM;

/// Sizes that trade memory for speed. The defaults suit loopback, containers on one
/// machine, clouds with and without jumbo frames, and the internet.
///
/// ```
/// use virtnet_engine_quic::{Identity, QuicConfig, Secret, Tuning};
///
/// let mut tuning = Tuning::default();
/// // A thousand slow readers may use 64 MB, not 2 GB.
/// tuning.stream_window = 64 << 10;
/// let config = QuicConfig::new(Identity::secret(Secret::random())).tuning(tuning);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tuning {
    /// The largest UDP payload to try on any path, in bytes, from 1,200 to 65,507;
    /// default 8,972, which fills a jumbo frame.
    ///
    /// The largest size that a path supports is found by a search (RFC 8899), at most up
    /// to the MTU that the kernel reports for the route. The search repeats every
    /// 10 minutes, and restarts at 1,200 when large datagrams stop arriving.
    ///
    /// On one machine, 32,000 transfers bulk data 1.4 times as fast. It is not the
    /// default: with more than about 12,000 the probes fill the initial congestion
    /// window, so the first dial to a peer takes one more round trip and a millisecond
    /// of work.
    pub largest_datagram: u16,
    /// How many bytes of one connection may be unread, from 1,200 to 4,294,967,295;
    /// default 2 MiB. Beyond it the writer waits; other connections do not. Each
    /// connection may use that much memory, and transfers at most that much in one round
    /// trip; all connections from one host to another transfer at most the send window:
    /// 20 MB/s at 100 ms. For more, raise both.
    pub stream_window: u32,
    /// How many bytes to one peer may be sent and not yet acknowledged, at least 1,200;
    /// default 2 MiB. All connections from one host to another share it. Raise it where
    /// bandwidth times round-trip time is larger.
    pub send_window: u64,
    /// The size of the kernel's buffer for each direction of a host's UDP socket, in
    /// bytes, from 1,200 to 2,147,483,647; default 4 MiB. The kernel may grant less
    /// ([`Counters::socket_buffers`](crate::Counters::socket_buffers)): with the usual
    /// 208 KiB, bursts lose datagrams, and handshakes take up to a second.
    pub socket_buffer: usize,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            // What a jumbo frame of 9,000 bytes carries, without the headers of IPv4
            // and UDP.
            largest_datagram: 9000 - 20 - 8,
            // More costs memory, and makes many connections share less fairly.
            stream_window: 2 << 20,
            // More is slower on short paths.
            send_window: 2 << 20,
            socket_buffer: 4 << 20,
        }
    }
}

impl Tuning {
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let least = u64::from(MIN_DATAGRAM);
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
            return Err(Failure::other(problem));
        }
        Ok(())
    }
}
