//! Properties of the grammar of addresses, over very many inputs: random addresses and
//! their neighbours, all short texts, and random bytes.
//!
//! Owns the inputs. Never truly random: the seed is fixed, and a failing input is shrunk
//! and printed.

use proptest::char::any as any_char;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;
use proptest::test_runner::RngSeed;
use virtnet_core::{Addr, AddrError, MAX_NAME, ToAddr};

const NETWORK: &str = "quicα";

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A character that a name may contain, of any length in UTF-8.
fn character() -> impl Strategy<Value = char> {
    let others = prop_oneof![any_char(), proptest::char::range(' ', '~')];
    let others = others.prop_filter("not in names", |c| !c.is_control() && !"[]".contains(*c));
    prop_oneof![Just(':'), Just('x'), others]
}

/// A name, often one of the shortest or longest.
fn name() -> impl Strategy<Value = String> {
    let length = prop_oneof![
        1 => Just(1),
        2 => 1..=6_usize,
        1 => 1..=MAX_NAME,
        1 => MAX_NAME - 1..=MAX_NAME,
    ];
    (vec(character(), MAX_NAME), length).prop_map(|(characters, length)| {
        let mut name = String::new();
        for c in characters {
            if name.len() + c.len_utf8() <= length {
                name.push(c);
            }
        }
        let missing = length - name.len();
        name + &"x".repeat(missing)
    })
}

fn addr() -> impl Strategy<Value = Addr> {
    let port = prop_oneof![Just(0), Just(1), Just(u16::MAX), any::<u16>()];
    (name(), port).prop_map(|(name, port)| Addr::new(NETWORK, name, port).unwrap())
}

/// The rules of names, written a second time.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| !c.is_control() && c != '[' && c != ']';
    (1..=MAX_NAME).contains(&name.len()) && name.chars().all(allowed)
}

/// Parses bytes with each function that parses an address, and checks that the results
/// agree.
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
            // Other texts of the same address only have more brackets or zeros.
            assert!(written.len() <= text.len(), "{text:?}");
            Some(addr)
        }
        Err(err) => {
            bounded(&err);
            assert_ne!(home, text);
            match at_home {
                // Only the host may be missing, which then means this host.
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

/// An error shows at most 80 characters, each of them escaped at worst, and some words.
fn bounded(err: &AddrError) {
    let shown = err.to_string().len();
    assert!(shown < 80 * 10 + 120, "{shown} bytes: {err}");
}

/// Parsing the text of `addr` returns it; parsing any neighbour of that text does not.
fn check_neighbours(addr: &Addr) {
    let text = addr.to_string();
    assert_eq!(read(text.as_bytes()).as_ref(), Some(addr));
    let mut bytes = text.into_bytes();
    let digits = addr.port().to_string().len();
    for end in 0..bytes.len() {
        let cut = read(&bytes[..end]);
        assert_ne!(cut.as_ref(), Some(addr), "to {end}");
        // Only if the port is cut can the text be an address, a different one. A host
        // in brackets has no other colon to be cut at.
        assert!(cut.is_none() || end + digits > bytes.len(), "to {end}");
    }
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Some(other) = read(&bytes) {
            assert_ne!(other, *addr, "bit {bit}");
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    for extra in [&b":1"[..], b" ", b"]", b"[", b"x", b"\0", b"99999"] {
        assert_eq!(read(&[&*bytes, extra].concat()), None, "{extra:?}");
    }
}

proptest! {
    #![proptest_config(config(60))]
    #[test]
    fn an_address_comes_back_and_what_is_next_to_it_is_another(addr in addr()) {
        check_neighbours(&addr);
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
                // Only nines could be a port, which is then too large.
                assert_eq!(read(text.as_bytes()), None);
            }
        }
    }
    let zeros = format!("α:{}7", "0".repeat(1_000_000));
    assert_eq!(Addr::parse(NETWORK, &zeros).unwrap(), "α:7");
}

/// What may follow a text, so that more of them are addresses.
const ENDS: [&[u8]; 3] = [b"", b":1", b"]:80"];

proptest! {
    #![proptest_config(config(20_000))]
    #[test]
    fn random_text_is_refused_or_read_the_same_in_every_way(
        text in vec(prop_oneof![select(b"[]::07a\xce\xb1".to_vec()), any::<u8>()], 0..9),
        end in select(ENDS.to_vec()),
    ) {
        read(&[&*text, end].concat());
    }
}

#[test]
fn every_short_text_is_refused_or_read_the_same_in_every_way() {
    const ALPHABET: [&str; 9] = ["[", "]", ":", "0", "7", "+", "a", "α", "\n"];
    let mut addrs = 0;
    for length in 0..=5 {
        for number in 0..ALPHABET.len().pow(length) {
            let digit = |at| ALPHABET[number / ALPHABET.len().pow(at) % ALPHABET.len()];
            let text: String = (0..length).map(digit).collect();
            for end in ENDS {
                let read = read(&[text.as_bytes(), end].concat());
                addrs += usize::from(read.is_some());
            }
        }
    }
    assert!(addrs > 2_000, "only {addrs} could be read");
}

#[test]
fn an_address_equals_the_texts_that_are_read_as_it_and_no_others() {
    let mut equal = 0;
    for (host, port) in pairs(&["a", ":", "a:", "::", "α"]) {
        let addr = Addr::new(NETWORK, host, port).unwrap();
        for (host, port) in pairs(&["a", ":", "a:", "::", "α", "", "[a]", "[:]", "[::]", "[]"]) {
            for zeros in ["", "0", "00"] {
                let text = format!("{host}:{zeros}{port}");
                let read = Addr::parse(NETWORK, &text);
                assert_eq!(
                    addr == *text,
                    read.as_ref() == Ok(&addr),
                    "{addr:?} {text:?}"
                );
                equal += usize::from(addr == *text);
            }
        }
    }
    // Five of these texts are read as one of these hosts, each with any port and zeros.
    assert_eq!(equal, 5 * 12 * 3);
}

/// Each of these hosts with each port below 12.
fn pairs<'a>(hosts: &'a [&'a str]) -> impl Iterator<Item = (&'a str, u16)> {
    let ports = |&host: &&'a str| (0..12).map(move |port| (host, port));
    hosts.iter().flat_map(ports)
}
