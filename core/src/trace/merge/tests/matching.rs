//! Which accept took which dial, where addresses repeat.
//!
//! Owns records of dials that were given up, of hosts that were made again, and of processes that were
//! killed. Never opens a network.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Host, addr, end, lines};
use crate::Cause;
use crate::trace::{EventKind, Trace};

impl Host {
    fn failed(self, src: &str, dst: &str) -> Host {
        self.with(EventKind::DialFailed {
            src: addr(src),
            dst: addr(dst),
            cause: Cause::ConnectionRefused,
        })
    }

    fn closed_after(
        self,
        (local, arrow, peer): (&str, &str, &str),
        nth: u64,
        bytes: [u64; 2],
    ) -> Host {
        self.with(EventKind::Closed {
            end: end(local, arrow, peer, nth),
            sent: bytes[0],
            received: bytes[1],
        })
    }

    /// β:1 dials α:1 and is connected to α:2, sends some bytes, and closes.
    fn connects(self, nth: u64, sent: u64) -> Host {
        self.dialing("β:1", "α:1")
            .connected("β:1", "α:2", nth, "α:1")
            .closed_after(("β:1", "->", "α:2"), nth, [sent, 0])
    }

    /// α:2 accepts β:1, and reads all of some bytes.
    fn reads(self, nth: u64, bytes: u64) -> Host {
        self.accepted("α:2", "β:1", nth, "α:1")
            .with(EventKind::EndReceived {
                end: end("α:2", "<-", "β:1", nth),
                bytes,
            })
            .closed_after(("α:2", "<-", "β:1"), nth, [0, bytes])
    }

    fn read_end_after(self, (local, peer): (&str, &str), nth: u64, bytes: u64) -> Host {
        self.with(EventKind::EndReceived {
            end: end(local, "<-", peer, nth),
            bytes,
        })
    }

    /// α:2 accepts β:1, and is cut after some bytes.
    fn cut_after(self, nth: u64, bytes: u64) -> Host {
        self.accepted("α:2", "β:1", nth, "α:1")
            .closed_after(("α:2", "<-", "β:1"), nth, [0, bytes])
    }

    fn gives_up(self) -> Host {
        self.dialing("β:1", "α:1").given_up("β:1", "α:1")
    }

    fn of_process(mut self, process: &str, hours: u64) -> Host {
        self.record.process = process.into();
        for event in &mut self.record.events {
            event.wall += std::time::Duration::from_secs(hours * 3600);
        }
        self
    }
}

fn alpha() -> Host {
    Host::new("α")
}

fn beta() -> Host {
    Host::new("β")
}

/// For each *accepted* and *connected*, and for each end that was read: which dial, accept or close (from 0)
/// led to it.
struct Causes {
    accepts: Vec<Option<usize>>,
    connected: Vec<Option<usize>>,
    ends: Vec<Option<usize>>,
}

fn causes(hosts: impl IntoIterator<Item = Host>) -> Causes {
    let trace = Trace::merge(hosts.into_iter().map(|host| host.record)).unwrap();
    let all = |is: fn(&EventKind) -> bool| -> Vec<usize> {
        let events = trace.events().iter().enumerate();
        let events = events.filter(|(_, traced)| is(&traced.event.kind));
        events.map(|(index, _)| index).collect()
    };
    let dials = all(|kind| matches!(kind, EventKind::Dialing { .. }));
    let accepts = all(|kind| matches!(kind, EventKind::Accepted { .. }));
    let connected = all(|kind| matches!(kind, EventKind::Connected { .. }));
    let ends = all(|kind| matches!(kind, EventKind::EndReceived { .. }));
    let closes = all(|kind| matches!(kind, EventKind::Closed { end, .. } if end.dialed));
    let led_to = |effects: &[usize], causes: &[usize]| -> Vec<Option<usize>> {
        let cause = |effect: &usize| {
            let cause = trace.events()[*effect].cause?;
            let place = causes.iter().position(|index| *index == cause);
            Some(place.unwrap_or_else(|| panic!("{:#?}", lines(&trace))))
        };
        effects.iter().map(cause).collect()
    };
    Causes {
        accepts: led_to(&accepts, &dials),
        connected: led_to(&connected, &accepts),
        ends: led_to(&ends, &closes),
    }
}

/// The first dial was given up; the second was accepted, and its bytes were read; the third was accepted and
/// cut before it was told. By the ports alone, the first accept could have taken the first dial.
#[test]
fn bytes_tell_which_accept_took_a_dial() {
    let dialer = beta().gives_up().connects(1, 5);
    let dialer = dialer.dialing("β:1", "α:1").failed("β:1", "α:1");
    let found = causes([dialer, alpha().cut_after(1, 5).cut_after(2, 0)]);
    assert_eq!(found.accepts, [Some(1), Some(2)]);
    assert_eq!(found.connected, [Some(0)]);
}

/// Two answers are possible: an accept comes after the earliest dial that it may have taken, *connected* after
/// the earliest accept, and of the end nothing is said.
#[test]
fn where_it_is_open_only_what_is_sure_is_said() {
    let dialer = beta().gives_up().connects(1, 0);
    let dialer = dialer.dialing("β:1", "α:1").failed("β:1", "α:1");
    let found = causes([dialer, alpha().cut_after(1, 0).cut_after(2, 0)]);
    assert_eq!(found.accepts, [Some(0), Some(1)]);
    assert_eq!(found.connected, [Some(0)]);
    assert_eq!(found.ends, []);
}

/// A host that is made again in another process has the same ports, and counts from 1.
#[test]
fn a_host_that_is_made_again_dials_from_the_same_port() {
    let acceptor = || alpha().reads(1, 3).reads(2, 4);
    for names in [["a", "b"], ["b", "a"]] {
        let first = beta().connects(1, 3).of_process(names[0], 1);
        let second = beta().connects(1, 4).of_process(names[1], 2);
        let found = causes([second, acceptor(), first]);
        assert_eq!(found.accepts, [Some(0), Some(1)]);
        assert_eq!(found.connected, [Some(0), Some(1)]);
        assert_eq!(found.ends, [Some(0), Some(1)]);
    }
}

/// The record of a process that was killed ends early: the last accept has no dial.
#[test]
fn the_end_of_a_record_may_be_missing() {
    let found = causes([beta().connects(1, 3), alpha().reads(1, 3).cut_after(2, 9)]);
    assert_eq!(found.accepts, [Some(0), None]);
    assert_eq!(found.connected, [Some(0)]);
    assert_eq!(found.ends, [Some(0)]);
    // And here the last dials have no accepts.
    let found = causes([beta().connects(1, 3).connects(2, 4), alpha().reads(1, 3)]);
    assert_eq!(found.accepts, [Some(0)]);
    assert_eq!(found.connected, [Some(0), None]);
}

/// The beginning of a record is missing: nothing is said of this port.
#[test]
fn the_beginning_of_a_record_may_be_missing() {
    let found = causes([beta().connects(2, 4), alpha().reads(1, 3).reads(2, 4)]);
    assert_eq!(found.accepts, [None, None]);
    assert_eq!(found.connected, [None]);
    assert_eq!(found.ends, [None, None]);
}

proptest! {
    /// Of each dial: whether it was taken, at which port, whether its dialer was told, and how many bytes it sent.
    ///
    /// Whatever dials and accepts there were, no cause is wrong: it is the true one, or an earlier one of
    /// its host; and an end's is the true one.
    #[test]
    fn no_cause_is_wrong(dials in vec((any::<bool>(), 2..4_u16, any::<bool>(), 0..2_u64), 0..12)) {
        let (mut dialer, mut acceptor) = (beta(), alpha());
        let (mut took, mut told, mut nth) = (Vec::new(), Vec::new(), 0);
        for (place, (taken, port, is_told, bytes)) in dials.iter().copied().enumerate() {
            dialer = dialer.dialing("β:1", "α:1");
            let (local, peer) = (format!("α:{port}"), "β:1");
            if taken {
                nth += 1;
                acceptor = acceptor.accepted(&local, peer, nth, "α:1");
                took.push(place);
            }
            match taken && is_told {
                true => {
                    told.push(took.len() - 1);
                    let place = place as u64;
                    dialer = dialer.connected(peer, &local, place, "α:1");
                    dialer = dialer.closed_after((peer, "->", &local), place, [bytes, 0]);
                    acceptor = acceptor.read_end_after((&local, peer), nth, bytes);
                }
                false => dialer = dialer.given_up(peer, "α:1"),
            }
            if taken {
                acceptor = acceptor.closed_after((&local, "<-", peer), nth, [0, 0]);
            }
        }
        let found = causes([dialer, acceptor]);
        for (found, true_one) in found.accepts.iter().zip(&took) {
            prop_assert!(found.is_some_and(|found| found <= *true_one), "{dials:?}");
        }
        for (found, true_one) in found.connected.iter().zip(&told) {
            prop_assert!(found.is_some_and(|found| found <= *true_one), "{dials:?}");
        }
        for (true_one, found) in found.ends.iter().enumerate() {
            prop_assert!(found.is_none_or(|found| found == true_one), "{dials:?}");
        }
    }
}
