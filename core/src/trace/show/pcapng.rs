//! A trace as packets that Wireshark reads: what was sent, in plaintext, as made-up TCP.
//!
//! Owns which segments tell of which event. Never knows what was really on the wire.

use std::collections::{BTreeSet, HashSet};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use crate::trace::show::conns::{Conn, Conns};
use crate::trace::show::html::network;
use crate::trace::show::lines::Lines;
use crate::trace::show::packets::{
    ACK, FIN, MOST_BYTES, MOST_HOSTS, PSH, Packets, RST, SYN, Segment, Socket,
};
use crate::trace::{Event, EventKind, Trace};
use crate::{Addr, Cause};

/// Bytes that were not recorded are told of in so many segments at a time; more are left out.
const MOST_UNRECORDED: u64 = 16;
/// The most comments of one packet.
const MOST_COMMENTS: usize = 100;

impl Trace {
    /// Writes the trace as a pcapng file, for Wireshark and tshark.
    ///
    /// Each connection is made-up TCP: a handshake for the dial, its accept and *connected*; the
    /// payload that was recorded, in plaintext; a FIN for the end of a direction, and a RST for a
    /// failure. Bytes that were not recorded are there as a length, so that sequence numbers are
    /// true to the events. Each host has a made-up address from 198.18.0.1, with its name in the
    /// file, and its virtual ports: turn on *Resolve network addresses* in Wireshark, or give
    /// tshark `-N n`, to see the names. Each packet's comment is its event's text; what happened at hosts and to faults
    /// is in the comments of the next packet.
    ///
    /// Packets are in causal order. A time that would go back, since clocks differ, is that of
    /// the packet before.
    ///
    /// # Errors
    ///
    /// Those of `to`; [`InvalidInput`](io::ErrorKind::InvalidInput) if the trace names more than
    /// 131,070 hosts.
    pub fn write_pcapng(&self, to: impl Write) -> io::Result<()> {
        let lines = Lines::new(self);
        let conns = Conns::new(self, &lines);
        let hosts = host_names(self, &conns);
        if hosts.len() > MOST_HOSTS {
            let why = format!(
                "expected at most {MOST_HOSTS} host names, got {}",
                hosts.len()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let mut events = self.events().iter();
        let network = events.find_map(|traced| network(&traced.event.kind));
        let packets = Packets::begin(to, network.unwrap_or_default(), &hosts)?;
        let mut flows: Vec<_> = (0..)
            .zip(&conns.all)
            .map(|(number, conn)| Flow::new(number, conn, &hosts))
            .collect();
        for (index, traced) in self.events().iter().enumerate() {
            if let (EventKind::Data { end, sent, .. }, Some(conn)) =
                (&traced.event.kind, conns.of(index))
            {
                flows[conn].has_payload[usize::from(end.dialed != *sent)] = true;
            }
        }
        let mut talk = Talk {
            packets,
            at: Duration::ZERO,
            waiting: 0,
            crashed: HashSet::new(),
        };
        for (index, traced) in self.events().iter().enumerate() {
            let flow = conns.of(index).map(|conn| &mut flows[conn]);
            talk.event(&traced.event, flow)?;
        }
        talk.packets.finish()
    }
}

/// All names, sorted: of hosts that recorded, and of those that were dialed.
fn host_names<'a>(trace: &'a Trace, conns: &'a Conns<'_>) -> Vec<&'a str> {
    let own = trace.events().iter().map(|traced| &*traced.event.host);
    let others = conns.all.iter();
    let others = others.flat_map(|conn| [conn.src, conn.dst, conn.accepting()]);
    let names: BTreeSet<_> = own.chain(others.map(Addr::host)).collect();
    names.into_iter().collect()
}

/// How far a connection's handshake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Nothing,
    Dialed,
    Accepted,
    Connected,
}

/// A connection as TCP. The dialing side is 0.
struct Flow {
    sockets: [Socket; 2],
    /// The sequence number of each side's SYN.
    first: [u32; 2],
    /// How many bytes each side has sent.
    sent: [u64; 2],
    has_ended: [bool; 2],
    /// Bytes of this side's direction are recorded, so its first byte needs no segment.
    has_payload: [bool; 2],
    progress: Progress,
    is_reset: bool,
}

impl Flow {
    fn new(number: u32, conn: &Conn<'_>, hosts: &[&str]) -> Flow {
        let socket = |addr: &Addr| Socket {
            host: hosts.binary_search(&addr.host()).unwrap_or(0),
            port: addr.port(),
        };
        // Addresses are used again: other numbers tell these connections apart.
        let first = number.wrapping_mul(0x9e37_79b1);
        Flow {
            sockets: [socket(conn.src), socket(conn.accepting())],
            first: [first, first ^ 0x5555_5555],
            sent: [0; 2],
            has_ended: [false; 2],
            has_payload: [false; 2],
            progress: Progress::Nothing,
            is_reset: false,
        }
    }

    /// The sequence number of the byte with this offset.
    fn seq(&self, side: usize, offset: u64) -> u32 {
        // The SYN counts as one. Numbers wrap: the lower half of the offset decides.
        let offset = u32::try_from(offset & 0xffff_ffff).unwrap_or(0);
        self.first[side].wrapping_add(1).wrapping_add(offset)
    }

    /// The sequence number that follows all that this side has sent.
    fn next(&self, side: usize) -> u32 {
        let next = self.seq(side, self.sent[side]);
        next.wrapping_add(u32::from(self.has_ended[side]))
    }
}

/// All connections, told one event after another.
struct Talk<W> {
    packets: Packets<W>,
    /// The time of the event.
    at: Duration,
    /// As many comments wait for the next packet.
    waiting: usize,
    /// Hosts that went down without a word: what they close sends nothing.
    crashed: HashSet<Arc<str>>,
}

impl<W: Write> Talk<W> {
    fn event(&mut self, event: &Event, flow: Option<&mut Flow>) -> io::Result<()> {
        self.at = event.wall;
        if self.waiting < MOST_COMMENTS {
            self.packets.comment(&event.to_string());
            self.waiting += 1;
        }
        match &event.kind {
            EventKind::HostMade => drop(self.crashed.remove(&event.host)),
            EventKind::HostCrashed => drop(self.crashed.insert(Arc::clone(&event.host))),
            _ => {}
        }
        let Some(flow) = flow else {
            return Ok(());
        };
        if flow.is_reset || self.crashed.contains(&event.host) {
            return Ok(());
        }
        match &event.kind {
            EventKind::Dialing { .. } => self.handshake(flow, Progress::Dialed),
            EventKind::Accepted { .. } => self.handshake(flow, Progress::Accepted),
            EventKind::Connected { .. } => self.handshake(flow, Progress::Connected),
            EventKind::DialFailed { cause, .. } => {
                self.handshake(flow, Progress::Dialed)?;
                self.reset(flow, usize::from(*cause == Cause::ConnectionRefused))
            }
            EventKind::DialGivenUp { .. } => {
                self.handshake(flow, Progress::Dialed)?;
                self.reset(flow, 0)
            }
            kind => {
                self.handshake(flow, Progress::Connected)?;
                self.connected(kind, flow)
            }
        }
    }

    /// What happens once there is a connection.
    fn connected(&mut self, kind: &EventKind, flow: &mut Flow) -> io::Result<()> {
        let Some(end) = kind.end() else {
            return Ok(());
        };
        let side = usize::from(!end.dialed);
        match kind {
            EventKind::FirstByteSent { .. } if !flow.has_payload[side] => {
                self.unrecorded(flow, side, 1)
            }
            EventKind::FirstByteReceived { .. } if !flow.has_payload[1 - side] => {
                self.unrecorded(flow, 1 - side, 1)
            }
            EventKind::Data {
                sent,
                offset,
                len,
                bytes,
                ..
            } => {
                let sender = if *sent { side } else { 1 - side };
                self.data(flow, sender, *offset, bytes)?;
                self.unrecorded(flow, sender, offset.saturating_add(*len))
            }
            EventKind::EndSent { bytes, .. } => self.end(flow, side, *bytes),
            EventKind::EndReceived { bytes, .. } => {
                self.end(flow, 1 - side, *bytes)?;
                self.segment(flow, side, ACK, &[], 0)
            }
            EventKind::ReadFailed { cause, .. } | EventKind::WriteFailed { cause, .. } => {
                // Either this end was taken down, or it gave up a peer that said nothing.
                let is_own = matches!(
                    cause,
                    Cause::NetworkDown | Cause::HostDown | Cause::SocketDown | Cause::TimedOut
                );
                self.reset(flow, if is_own { side } else { 1 - side })
            }
            EventKind::Closed { sent, .. } => self.end(flow, side, *sent),
            _ => Ok(()),
        }
    }

    /// Sends what the handshake still needs.
    fn handshake(&mut self, flow: &mut Flow, until: Progress) -> io::Result<()> {
        if flow.progress < Progress::Dialed && until >= Progress::Dialed {
            let seq = flow.first[0];
            self.raw(flow, 0, SYN, [seq, 0], &[], 0)?;
            flow.progress = Progress::Dialed;
        }
        if flow.progress < Progress::Accepted && until >= Progress::Accepted {
            let numbers = [flow.first[1], flow.seq(0, 0)];
            self.raw(flow, 1, SYN | ACK, numbers, &[], 0)?;
            flow.progress = Progress::Accepted;
        }
        if flow.progress < Progress::Connected && until >= Progress::Connected {
            self.segment(flow, 0, ACK, &[], 0)?;
            flow.progress = Progress::Connected;
        }
        Ok(())
    }

    /// Sends the recorded bytes at an offset that were not sent before.
    fn data(&mut self, flow: &mut Flow, side: usize, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.unrecorded(flow, side, offset)?;
        let known = flow.sent[side].saturating_sub(offset);
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        for bytes in bytes.get(known..).unwrap_or_default().chunks(MOST_BYTES) {
            self.segment(flow, side, PSH | ACK, bytes, bytes.len())?;
            flow.sent[side] += bytes.len() as u64;
        }
        Ok(())
    }

    /// Sends, as a length, the bytes up to an offset that were not sent before.
    fn unrecorded(&mut self, flow: &mut Flow, side: usize, until: u64) -> io::Result<()> {
        let most = MOST_BYTES as u64;
        if until.saturating_sub(flow.sent[side]) > MOST_UNRECORDED * most {
            flow.sent[side] = until;
        }
        while flow.sent[side] < until {
            let len = most.min(until - flow.sent[side]);
            let bytes = usize::try_from(len).unwrap_or(MOST_BYTES);
            self.segment(flow, side, ACK, &[], bytes)?;
            flow.sent[side] += len;
        }
        Ok(())
    }

    fn end(&mut self, flow: &mut Flow, side: usize, bytes: u64) -> io::Result<()> {
        if flow.has_ended[side] {
            return Ok(());
        }
        self.unrecorded(flow, side, bytes)?;
        self.segment(flow, side, FIN | ACK, &[], 0)?;
        flow.has_ended[side] = true;
        Ok(())
    }

    fn reset(&mut self, flow: &mut Flow, side: usize) -> io::Result<()> {
        flow.is_reset = true;
        if flow.progress == Progress::Dialed && side == 1 {
            let numbers = [0, flow.seq(0, 0)];
            return self.raw(flow, 1, RST | ACK, numbers, &[], 0);
        }
        let acknowledged = if flow.progress == Progress::Dialed {
            0
        } else {
            ACK
        };
        self.segment(flow, side, RST | acknowledged, &[], 0)
    }

    /// A segment after all that this side has sent, which acknowledges all that the other has.
    fn segment(
        &mut self,
        flow: &Flow,
        side: usize,
        flags: u8,
        bytes: &[u8],
        len: usize,
    ) -> io::Result<()> {
        let ack = if flags & ACK == 0 {
            0
        } else {
            flow.next(1 - side)
        };
        self.raw(flow, side, flags, [flow.next(side), ack], bytes, len)
    }

    fn raw(
        &mut self,
        flow: &Flow,
        side: usize,
        flags: u8,
        [seq, ack]: [u32; 2],
        bytes: &[u8],
        len: usize,
    ) -> io::Result<()> {
        self.waiting = 0;
        let segment = Segment {
            from: flow.sockets[side],
            to: flow.sockets[1 - side],
            flags,
            seq,
            ack,
            len,
            bytes,
        };
        self.packets.segment(self.at, &segment)
    }
}
