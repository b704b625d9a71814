//! What a subnetwork has open, in numbers.
//!
//! Owns the count. Never lists the sockets: [`Host::sockets`](crate::Host::sockets) does.

use std::sync::Weak;

use crate::context::sync::lock;
use crate::{SocketState, SubNetwork};

/// What a subnetwork has open now ([`SubNetwork::open`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Open {
    /// Hosts.
    pub hosts: usize,
    /// Listeners.
    pub listeners: usize,
    /// Dials that are under way, and those that are being accepted.
    pub pending: usize,
    /// Ends of connections: two, where both are here.
    pub connections: usize,
}

impl SubNetwork {
    /// What is open now, in numbers. Costs as much as there is open.
    ///
    /// ```
    /// # use virtnet_core::pipe::PipeNetwork;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let subnet = PipeNetwork::new("pipet")?.subnetwork();
    /// let host = subnet.new_host("α").await?;
    /// let listener = host.listen("")?;
    /// let (dialed, accepted) = tokio::try_join!(host.dial("α:1"), listener.accept())?;
    /// let open = subnet.open();
    /// assert_eq!((open.hosts, open.listeners, open.connections, open.pending), (1, 1, 2, 0));
    /// # drop((dialed, accepted));
    /// # assert_eq!(subnet.open().connections, 0);
    /// # Ok(()) }
    /// ```
    pub fn open(&self) -> Open {
        let (hosts, open) = {
            let names = lock(&self.shared.hosts);
            let hosts = names.by_name.values().map(|name| name.host.clone());
            (hosts.collect::<Vec<_>>(), names.open)
        };
        let mut count = Open {
            hosts: open,
            ..Open::default()
        };
        for host in hosts.iter().filter_map(Weak::upgrade) {
            for socket in host.list() {
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
