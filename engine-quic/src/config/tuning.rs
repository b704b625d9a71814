//! Tuning: sizes that trade memory for speed.
//!
//! Owns the defaults, and the check of what is asked for. Never applies them.

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
/// // A thousand readers that lag behind are to take 64 MB, not 2 GB.
/// tuning.stream_window = 64 << 10;
/// let config = QuicConfig::new(Identity::secret(Secret::random())).tuning(tuning);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tuning {
    /// The largest UDP payload that is tried on any path, in bytes, from 1,200 to
    /// 65,507; default 8,972, which fills a jumbo frame.
    ///
    /// What a path takes is found out: the kernel's word for the route is the upper
    /// bound of a search, which repeats every 10 minutes, and begins anew at 1,200
    /// where large datagrams stop getting through.
    ///
    /// Within one machine 32,000 carries bulk data 1.4 times as fast. It is not the
    /// default: more than about 12,000 costs the first dial to a peer a round trip,
    /// as what is tried fills the first congestion window, and a millisecond of work.
    pub largest_datagram: u16,
    /// What a connection's reader may lag behind, in bytes, from 1,200 to
    /// 4,294,967,295; default 2 MiB. Past it the writer waits. Each connection may
    /// take so much memory; no other is held up. One connection carries at most
    /// this in a round trip, and all from one host to another the send window: 20 MB/s
    /// over 100 ms. Raise both.
    pub stream_window: u32,
    /// What is on its way to one peer, or waits to be sent again, in bytes, at least
    /// 1,200; default 2 MiB. All connections from one host to another share it.
    /// More pays where bandwidth times round trip is more.
    pub send_window: u64,
    /// What the kernel is asked for, for each direction of a host's UDP socket, in
    /// bytes, from 1,200 to 2,147,483,647; default 4 MiB. It may grant less, which
    /// [`Stats::socket_buffers`](crate::Stats::socket_buffers) tells: with the usual
    /// 208 KiB bursts of datagrams lose some, and handshakes take up to a second.
    pub socket_buffer: usize,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            // What a jumbo frame of 9,000 bytes carries, without the headers of IPv4
            // and UDP.
            largest_datagram: 9000 - 20 - 8,
            // More costs memory, and fairness among many connections.
            stream_window: 2 << 20,
            // More is slower on short paths.
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
