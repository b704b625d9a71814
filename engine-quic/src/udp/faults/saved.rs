//! The last datagrams that a cut dropped, for when it ends.
//!
//! Owns how many are kept. Never decides when the cut has ended.
//!
//! QUIC sends into a cut more and more seldom: after five seconds, it would be silent for further seconds
//! after the end of the cut. So the last datagrams of each QUIC connection are sent again
//! then. As they arrive, they are acknowledged; the acknowledgement ends the back-off, and QUIC sends
//! everything before them again at once. The peer drops those that it has got (RFC 9000, section 12.3).

use std::collections::VecDeque;

use crate::udp::faults::queue::Datagram;

/// How many datagrams of a connection are kept. An acknowledgement shows at once that all are lost except for
/// the two before it (RFC 9002, section 6.1.1), so those are needed, too. And the last ones may be bare
/// acknowledgements, which are not acknowledged.
const PER_CONNECTION: usize = 16;

/// How many connections to one address: one that each side dialed, and attempts.
const CONNECTIONS: usize = 4;

/// How many bytes are kept for all peers of a host together. Connections that do not fit recover at QUIC's own
/// pace.
pub(crate) const MAX_SAVED: usize = 8 << 20;

/// The last datagrams of one direction, between a host and one peer's address.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    /// By connection id; the one used last is at the end.
    connections: Vec<(u64, VecDeque<Datagram>)>,
}

impl Saved {
    /// Keeps a datagram. `used` is the size of all that the host keeps.
    pub(crate) fn keep(&mut self, datagram: Datagram, used: &mut usize) {
        let id = connection_id(&datagram.contents);
        let known = self
            .connections
            .iter()
            .position(|(known, _)| *known == id)
            .or((self.connections.len() == CONNECTIONS).then_some(0));
        let (known, mut last) =
            known.map_or_else(Default::default, |at| self.connections.remove(at));
        if known != id {
            forget(&mut last, 0, used);
        }
        last.push_back(datagram);
        *used += last.back().map_or(0, Datagram::size);
        forget(&mut last, PER_CONNECTION, used);
        for most in [3, 0] {
            if *used > MAX_SAVED {
                forget(&mut last, most, used);
            }
        }
        if !last.is_empty() {
            self.connections.push((id, last));
        }
    }

    /// Takes all: those of one connection in order.
    pub(crate) fn take(&mut self, used: &mut usize) -> Vec<Datagram> {
        let connections = std::mem::take(&mut self.connections).into_iter();
        let all: Vec<_> = connections.flat_map(|(_, last)| last).collect();
        *used -= all.iter().map(Datagram::size).sum::<usize>();
        all
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }
}

/// Forgets all but the newest `most`.
fn forget(last: &mut VecDeque<Datagram>, most: usize, used: &mut usize) {
    while last.len() > most {
        *used -= last.pop_front().map_or(0, |datagram| datagram.size());
    }
}

/// The first bytes of the destination's connection id (RFC 8999, section 5), which tells connections
/// apart. Those of virtnet's engine have eight bytes; of shorter ones, fewer datagrams are kept.
fn connection_id(datagram: &[u8]) -> u64 {
    let is_long = datagram.first().is_some_and(|first| first & 0x80 != 0);
    let (start, length) = match is_long {
        true => (6, datagram.get(5).map_or(0, |length| usize::from(*length))),
        false => (1, 8),
    };
    let rest = datagram.get(start..).unwrap_or_default();
    let id = &rest[..length.min(8).min(rest.len())];
    id.iter().fold(0, |id, byte| id << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a short header.
    fn datagram(id: u8, nth: u8, length: usize) -> Datagram {
        let mut contents = vec![nth; length];
        contents[0] = 0x40;
        contents[1..9].fill(id);
        Datagram {
            contents: contents.into(),
            peer: ([127, 0, 0, 1], 9).into(),
            ecn: None,
            local_ip: None,
        }
    }

    fn kept(saved: &mut Saved, used: &mut usize) -> Vec<(u8, u8)> {
        let all = saved.take(used).into_iter();
        all.map(|datagram| (datagram.contents[1], datagram.contents[9]))
            .collect()
    }

    #[test]
    fn the_last_of_each_connection_are_kept() {
        let (mut saved, mut used) = (Saved::default(), 0);
        for nth in 0..20 {
            saved.keep(datagram(1, nth, 100), &mut used);
        }
        saved.keep(datagram(2, 0, 100), &mut used);
        let all = kept(&mut saved, &mut used);
        let expected = (4..20).map(|nth| (1, nth)).chain([(2, 0)]);
        assert_eq!(all, expected.collect::<Vec<_>>());
        assert!(used == 0 && saved.is_empty());
        // The one that was used longest ago goes.
        for id in [1, 2, 3, 4, 1, 5] {
            saved.keep(datagram(id, 0, 100), &mut used);
        }
        let all = kept(&mut saved, &mut used);
        assert_eq!(all, [(3, 0), (4, 0), (1, 0), (1, 0), (5, 0)]);
        assert_eq!(used, 0);
    }

    #[test]
    fn a_host_keeps_a_bounded_size() {
        let mut used = 0;
        let mut peers: Vec<Saved> = (0..200).map(|_| Saved::default()).collect();
        for nth in 0..1_000 {
            peers[nth % 200].keep(datagram(1, nth as u8, 60_000), &mut used);
            assert!(used <= MAX_SAVED, "{used}");
        }
        assert!(used > MAX_SAVED / 2);
        peers
            .iter_mut()
            .for_each(|saved| drop(saved.take(&mut used)));
        assert_eq!(used, 0);
    }

    #[test]
    fn connections_are_told_apart_by_their_ids() {
        let long = |length: u8, id: &[u8]| {
            let bytes = [&[0xc0, 0, 0, 0, 1, length], id, &[9; 20]].concat();
            connection_id(&bytes)
        };
        assert_eq!(long(2, &[1, 2]), 0x102);
        assert_eq!(long(8, &[1; 8]), long(20, &[1; 20]));
        assert_eq!(connection_id(&[0x40, 0, 0, 0, 0, 0, 0, 1, 2, 3]), 0x102);
        for cut in [&[][..], &[0xff], &[0xc0, 0, 0, 0, 1, 8], &[0x40, 1]] {
            connection_id(cut);
        }
    }
}
