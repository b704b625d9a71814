//! Datagrams that wait until they are sent.
//!
//! Owns their order, and the limit of their size. Never sends one.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use quinn::udp::{EcnCodepoint, Transmit};
use tokio::time::Instant;

/// How many bytes wait at most for one host, contents and their overhead.
pub(crate) const MAX_QUEUED: usize = 64 << 20;

/// What a datagram costs besides its contents, in bytes, about.
const OVERHEAD: usize = 128;

/// A copy of a datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Datagram {
    pub(crate) contents: Box<[u8]>,
    /// Where it goes, or came from.
    pub(crate) peer: SocketAddr,
    pub(crate) ecn: Option<EcnCodepoint>,
    /// This side's address.
    pub(crate) local_ip: Option<IpAddr>,
}

impl Datagram {
    /// One of the datagrams of `transmit`.
    pub(crate) fn of(transmit: &Transmit<'_>, contents: &[u8]) -> Datagram {
        Datagram {
            contents: contents.into(),
            peer: transmit.destination,
            ecn: transmit.ecn,
            local_ip: transmit.src_ip,
        }
    }

    pub(crate) fn transmit(&self) -> Transmit<'_> {
        Transmit {
            destination: self.peer,
            ecn: self.ecn,
            contents: &self.contents,
            segment_size: None,
            src_ip: self.local_ip,
        }
    }

    /// The bytes that it uses.
    pub(crate) fn size(&self) -> usize {
        self.contents.len() + OVERHEAD
    }
}

/// Datagrams in the order of their times; those of the same time in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: BTreeMap<(Instant, u64), Datagram>,
    came: u64,
    size: usize,
}

impl Queue {
    /// Adds a datagram; `false` if it did not fit, and is lost.
    pub(crate) fn push(&mut self, at: Instant, datagram: Datagram) -> bool {
        let size = self.size + datagram.size();
        if size > MAX_QUEUED {
            return false;
        }
        self.size = size;
        self.waiting.insert((at, self.came), datagram);
        self.came += 1;
        true
    }

    /// The first datagram whose time has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Datagram> {
        let first = self.waiting.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let datagram = first.remove();
        self.size -= datagram.size();
        Some(datagram)
    }

    /// When the first is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.waiting.keys().next().map(|(at, _)| *at)
    }

    /// Whether one to `peer` is due and not sent yet: others must not overtake it.
    pub(crate) fn is_due_to(&self, peer: SocketAddr, now: Instant) -> bool {
        let due = self.waiting.range(..=(now, u64::MAX));
        due.into_iter().any(|(_, datagram)| datagram.peer == peer)
    }

    /// Those to peers of which it is true are due now, in the order in which they came.
    pub(crate) fn release(&mut self, now: Instant, released: impl Fn(SocketAddr) -> bool) {
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        self.waiting = waiting
            .map(|((at, nth), datagram)| match released(datagram.peer) {
                true => ((at.min(now), nth), datagram),
                false => ((at, nth), datagram),
            })
            .collect();
    }

    /// Where those that wait go.
    pub(crate) fn destinations(&self) -> HashSet<SocketAddr> {
        self.waiting
            .values()
            .map(|datagram| datagram.peer)
            .collect()
    }

    /// All, in order.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Datagram> + use<> {
        self.size = 0;
        std::mem::take(&mut self.waiting).into_values()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn datagram(port: u16, length: usize) -> Datagram {
        Datagram {
            contents: vec![0; length].into(),
            peer: ([127, 0, 0, 1], port).into(),
            ecn: None,
            local_ip: None,
        }
    }

    fn ports(queue: &mut Queue, now: Instant) -> Vec<u16> {
        let popped = std::iter::from_fn(|| queue.pop_due(now));
        popped.map(|datagram| datagram.peer.port()).collect()
    }

    #[test]
    fn they_come_in_the_order_of_their_times() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let at = |ms| now + Duration::from_millis(ms);
        for (ms, port) in [(20, 1), (10, 2), (10, 3), (0, 4)] {
            assert!(queue.push(at(ms), datagram(port, 10)));
        }
        assert_eq!(queue.due(), Some(now));
        let to = |port| ([127, 0, 0, 1], port).into();
        assert!(queue.is_due_to(to(4), now) && !queue.is_due_to(to(2), now));
        assert_eq!(ports(&mut queue, at(10)), [4, 2, 3]);
        assert_eq!(queue.due(), Some(at(20)));
        // Released, it is due now.
        queue.release(now, |peer| peer.port() == 1);
        assert_eq!(ports(&mut queue, now), [1]);
        assert!(queue.is_empty() && queue.size == 0);
    }

    #[test]
    fn it_is_limited() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let fit = MAX_QUEUED / datagram(1, 60_000).size();
        let pushed = (0..fit + 5).filter(|_| queue.push(now, datagram(1, 60_000)));
        assert_eq!(pushed.count(), fit);
        assert_eq!(queue.take().count(), fit);
        assert!(queue.push(now, datagram(1, 60_000)));
    }
}
