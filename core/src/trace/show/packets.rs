//! Packets in a pcapng file: made-up TCP over IPv4.
//!
//! Owns the bytes of blocks and headers. Never decides which packets there are.

use std::io::{self, Write};
use std::time::Duration;

use crate::trace::show::text::one_line;

/// The most bytes in one segment: an IPv4 packet has 65,535 at most.
pub(super) const MOST_BYTES: usize = 65_535 - HEADERS;
/// IPv4's header and TCP's.
const HEADERS: usize = 40;
/// The first of the addresses that are set aside for measurements (RFC 2544). Nobody has them.
const FIRST_ADDRESS: u32 = 0xc612_0000;
/// How many of these there are: 198.18.0.1 to 198.19.255.254.
pub(super) const MOST_HOSTS: usize = 131_070;

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const PSH: u8 = 8;
pub(super) const ACK: u8 = 16;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const NAMES: u32 = 4;
const PACKET: u32 = 6;
/// Packets begin with their IP header.
const LINK_RAW: u16 = 101;
const COMMENT: u16 = 1;

/// A host's number, from 0, and a port.
#[derive(Debug, Clone, Copy)]
pub(super) struct Socket {
    pub(super) host: usize,
    pub(super) port: u16,
}

/// One segment.
pub(super) struct Segment<'a> {
    pub(super) from: Socket,
    pub(super) to: Socket,
    pub(super) flags: u8,
    pub(super) seq: u32,
    pub(super) ack: u32,
    /// How many bytes it carries: [`MOST_BYTES`] at most.
    pub(super) len: usize,
    /// The first of them, as many as were recorded.
    pub(super) bytes: &'a [u8],
}

/// A file that is written.
pub(super) struct Packets<W> {
    to: W,
    /// The time of the last packet, in nanoseconds since 1970.
    last: u64,
    /// Written with the next packet.
    comments: Vec<String>,
}

/// A block without its type and lengths.
#[derive(Default)]
struct Block(Vec<u8>);

impl Block {
    fn u16(&mut self, value: u16) {
        self.0.extend(value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    /// With zeros up to a multiple of four bytes.
    fn padded(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// An option, or a record of names. A value that is too long is cut.
    fn option(&mut self, code: u16, value: &[u8]) {
        let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.u16(code);
        self.u16(len);
        self.padded(&value[..len.into()]);
    }

    fn end_of_options(&mut self) {
        self.u32(0);
    }

    fn write(&self, code: u32, to: &mut impl Write) -> io::Result<()> {
        let len = u32::try_from(self.0.len() + 12).map_err(io::Error::other)?;
        to.write_all(&code.to_le_bytes())?;
        to.write_all(&len.to_le_bytes())?;
        to.write_all(&self.0)?;
        to.write_all(&len.to_le_bytes())
    }
}

impl<W: Write> Packets<W> {
    /// Begins a file: the network and its hosts, whose numbers are their places.
    pub(super) fn begin(mut to: W, network: &str, hosts: &[&str]) -> io::Result<Packets<W>> {
        let mut section = Block::default();
        section.u32(0x1a2b_3c4d);
        section.u16(1);
        section.u16(0);
        // Of unknown length.
        section.padded(&[0xff; 8]);
        section.option(
            COMMENT,
            b"Made by virtnet from a trace: no such packets were sent",
        );
        section.option(4, concat!("virtnet ", env!("CARGO_PKG_VERSION")).as_bytes());
        section.end_of_options();
        section.write(SECTION, &mut to)?;
        let mut interface = Block::default();
        interface.u16(LINK_RAW);
        interface.u16(0);
        interface.u32(0);
        interface.option(2, network.as_bytes());
        // Times are in nanoseconds.
        interface.option(9, &[9]);
        interface.end_of_options();
        interface.write(INTERFACE, &mut to)?;
        let mut names = Block::default();
        for (number, host) in hosts.iter().enumerate() {
            let mut record = address(number).to_vec();
            record.extend(host.as_bytes());
            record.push(0);
            names.option(1, &record);
        }
        names.end_of_options();
        names.write(NAMES, &mut to)?;
        Ok(Packets {
            to,
            last: 0,
            comments: Vec::new(),
        })
    }

    /// Adds a comment to the next packet.
    pub(super) fn comment(&mut self, text: &str) {
        self.comments.push(one_line(text));
    }

    /// Writes a segment. One before the last in time is given the time of the last.
    pub(super) fn segment(&mut self, at: Duration, segment: &Segment<'_>) -> io::Result<()> {
        let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        self.last = at.max(self.last);
        let bytes = headers(segment);
        let (high, low) = (self.last >> 32, self.last & 0xffff_ffff);
        let mut packet = Block::default();
        packet.u32(0);
        packet.u32(u32::try_from(high).map_err(io::Error::other)?);
        packet.u32(u32::try_from(low).map_err(io::Error::other)?);
        for len in [segment.bytes.len(), segment.len] {
            packet.u32(u32::try_from(HEADERS + len).map_err(io::Error::other)?);
        }
        packet.padded(&[&bytes, segment.bytes].concat());
        for comment in self.comments.drain(..) {
            packet.option(COMMENT, comment.as_bytes());
        }
        packet.end_of_options();
        packet.write(PACKET, &mut self.to)
    }

    /// Writes what is buffered.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn address(host: usize) -> [u8; 4] {
    let number = u32::try_from(host).unwrap_or(u32::MAX);
    FIRST_ADDRESS
        .saturating_add(number)
        .saturating_add(1)
        .to_be_bytes()
}

/// The headers of IPv4 and TCP. The checksum of a segment whose bytes are not all there is 0.
fn headers(segment: &Segment<'_>) -> Vec<u8> {
    let total = u16::try_from(HEADERS + segment.len).unwrap_or(u16::MAX);
    let mut ip = Vec::with_capacity(HEADERS);
    ip.extend([0x45, 0]);
    ip.extend(total.to_be_bytes());
    // No identification; not to be fragmented; 64 hops; TCP; the checksum's place.
    ip.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    let (from, to) = (address(segment.from.host), address(segment.to.host));
    ip.extend(from);
    ip.extend(to);
    let sum = checksum(ip.chunks(2));
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut tcp = Vec::with_capacity(20);
    tcp.extend(segment.from.port.to_be_bytes());
    tcp.extend(segment.to.port.to_be_bytes());
    tcp.extend(segment.seq.to_be_bytes());
    tcp.extend(segment.ack.to_be_bytes());
    // Five words of header; the largest window; the checksum's place; nothing urgent.
    tcp.extend([0x50, segment.flags, 0xff, 0xff, 0, 0, 0, 0]);
    if segment.bytes.len() == segment.len {
        let len = (20 + segment.len).to_be_bytes();
        let pseudo = [&from[..], &to, &[0, 6], &len[len.len() - 2..]].concat();
        let words = pseudo.chunks(2).chain(tcp.chunks(2));
        let sum = checksum(words.chain(segment.bytes.chunks(2)));
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    }
    ip.extend(tcp);
    ip
}

/// The checksum of the Internet (RFC 1071), of words of two bytes.
fn checksum<'a>(words: impl Iterator<Item = &'a [u8]>) -> u16 {
    let mut sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}
