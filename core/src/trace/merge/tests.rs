//! Merging: the order of what happened on several hosts, from records in any order.
//!
//! Owns a small language for records. Never opens a network.

mod contradictions;
mod matching;

use std::sync::Arc;
use std::time::Duration;

use crate::trace::{End, Event, EventKind, Record, Trace};
use crate::{Addr, Cause};

/// One host's record, line by line.
struct Host {
    record: Record,
    name: &'static str,
}

fn addr(text: &str) -> Addr {
    Addr::parse("net", text).unwrap()
}

fn end(local: &str, arrow: &str, peer: &str, nth: u64) -> End {
    End {
        local: addr(local),
        peer: addr(peer),
        dialed: arrow == "->",
        nth,
    }
}

impl Host {
    fn new(name: &'static str) -> Host {
        let record = Record {
            network: "net".into(),
            process: format!("process of {name}").into(),
            events: Vec::new(),
            dropped: 0,
        };
        Host { record, name }
    }

    /// By a clock that is wrong by hours, other ones at each host.
    fn with(mut self, kind: EventKind) -> Host {
        let number = self.record.events.len() as u64 + 1;
        let hours = u64::from(self.name.as_bytes()[1]) % 7;
        self.record.events.push(Event {
            host: self.name.into(),
            number,
            wall: Duration::from_secs(hours * 3600 + number),
            elapsed: Duration::from_secs(number),
            kind,
        });
        self
    }

    fn dialing(self, src: &str, dst: &str) -> Host {
        self.with(EventKind::Dialing {
            src: addr(src),
            dst: addr(dst),
            first: 0,
        })
    }

    fn connected(self, src: &str, peer: &str, nth: u64, dst: &str) -> Host {
        self.with(EventKind::Connected {
            end: end(src, "->", peer, nth),
            dst: addr(dst),
        })
    }

    fn given_up(self, src: &str, dst: &str) -> Host {
        self.with(EventKind::DialGivenUp {
            src: addr(src),
            dst: addr(dst),
        })
    }

    fn accepted(self, local: &str, peer: &str, nth: u64, listener: &str) -> Host {
        self.with(EventKind::Accepted {
            end: end(local, "<-", peer, nth),
            listener: addr(listener),
        })
    }

    fn closed(self, local: &str, arrow: &str, peer: &str, nth: u64) -> Host {
        self.with(EventKind::Closed {
            end: end(local, arrow, peer, nth),
            sent: 0,
            received: 0,
        })
    }

    fn read_end(self, local: &str, arrow: &str, peer: &str, nth: u64) -> Host {
        self.with(EventKind::EndReceived {
            end: end(local, arrow, peer, nth),
            bytes: 0,
        })
    }

    fn cut(self, local: &str, arrow: &str, peer: &str, nth: u64) -> Host {
        self.with(EventKind::ReadFailed {
            end: end(local, arrow, peer, nth),
            bytes: 0,
            cause: Cause::ConnectionCut,
        })
    }
}

fn lines(trace: &Trace) -> Vec<String> {
    let events = trace.events().iter();
    events.map(|traced| traced.event.to_string()).collect()
}

/// Merges in both orders, which makes no difference.
fn merged(hosts: [Host; 2]) -> Trace {
    let [one, other] = hosts.map(|host| host.record);
    let trace = Trace::merge([one.clone(), other.clone()]).unwrap();
    assert_eq!(Trace::merge([other, one]).unwrap(), trace);
    trace
}

fn index(trace: &Trace, line: &str) -> usize {
    let mut found = lines(trace).into_iter().enumerate();
    found.find(|(_, other)| other == line).unwrap().0
}

/// The hosts' clocks differ by hours, either way.
#[test]
fn a_connection_is_in_order_whatever_the_clocks_say() {
    for [dialer, acceptor] in [["α", "β"], ["β", "α"]] {
        let at = |host: &str, port: u16| format!("{host}:{port}");
        let (src, dst, peer) = (at(dialer, 1), at(acceptor, 1), at(acceptor, 2));
        let dialing = Host::new(dialer)
            .dialing(&src, &dst)
            .connected(&src, &peer, 1, &dst)
            .closed(&src, "->", &peer, 1);
        let accepting = Host::new(acceptor)
            .accepted(&peer, &src, 1, &dst)
            .read_end(&peer, "<-", &src, 1)
            .closed(&peer, "<-", &src, 1);
        let trace = merged([dialing, accepting]);
        let order = [
            format!("{src} -> {dst} dialing"),
            format!("{peer} <- {src} accepted"),
            format!("{src} -> {peer} connected"),
            format!("{src} -> {peer} closed after 0 bytes sent, 0 received"),
            format!("{peer} <- {src} received end after 0 bytes"),
            format!("{peer} <- {src} closed after 0 bytes sent, 0 received"),
        ];
        assert_eq!(lines(&trace), order);
        for (first, then) in (0..6).flat_map(|then| (0..6).map(move |first| (first, then))) {
            assert_eq!(trace.is_before(first, then), first < then, "{first} {then}");
        }
    }
}

/// What is read was written: the write that had the last byte of a read leads to it.
#[test]
fn a_read_comes_after_the_write_of_its_last_byte() {
    let data = |host: Host, from: &str, arrow, to: &str, sent, offset, len: u8| {
        host.with(EventKind::Data {
            end: end(from, arrow, to, 1),
            sent,
            offset,
            len: len.into(),
            bytes: Arc::from(vec![7; len.into()]),
        })
    };
    let mut beta = Host::new("β")
        .dialing("β:1", "α:1")
        .connected("β:1", "α:2", 1, "α:1");
    for (offset, len) in [(0, 4), (4, 6), (10, 1)] {
        beta = data(beta, "β:1", "->", "α:2", true, offset, len);
    }
    let mut alpha = Host::new("α").accepted("α:2", "β:1", 1, "α:1");
    for (offset, len) in [(0, 3), (3, 1), (4, 5), (9, 2)] {
        alpha = data(alpha, "α:2", "<-", "β:1", false, offset, len);
    }
    let trace = merged([alpha, beta]);
    let read = |line: &str| {
        let cause = trace.events()[index(&trace, line)].cause.unwrap();
        trace.events()[cause].event.to_string()
    };
    let sent = |text: &str| format!("β:1 -> α:2 sent {text}");
    let reads = [
        ("3 bytes from 0", "4 bytes from 0"),
        ("1 bytes from 3", "4 bytes from 0"),
        ("5 bytes from 4", "6 bytes from 4"),
        ("2 bytes from 9", "1 bytes from 10"),
    ];
    for (received, cause) in reads {
        assert_eq!(
            read(&format!("α:2 <- β:1 received {received}")),
            sent(cause)
        );
    }
}

/// What no message connects is concurrent.
#[test]
fn hosts_without_a_connection_are_concurrent() {
    let note = |host: Host| host.with(EventKind::HostMade).with(EventKind::HostClosed);
    let trace = merged([note(Host::new("α")), note(Host::new("β"))]);
    let [one, other] = ["α made", "β closed"].map(|line| index(&trace, line));
    assert!(!trace.is_before(one, other) && !trace.is_before(other, one));
    assert!(trace.is_before(one, index(&trace, "α closed")));
}

/// Addresses repeat, and some dials are given up: the accept of one that connected is found.
#[test]
fn accepts_find_their_dials() {
    let given_up = |host: Host| host.dialing("β:1", "α:1").given_up("β:1", "α:1");
    let connected = |host: Host, nth| {
        host.dialing("β:1", "α:1")
            .connected("β:1", "α:2", nth, "α:1")
            .closed("β:1", "->", "α:2", nth)
    };
    let taken = |host: Host, nth| host.accepted("α:2", "β:1", nth, "α:1");
    let cut = |host: Host, nth| {
        taken(host, nth)
            .cut("α:2", "<-", "β:1", nth)
            .closed("α:2", "<-", "β:1", nth)
    };
    let read = |host: Host, nth| {
        taken(host, nth)
            .read_end("α:2", "<-", "β:1", nth)
            .closed("α:2", "<-", "β:1", nth)
    };
    let (beta, alpha) = (|| Host::new("β"), || Host::new("α"));
    // The dialer's record, the acceptor's, and which dial (from 0) each accept took.
    let cases = [
        (connected(given_up(beta()), 1), read(alpha(), 1), vec![1]),
        (
            connected(given_up(beta()), 1),
            read(cut(alpha(), 1), 2),
            vec![0, 1],
        ),
        (
            given_up(connected(given_up(beta()), 1)),
            cut(read(alpha(), 1), 2),
            vec![1, 2],
        ),
        (
            connected(given_up(given_up(connected(beta(), 1))), 2),
            read(cut(read(alpha(), 1), 2), 3),
            vec![0, 1, 3],
        ),
    ];
    for (dialer, acceptor, took) in cases {
        let trace = merged([dialer, acceptor]);
        let all = trace.events().iter();
        let dials: Vec<_> = (0..)
            .zip(all)
            .filter(|(_, traced)| matches!(traced.event.kind, EventKind::Dialing { .. }))
            .map(|(index, _)| index)
            .collect();
        let accepts = trace.events().iter();
        let accepts = accepts.filter(|it| matches!(it.event.kind, EventKind::Accepted { .. }));
        let found: Vec<_> = accepts
            .map(|accept| dials.iter().position(|dial| Some(*dial) == accept.cause))
            .collect();
        let expected: Vec<_> = took.into_iter().map(Some).collect();
        assert_eq!(found, expected, "{:#?}", lines(&trace));
    }
}

#[test]
fn records_that_make_no_trace() {
    let one = Host::new("α").with(EventKind::HostMade).record;
    let mut other = one.clone();
    other.network = Arc::from("other");
    assert_eq!(
        Trace::merge([one.clone(), other]).unwrap_err().to_string(),
        r#"expected records of one network, got "net" and "other""#,
    );
    assert_eq!(
        Trace::merge([one.clone(), one]).unwrap_err().to_string(),
        r#"event 1 of host "α" is there twice: was a record given twice?"#,
    );
}
