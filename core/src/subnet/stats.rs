//! Numbers of a subnetwork: open hosts and sockets, and counts since it was made.
//!
//! Owns [`Stats`] and the count of open sockets. Never lists the sockets:
//! [`Host::sockets`](crate::Host::sockets) does.

use crate::{Dials, FaultStats, Refused, SocketState, SubNetwork};

/// Numbers of a subnetwork, at one moment ([`SubNetwork::stats`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Hosts and sockets that are open now.
    pub open: Open,
    /// The outcomes of its hosts' dials since it was made. Dials under way are in
    /// [`Open::pending`].
    pub dials: Dials,
    /// The incoming dials that were refused since it was made.
    pub refused: Refused,
    /// What rules of faults did to its hosts' dials and connections since it was made.
    pub faults: FaultStats,
}

/// How many hosts and sockets of a subnetwork are open now ([`Stats::open`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Open {
    /// Hosts.
    pub hosts: usize,
    /// Listeners.
    pub listeners: usize,
    /// Dials that are under way, and those that are being accepted.
    pub pending: usize,
    /// Ends of connections: two for a connection whose ends are both on this subnetwork.
    pub connections: usize,
}

impl SubNetwork {
    /// Its numbers now. Costs time in proportion to the number of open sockets.
    ///
    /// ```
    /// # use virtnet_core::{Cause, pipe::PipeNetwork};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let subnet = PipeNetwork::new("pipet")?.subnetwork();
    /// let host = subnet.new_host("α").await?;
    /// host.dial("β:1").await.unwrap_err();
    /// let listener = host.listen("")?;
    /// let (dialed, accepted) = tokio::try_join!(host.dial("α:1"), listener.accept())?;
    ///
    /// let stats = subnet.stats();
    /// let open = stats.open;
    /// assert_eq!((open.hosts, open.listeners, open.connections, open.pending), (1, 1, 2, 0));
    /// assert_eq!(stats.dials.failed(Cause::NoSuchHost), 1);
    /// assert_eq!(stats.dials.connected, 1);
    /// assert_eq!(stats.refused.nothing_listened, 0);
    /// # drop((dialed, accepted));
    /// # assert_eq!(subnet.stats().open.connections, 0);
    /// # Ok(()) }
    /// ```
    pub fn stats(&self) -> Stats {
        Stats {
            open: self.open(),
            dials: self.directory.context.outcomes.snapshot(),
            refused: self.directory.context.refusals.snapshot(),
            faults: self.directory.context.rules.counts.snapshot(),
        }
    }

    fn open(&self) -> Open {
        let (open, hosts) = self.directory.hosts();
        let mut count = Open {
            hosts: open,
            ..Open::default()
        };
        for host in hosts {
            for socket in host.sockets() {
                match socket.state {
                    SocketState::Listening => count.listeners += 1,
                    SocketState::Dialing | SocketState::Accepting(_) => count.pending += 1,
                    SocketState::Connected(_) => count.connections += 1,
                }
            }
        }
        count
    }
}
