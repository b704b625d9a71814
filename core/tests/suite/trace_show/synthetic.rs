//! Made-up records: networks of any size, with connections, payload, failures and faults.
//!
//! Owns the generator. Everything follows from the seed. Never opens a network.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use virtnet_core::trace::{End, Event, EventKind, Record, Trace};
use virtnet_core::{Addr, Cause};

const NETWORK: &str = "net";
/// 2026-01-01, UTC.
const BEGINS: Duration = Duration::from_secs(1_767_225_600);

pub(crate) fn addr(host: &str, port: u16) -> Addr {
    Addr::new(NETWORK, host, port).unwrap()
}

/// Records under construction, one for each host.
pub(crate) struct Net {
    records: Vec<Record>,
    names: Vec<String>,
    /// The time of the last event.
    now: Duration,
    /// The ports that are taken.
    ports: BTreeSet<(usize, u16)>,
    /// How many connections there were between two addresses, by host.
    nth: BTreeMap<(usize, Addr, Addr), u64>,
}

/// A connection that was made: its ends, and the index of each end's host.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) hosts: [usize; 2],
    pub(crate) ends: [End; 2],
}

impl Net {
    pub(crate) fn new(names: &[&str]) -> Net {
        let record = |name: &&str| Record {
            network: NETWORK.into(),
            process: format!("process of {name}").into(),
            events: Vec::new(),
            dropped: 0,
        };
        let mut net = Net {
            records: names.iter().map(record).collect(),
            names: names.iter().map(ToString::to_string).collect(),
            now: BEGINS,
            ports: BTreeSet::new(),
            nth: BTreeMap::new(),
        };
        for host in 0..names.len() {
            net.event(host, EventKind::HostMade);
        }
        net
    }

    pub(crate) fn event(&mut self, host: usize, kind: EventKind) {
        self.now += Duration::from_micros(250);
        let events = &mut self.records[host].events;
        events.push(Event {
            host: self.names[host].as_str().into(),
            number: events.len() as u64 + 1,
            wall: self.now,
            elapsed: self.now - BEGINS,
            kind,
        });
    }

    pub(crate) fn listen(&mut self, host: usize) -> Addr {
        let addr = self.take_port(host);
        self.event(host, EventKind::Listening { addr: addr.clone() });
        addr
    }

    /// The lowest free one.
    pub(crate) fn take_port(&mut self, host: usize) -> Addr {
        let free = (1..).find(|port| self.ports.insert((host, *port))).unwrap();
        addr(&self.names[host], free)
    }

    fn free_port(&mut self, host: usize, addr: &Addr) {
        self.ports.remove(&(host, addr.port()));
    }

    fn count(&mut self, host: usize, local: &Addr, peer: &Addr) -> u64 {
        let nth = self.nth.entry((host, local.clone(), peer.clone()));
        let nth = nth.or_default();
        *nth += 1;
        *nth
    }

    /// Dial, accept, connected.
    pub(crate) fn connect(&mut self, from: usize, to: usize, listener: &Addr) -> Pair {
        let (src, peer) = (self.take_port(from), self.take_port(to));
        let dst = listener.clone();
        let dialing = EventKind::Dialing {
            src: src.clone(),
            dst: dst.clone(),
            first: 0,
        };
        self.event(from, dialing);
        let accepting = End {
            nth: self.count(to, &peer, &src),
            local: peer.clone(),
            peer: src.clone(),
            dialed: false,
        };
        let end = accepting.clone();
        let listener = dst.clone();
        self.event(to, EventKind::Accepted { end, listener });
        let end = End {
            nth: self.count(from, &src, &peer),
            local: src,
            peer,
            dialed: true,
        };
        let dialer = end.clone();
        self.event(from, EventKind::Connected { end, dst });
        Pair {
            hosts: [from, to],
            ends: [dialer, accepting],
        }
    }

    /// Bytes from one end (0: the dialing one) to the other, as one write and one read, of which
    /// the first `recorded` are recorded.
    pub(crate) fn data(&mut self, pair: &Pair, from: usize, offset: u64, data: &[u8], len: u64) {
        let bytes: Arc<[u8]> = data.into();
        for (side, sent) in [(from, true), (1 - from, false)] {
            let end = pair.ends[side].clone();
            let bytes = Arc::clone(&bytes);
            let kind = EventKind::Data {
                end,
                sent,
                offset,
                len,
                bytes,
            };
            self.event(pair.hosts[side], kind);
        }
    }

    pub(crate) fn first_byte(&mut self, pair: &Pair, from: usize) {
        let (sender, receiver) = (pair.ends[from].clone(), pair.ends[1 - from].clone());
        self.event(pair.hosts[from], EventKind::FirstByteSent { end: sender });
        let end = receiver;
        self.event(pair.hosts[1 - from], EventKind::FirstByteReceived { end });
    }

    pub(crate) fn finish(&mut self, pair: &Pair, from: usize, bytes: u64) {
        let (end, other) = (pair.ends[from].clone(), pair.ends[1 - from].clone());
        self.event(pair.hosts[from], EventKind::EndSent { end, bytes });
        let end = other;
        self.event(pair.hosts[1 - from], EventKind::EndReceived { end, bytes });
    }

    pub(crate) fn cut(&mut self, pair: &Pair, side: usize, bytes: u64) {
        let end = pair.ends[side].clone();
        let cause = Cause::ConnectionCut;
        self.event(
            pair.hosts[side],
            EventKind::ReadFailed { end, bytes, cause },
        );
    }

    /// One side's host goes down without a word. Later the other side gives up.
    pub(crate) fn crash(&mut self, pair: &Pair, side: usize) {
        let host = pair.hosts[side];
        self.event(host, EventKind::HostCrashed);
        self.ports.retain(|(of, _)| *of != host);
        let [end, other] = [side, 1 - side].map(|side| pair.ends[side].clone());
        let (sent, received) = (0, 0);
        let closed = EventKind::Closed {
            end,
            sent,
            received,
        };
        self.event(host, closed);
        let failed = EventKind::ReadFailed {
            end: other,
            bytes: 0,
            cause: Cause::TimedOut,
        };
        self.event(pair.hosts[1 - side], failed);
    }

    /// Both ends, the dialing one first. `bytes` were sent by each.
    pub(crate) fn close(&mut self, pair: &Pair, bytes: [u64; 2]) {
        for side in [0, 1] {
            let end = pair.ends[side].clone();
            self.free_port(pair.hosts[side], &end.local);
            let (sent, received) = (bytes[side], bytes[1 - side]);
            let closed = EventKind::Closed {
                end,
                sent,
                received,
            };
            self.event(pair.hosts[side], closed);
        }
    }

    /// A dial that fails.
    pub(crate) fn refused(&mut self, from: usize, dst: &Addr, cause: Cause) {
        let (src, dst) = (self.take_port(from), dst.clone());
        let dialing = EventKind::Dialing {
            src: src.clone(),
            dst: dst.clone(),
            first: 0,
        };
        self.event(from, dialing);
        self.free_port(from, &src);
        self.event(from, EventKind::DialFailed { src, dst, cause });
    }

    pub(crate) fn faults(&mut self, version: u64, rules: &[&str]) {
        for host in 0..self.names.len() {
            let rules = rules.iter().map(|rule| Arc::from(*rule)).collect();
            self.event(host, EventKind::FaultsInForce { version, rules });
        }
    }

    pub(crate) fn trace(self) -> Trace {
        Trace::merge(self.records).unwrap()
    }

    fn len(&self) -> usize {
        self.records.iter().map(|record| record.events.len()).sum()
    }
}

/// The names of hosts in big traces.
const NAMES: [&str; 8] = ["α", "β", "γ", "δ", "ε", "ζ", "η", "θ"];

/// At least so many events, few more, on `hosts` hosts: many connections at a time, of which some
/// end by a cut, and faults that come and go.
pub(crate) fn busy(events: usize, hosts: usize, seed: u64) -> Net {
    let mut net = Net::new(&NAMES[..hosts]);
    let mut random = fastrand::Rng::with_seed(seed);
    let listeners: Vec<_> = (0..hosts).map(|host| net.listen(host)).collect();
    let mut open: VecDeque<(Pair, [u64; 2])> = VecDeque::new();
    let mut version = 0;
    while net.len() < events {
        let from = random.usize(..hosts);
        let to = (from + random.usize(1..hosts)) % hosts;
        match random.u32(..100) {
            0..20 => {
                let pair = net.connect(from, to, &listeners[to]);
                net.first_byte(&pair, 0);
                open.push_back((pair, [0, 0]));
            }
            20..23 => net.refused(from, &addr(NAMES[to], 99), Cause::ConnectionRefused),
            23..24 if net.len() > 50 => {
                version += 1;
                let rule = format!("cut {} -> {}", NAMES[from], NAMES[to]);
                match version % 2 {
                    1 => net.faults(version, &[&rule, "delay * -> * 20 ms"]),
                    _ => net.faults(version, &[]),
                }
            }
            24..26 => {
                let text = format!("round {}", random.u8(..)).into();
                net.event(from, EventKind::Note { text });
            }
            26..45 if open.len() > 4 => {
                let (pair, sent) = open.pop_front().unwrap();
                if random.u32(..8) == 0 {
                    net.cut(&pair, 1, sent[0]);
                } else {
                    net.finish(&pair, 0, sent[0]);
                    net.finish(&pair, 1, sent[1]);
                }
                net.close(&pair, sent);
            }
            _ if !open.is_empty() => {
                let which = random.usize(..open.len());
                let (pair, sent) = &mut open[which];
                let side = random.usize(..2);
                let len = random.u64(1..2000);
                net.data(pair, side, sent[side], b"PING\r\n", len.max(6));
                sent[side] += len.max(6);
            }
            _ => {}
        }
    }
    net
}

/// About ten events: what a first program does, and a fault.
pub(crate) fn small() -> Net {
    let mut net = Net::new(&["α", "β"]);
    let listener = net.listen(0);
    let pair = net.connect(1, 0, &listener);
    net.first_byte(&pair, 0);
    net.finish(&pair, 0, 5);
    net.faults(1, &["cut α -> β"]);
    net.close(&pair, [5, 0]);
    net
}

/// A connection is cut by a fault, and made again after it: the picture in docs/.
pub(crate) fn partition() -> Net {
    let mut net = Net::new(&["α", "β", "γ"]);
    let listener = net.listen(0);
    let first = net.connect(1, 0, &listener);
    net.first_byte(&first, 0);
    let other = net.connect(2, 0, &listener);
    net.first_byte(&other, 1);
    net.faults(1, &["cut α -> β"]);
    net.refused(1, &listener, Cause::TimedOut);
    net.cut(&first, 0, 0);
    net.close(&first, [5, 0]);
    net.finish(&other, 1, 7);
    net.faults(2, &[]);
    let second = net.connect(1, 0, &listener);
    net.first_byte(&second, 0);
    net
}

/// Hosts whose names, and a note that, try to break out of every format.
pub(crate) fn hostile() -> Net {
    let mut net = Net::new(&HOSTILE);
    for host in 0..HOSTILE.len() {
        let listener = net.listen(host);
        let from = (host + 1) % HOSTILE.len();
        let pair = net.connect(from, host, &listener);
        net.finish(&pair, 0, 3);
        net.close(&pair, [3, 0]);
    }
    let text = "two\nlines\u{1b}[2J\u{202e}\u{0}</script><script>window.broken=1</script>";
    net.event(0, EventKind::Note { text: text.into() });
    net
}

pub(crate) const HOSTILE: [&str; 8] = [
    "</script><script>window.broken=1</script>",
    "<img src=x onerror=\"window.broken=1\">",
    "a b {\"c\":1}",
    "end; note over x: #35;",
    "\\u003c/script>\"'`${x}",
    "<!--<script>",
    "-->>한국어 👩\u{200d}🚀 e\u{301}",
    "%s %n & &lt; \u{2028}",
];
