//! A host's port table: which ports are taken, by what, and which is the lowest free one.
//!
//! Owns plain data: no lock, no task, no waiting. Never decides whether a socket gets a
//! port, only which one.

use std::collections::{BTreeMap, HashMap};

/// The lowest port that is ever allocated; port 0 asks for autobind.
const FIRST: u16 = 1;

/// Ports taken by values of `T`.
///
/// The free ports are kept as ranges in order. So taking the lowest and giving one back
/// cost the logarithm of the number of *gaps*, however many ports are taken.
pub(crate) struct Ports<T> {
    taken: HashMap<u16, T>,
    /// First to last port of every maximal range of free ports.
    free: BTreeMap<u16, u16>,
}

impl<T> Default for Ports<T> {
    fn default() -> Self {
        Ports {
            taken: HashMap::new(),
            free: BTreeMap::from([(FIRST, u16::MAX)]),
        }
    }
}

impl<T> Ports<T> {
    /// The lowest free port, unless all are taken.
    pub(crate) fn lowest(&self) -> Option<u16> {
        self.free.keys().next().copied()
    }

    /// Takes the lowest free port for `holder`.
    pub(crate) fn take_lowest(&mut self, holder: T) -> Option<u16> {
        let port = self.lowest()?;
        self.take(port, holder).then_some(port)
    }

    /// Takes `port` for `holder`, if it is free.
    pub(crate) fn take(&mut self, port: u16, holder: T) -> bool {
        let Some((&first, &last)) = self.free.range(..=port).next_back() else {
            return false;
        };
        if last < port {
            return false;
        }
        self.free.remove(&first);
        if first < port {
            self.free.insert(first, port - 1);
        }
        if port < last {
            self.free.insert(port + 1, last);
        }
        self.taken.insert(port, holder);
        true
    }

    /// The holder of `port`, to read or replace.
    pub(crate) fn get_mut(&mut self, port: u16) -> Option<&mut T> {
        self.taken.get_mut(&port)
    }

    /// Frees `port`, if it is taken.
    pub(crate) fn free(&mut self, port: u16) -> Option<T> {
        let holder = self.taken.remove(&port)?;
        let (mut first, mut last) = (port, port);
        if let Some((&below, &end)) = self.free.range(..port).next_back()
            && end == port - 1
        {
            first = below;
        }
        if let Some(end) = port.checked_add(1).and_then(|next| self.free.remove(&next)) {
            last = end;
        }
        self.free.insert(first, last);
        Some(holder)
    }

    /// Frees every port whose holder `keep` does not keep.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let go: Vec<u16> = self
            .iter()
            .filter(|(_, t)| !keep(t))
            .map(|(p, _)| p)
            .collect();
        for port in go {
            self.free(port);
        }
    }

    /// The taken ports and their holders, in any order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, &T)> {
        self.taken.iter().map(|(&port, holder)| (port, holder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowest_first_and_never_zero() {
        let mut ports = Ports::default();
        assert!(!ports.take(0, 'x'), "port 0 is never allocated");
        assert_eq!(ports.take_lowest('a'), Some(1));
        assert!(ports.take(3, 'c'));
        assert!(!ports.take(3, 'd'));
        assert_eq!(ports.take_lowest('b'), Some(2));
        assert_eq!(ports.take_lowest('d'), Some(4));
        assert_eq!(ports.free(2), Some('b'));
        assert_eq!(ports.free(2), None);
        assert_eq!(ports.take_lowest('e'), Some(2));
        assert_eq!(ports.get_mut(2), Some(&mut 'e'));
    }

    #[test]
    fn all_ports_can_be_taken_and_given_back() {
        let mut ports = Ports::default();
        for expected in 1..=u16::MAX {
            assert_eq!(ports.take_lowest(()), Some(expected));
        }
        assert_eq!(ports.take_lowest(()), None);
        for port in [1, u16::MAX, 500, 499, 501] {
            assert!(ports.free(port).is_some());
        }
        assert_eq!(ports.free.len(), 3, "neighbours are one range");
        for expected in [1, 499, 500, 501, u16::MAX] {
            assert_eq!(ports.take_lowest(()), Some(expected));
        }
        ports.retain(|()| false);
        assert_eq!(ports.free, BTreeMap::from([(1, u16::MAX)]));
    }

    /// Against the obvious, slow table: a few thousand steps of a fixed walk.
    #[test]
    fn agrees_with_a_plain_array() {
        let mut ports = Ports::default();
        let mut plain = [false; 65];
        let mut walk = 7_u32;
        for _ in 0..20_000 {
            walk = walk.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let port = (walk >> 16) as usize % 64 + 1;
            match walk >> 30 {
                0 => {
                    let lowest = (1..=64).find(|&p| !plain[p]);
                    assert_eq!(ports.lowest(), lowest.map(|p| p as u16).or(Some(65)));
                    if let Some(lowest) = lowest {
                        assert_eq!(ports.take_lowest(()), Some(lowest as u16));
                        plain[lowest] = true;
                    }
                }
                1 => assert_eq!(
                    ports.take(port as u16, ()),
                    !std::mem::replace(&mut plain[port], true)
                ),
                _ => assert_eq!(
                    ports.free(port as u16).is_some(),
                    std::mem::take(&mut plain[port])
                ),
            }
            let mut taken: Vec<_> = ports.iter().map(|(port, ())| port as usize).collect();
            taken.sort_unstable();
            assert!(taken.into_iter().eq((1..=64).filter(|&p| plain[p])));
        }
    }
}
