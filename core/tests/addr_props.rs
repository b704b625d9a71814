//! The grammar of addresses against very many inputs: random addresses and
//! whatever is next to them, and random text.
//!
//! Owns no production code. Never truly random: every input follows from a
//! seed, and a test that fails prints it.

use virtnet_core::{Addr, AddrError, MAX_NAME, ToAddr};

const NETWORK: &str = "quicα";

/// Numbers that follow from a seed.
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

    fn below(&mut self, end: usize) -> usize {
        self.numbers.usize(..end)
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

impl Drop for Rng {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it failed with seed {}", self.seed);
        }
    }
}

/// A character that a name may hold, of any length in UTF-8.
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

fn addr(rng: &mut Rng) -> Addr {
    let any = rng.next() as u16;
    let port = rng.one_of(&[0, 1, u16::MAX, any]);
    Addr::new(NETWORK, name(rng), port).unwrap()
}

/// The rules of names, said a second time.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| !c.is_control() && c != '[' && c != ']';
    (1..=MAX_NAME).contains(&name.len()) && name.chars().all(allowed)
}

/// Reads bytes in every way there is, and checks that the ways agree.
fn read(bytes: &[u8]) -> Option<Addr> {
    let text = std::str::from_utf8(bytes).ok()?;
    let parsed = Addr::parse(NETWORK, text);
    let home = Addr::new(NETWORK, "α", 9).unwrap();
    let at_home = text.to_addr(&home);
    match parsed {
        Ok(addr) => {
            assert!(is_name(addr.host()), "{text:?}");
            assert_eq!(addr.network(), NETWORK);
            assert_eq!(addr, text);
            assert_eq!(at_home.as_ref(), Ok(&addr));
            let written = addr.to_string();
            assert_eq!(Addr::parse(NETWORK, &written).as_ref(), Ok(&addr));
            // What else it reads is the same with brackets, or zeros more.
            assert!(written.len() <= text.len(), "{text:?}");
            Some(addr)
        }
        Err(err) => {
            bounded(&err);
            assert_ne!(home, text);
            match at_home {
                // Only the host may be missing, which is then this one.
                Ok(addr) => {
                    assert_eq!(addr.host(), "α", "{text:?}");
                    assert!(text.starts_with(':') || text.starts_with("[]:"), "{text:?}");
                }
                Err(at_home) => assert_eq!(at_home, err),
            }
            None
        }
    }
}

/// An error shows eighty characters, each escaped at worst, and some words.
fn bounded(err: &AddrError) {
    let shown = err.to_string().len();
    assert!(shown < 80 * 10 + 120, "{shown} bytes: {err}");
}

#[test]
fn an_address_comes_back_and_what_is_next_to_it_is_another() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let addr = addr(&mut rng);
        let text = addr.to_string();
        assert_eq!(read(text.as_bytes()).as_ref(), Some(&addr));
        let mut bytes = text.into_bytes();
        let digits = addr.port().to_string().len();
        for end in 0..bytes.len() {
            let cut = read(&bytes[..end]);
            assert_ne!(cut.as_ref(), Some(&addr), "to {end}");
            // Only a port that is cut can still be read, as another one; but
            // a host in brackets has no other colon to be cut at.
            assert!(cut.is_none() || end + digits > bytes.len(), "to {end}");
        }
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Some(other) = read(&bytes) {
                assert_ne!(other, addr, "bit {bit}");
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for extra in [&b":1"[..], b" ", b"]", b"[", b"x", b"\0", b"99999"] {
            assert_eq!(read(&[&*bytes, extra].concat()), None, "{extra:?}");
        }
    }
}

#[test]
fn what_is_too_long_is_refused_with_a_short_error() {
    for c in ['x', 'α', '\u{10ffff}', '\n', ':', '[', '9'] {
        for count in [MAX_NAME + 1, 65_536, 300_000] {
            let name = c.to_string().repeat(count);
            bounded(&Addr::new(NETWORK, &*name, 1).unwrap_err());
            bounded(&Addr::new(&*name, "α", 1).unwrap_err());
            for text in [
                name.clone(),
                format!("{name}:1"),
                format!("[{name}]:1"),
                format!("α:{name}"),
                format!("[α]{name}"),
            ] {
                // Only nines could be a port, and these are too many.
                assert_eq!(read(text.as_bytes()), None);
            }
        }
    }
    let zeros = format!("α:{}7", "0".repeat(1_000_000));
    assert_eq!(Addr::parse(NETWORK, &zeros).unwrap(), "α:7");
}

#[test]
fn random_text_is_refused_or_read_the_same_in_every_way() {
    let mut rng = Rng::new(0);
    let mut addrs = 0;
    for _ in 0..1_000_000 {
        let mut text = Vec::new();
        for _ in 0..rng.below(9) {
            let any = rng.next() as u8;
            text.push(rng.one_of(&[b'[', b']', b':', b':', b'0', b'7', b'a', 0xce, 0xb1, any]));
        }
        text.extend(rng.one_of(&[&b""[..], b":1", b"]:80"]));
        addrs += usize::from(read(&text).is_some());
    }
    assert!(addrs > 10_000, "only {addrs} could be read");
}

#[test]
fn an_address_equals_the_texts_that_are_read_as_it_and_no_others() {
    let mut rng = Rng::new(1);
    let mut equal = 0;
    for _ in 0..500_000 {
        let host = rng.one_of(&["a", ":", "a:", "::", "α"]);
        let addr = Addr::new(NETWORK, host, rng.below(12) as u16).unwrap();
        let host = rng.one_of(&["a", ":", "a:", "::", "α", "", "[a]", "[:]", "[::]", "[]"]);
        let zeros = rng.one_of(&["", "", "0", "00"]);
        let text = format!("{host}:{zeros}{}", rng.below(12));
        let read = Addr::parse(NETWORK, &text);
        assert_eq!(addr == *text, read == Ok(addr.clone()), "{addr:?} {text:?}");
        equal += usize::from(addr == *text);
    }
    assert!(equal > 1_000, "only {equal} were equal");
}
