//! The decoders of untrusted input, against very many inputs: random values, their
//! neighbours, and random bytes.
//!
//! Owns no production code. Never uses true randomness: every input follows from a
//! seed, which a failing test prints.

use virtnet_core::{Addr, MAX_NAME};

use crate::hostdata::RealAddr;
use crate::wire::frame::{FrameError, HEADER, Hello, MAX_BODY, MAX_REPLY, Reply, VERSION};
use sequences::read;

/// Longest DNS name, in bytes.
const MAX_DNS_NAME: usize = 253;

/// Pseudo-random numbers from a seed.
struct Rng {
    seed: u64,
    numbers: fastrand::Rng,
}

impl Rng {
    fn new(seed: u64) -> Rng {
        let numbers = fastrand::Rng::with_seed(seed);
        Rng { seed, numbers }
    }

    fn next(&mut self) -> u64 {
        self.numbers.u64(..)
    }

    /// Other numbers from the same seed.
    fn fork(&mut self) -> Rng {
        Rng {
            seed: self.seed,
            numbers: self.numbers.fork(),
        }
    }

    fn below(&mut self, end: usize) -> usize {
        self.numbers.usize(..end)
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// A port from 1 on; boundary values are more frequent.
    fn port(&mut self) -> u16 {
        let any = 1 + self.below(65_535) as u16;
        self.one_of(&[1, 255, 256, u16::MAX, any, any, any, any])
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

impl Drop for Rng {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it failed with seed {}", self.seed);
        }
    }
}

/// A character that names may contain, of any length in UTF-8.
fn character(rng: &mut Rng) -> char {
    let end = rng.one_of(&[0x7f, 0x7f, 0x800, 0x1_0000, 0x11_0000]);
    let any = char::from_u32(rng.below(end) as u32);
    let any = any.filter(|c| !c.is_control() && !['[', ']'].contains(c));
    rng.one_of(&[':', 'x', any.unwrap_or('α'), any.unwrap_or(' ')])
}

fn name(rng: &mut Rng) -> String {
    let any = 1 + rng.below(MAX_NAME);
    let short = 1 + rng.below(6);
    let length = rng.one_of(&[1, short, short, any, MAX_NAME - 1, MAX_NAME]);
    let mut name = String::new();
    while name.len() < length {
        let c = character(rng);
        if name.len() + c.len_utf8() <= length {
            name.push(c);
        }
    }
    name
}

fn hello(rng: &mut Rng) -> Hello {
    let network = name(rng);
    let src = Addr::new(&*network, name(rng), rng.port()).unwrap();
    // The dialed port may be 0: the listener refuses it.
    let port = rng.one_of(&[0, 1]) * rng.port();
    let dst = Addr::new(&*network, name(rng), port).unwrap();
    Hello { src, dst }
}

fn with_length(mut frame: Vec<u8>) -> Vec<u8> {
    let length = (frame.len() - HEADER) as u16;
    frame[1..HEADER].copy_from_slice(&length.to_be_bytes());
    frame
}

#[test]
fn a_hello_comes_back_and_what_is_next_to_it_is_another() {
    for seed in 0..30 {
        let mut rng = Rng::new(seed);
        let hello = hello(&mut rng);
        let mut frame = hello.encode(b"");
        assert!(frame.len() <= HEADER + MAX_BODY);
        assert_eq!(read(&frame).as_ref(), Ok(&hello));
        for end in 0..frame.len() {
            assert_eq!(read(&frame[..end]), Err(FrameError::Truncated));
            if end >= HEADER {
                let cut = with_length(frame[..end].to_vec());
                assert_eq!(read(&cut), Err(FrameError::Truncated), "to {end}");
            }
        }
        for bit in 0..frame.len() * 8 {
            frame[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = read(&frame) {
                assert_ne!(other, hello, "bit {bit}");
                assert_eq!(other.encode(b""), frame, "bit {bit}");
            }
            frame[bit / 8] ^= 1 << (bit % 8);
        }
        for extra in [1, 2, 100] {
            let longer = with_length([&*frame, &*rng.bytes(extra)].concat());
            let refused = match longer.len() - HEADER {
                length if length > MAX_BODY => FrameError::TooLong(length),
                _ => FrameError::Trailing,
            };
            assert_eq!(read(&longer), Err(refused));
        }
    }
}

#[test]
fn every_length_of_a_body_is_within_the_bound_or_refused() {
    for length in 0..=u16::MAX {
        let allowed = Hello::body_length(length.to_be_bytes());
        let length = usize::from(length);
        assert_eq!(allowed.ok(), (length <= MAX_BODY).then_some(length));
    }
}

#[test]
fn a_body_of_random_bytes_is_refused_or_exactly_what_was_read() {
    let mut hellos = 0;
    let mut rng = Rng::new(0);
    for _ in 0..2_000_000 {
        // Small numbers, so that some are the lengths of what follows.
        let most = rng.one_of(&[2, 3, 256]);
        let mut body = Vec::new();
        for _ in 0..rng.one_of(&[3, 10, 11, 12, 16]) {
            let byte = rng.below(most) as u8;
            body.push(rng.one_of(&[byte, byte, b'a']));
        }
        if let Ok(hello) = Hello::decode(&body, &[]) {
            hellos += 1;
            assert_eq!(hello.encode(b"")[HEADER..], body);
            assert_ne!(hello.src.port(), 0);
        }
    }
    assert!(hellos > 100, "only {hellos} could be read");
}

/// Decodes a reply byte by byte. No reply is longer than these bytes.
#[test]
fn of_all_replies_each_is_written_as_it_is_read() {
    let mut replies = 0;
    let mut check = |bytes: &[u8]| match Reply::decode(bytes) {
        Ok(Some(reply)) => {
            replies += 1;
            assert_eq!(*reply.encode(), *bytes);
            true
        }
        Ok(None) => {
            assert!(bytes.len() < MAX_REPLY, "{bytes:?} is to go on");
            false
        }
        Err(_) => true,
    };
    assert!(!check(&[]));
    for a in 0..=255 {
        let ended = check(&[a]);
        for b in 0..=255 {
            let ended = check(&[a, b]) || ended;
            for c in 0..=255 {
                check(&[a, b, c]);
                assert!(!ended || Reply::decode(&[a, b, c]).is_err());
            }
        }
    }
    // Waiting, every port but 0, every code, and every version in one of them.
    assert_eq!(replies, 1 + 65_535 + 255 + 256);
    let mut rng = Rng::new(1);
    for _ in 0..1_000_000 {
        let bytes = rng.next().to_be_bytes();
        let count = MAX_REPLY + 1 + rng.below(5);
        let longer = [&[bytes[0] % 4], &bytes[1..count]].concat();
        assert!(Reply::decode(&longer).is_err(), "{longer:?}");
    }
}

/// A real address, written as hosts announce it.
fn place(rng: &mut Rng) -> String {
    let port = rng.port();
    match rng.below(3) {
        0 => format!(
            "{}:{port}",
            std::net::Ipv4Addr::from(1 + rng.next() as u32 / 2)
        ),
        1 => {
            let [mut high, mut low] = [rng.next(), rng.next() | 1];
            high >>= rng.one_of(&[0, 32, 63]);
            low >>= rng.one_of(&[0, 8, 16]);
            let ip = u128::from(high) << 64 | u128::from(low | 0x10);
            format!("[{}]:{port}", std::net::Ipv6Addr::from(ip))
        }
        _ => {
            let any = 1 + rng.below(MAX_DNS_NAME);
            let length = rng.one_of(&[1, 2, any, MAX_DNS_NAME]);
            let mut host = String::new();
            while host.len() + 1 < length {
                host.push(rng.one_of(b"aZ09-_.") as char);
            }
            // A last label of digits would be read as an IPv4 address.
            let end = host.rfind('.').map_or(0, |dot| dot + 1);
            if host[end..].starts_with(|c: char| c.is_ascii_digit()) {
                host.replace_range(end..=end, "x");
            }
            format!("{host}k:{port}")
        }
    }
}

/// Whether these bytes parse as a real address. If so, it must be reachable and
/// survive a round trip.
fn is_place(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let place = match RealAddr::parse("α", text) {
        Ok(place) => place,
        Err(err) => {
            // At most 80 characters of it, each possibly escaped, and the fixed text.
            assert!(err.to_string().len() < 80 * 10 + 200, "{err}");
            return false;
        }
    };
    let written = place.to_string();
    assert_eq!(RealAddr::parse("α", &written).unwrap(), place, "{text:?}");
    assert!(written.len() <= MAX_DNS_NAME + ":65535".len(), "{text:?}");
    let (host, port) = written.rsplit_once(':').unwrap();
    assert!(port.parse::<std::num::NonZeroU16>().is_ok(), "{text:?}");
    let host = host.trim_matches(['[', ']']);
    let ip = host.parse::<std::net::IpAddr>().ok();
    assert!(ip.is_none_or(|ip| !ip.to_canonical().is_unspecified()));
    let numbers = host.trim_end_matches('.').rsplit('.').next().unwrap();
    let in_use = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let is_name = host.bytes().all(in_use) && !numbers.starts_with(|c: char| c.is_ascii_digit());
    assert!(ip.is_some() || is_name, "{text:?}");
    true
}

#[test]
fn hostdata_comes_back_and_what_is_next_to_it_can_be_reached() {
    for seed in 0..800 {
        let mut rng = Rng::new(seed);
        let text = place(&mut rng);
        assert!(is_place(text.as_bytes()), "{text:?}");
        assert_eq!(RealAddr::parse("α", &text).unwrap().to_string(), text);
        let mut bytes = text.into_bytes();
        let colon = bytes.iter().rposition(|b| *b == b':').unwrap();
        for end in 0..bytes.len() {
            // Only a truncated port may still parse, as another port.
            assert_eq!(is_place(&bytes[..end]), end > colon + 1, "to {end}");
        }
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            is_place(&bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(!is_place(&[&*bytes, &*b"9".repeat(1000)].concat()));
        assert!(!is_place(&[&*b"a".repeat(MAX_DNS_NAME), &*bytes].concat()));
        assert!(!is_place(
            &[&*bytes, rng.one_of(&[&b":1"[..], b" ", b"]", b"\0", b"."])].concat()
        ));
    }
}

#[test]
fn random_bytes_are_no_hostdata_or_a_place_that_can_be_reached() {
    let mut rng = Rng::new(0);
    let mut places = 0;
    for _ in 0..1_000_000 {
        let count = rng.below(14);
        let mut text: Vec<u8> = (0..count)
            .map(|_| rng.one_of(b"[]:::0012.fx-%\xce "))
            .collect();
        text.extend(rng.one_of(&[&b""[..], b":1", b"]:80"]));
        places += usize::from(is_place(&text));
    }
    assert!(places > 1_000, "only {places} could be read");
}

mod sequences;
