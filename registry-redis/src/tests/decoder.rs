//! Parsers of the server's values and names, on very many inputs: random valid ones and their
//! neighbours, and random bytes.
//!
//! Owns no production code. Every input follows from a seed, which a failing test prints.

use virtnet_core::MAX_NAME;

use crate::schema::entry::Entry;
use crate::schema::keys::Keys;

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

/// Text of any characters, up to so many bytes.
fn text(rng: &mut Rng, most: usize) -> String {
    let any = rng.below(most + 1);
    let length = rng.one_of(&[any.min(1), any.min(8), any.min(40), any, most]);
    let mut text = String::new();
    while text.len() < length {
        let end = rng.one_of(&[0x80, 0x80, 0x800, 0x1_0000, 0x11_0000]);
        let any = char::from_u32(rng.below(end) as u32).unwrap_or('α');
        let c = rng.one_of(&[any, any, 'x', '%', '{', '}', ':', '#', ' ', '4']);
        if text.len() + c.len_utf8() <= length {
            text.push(c);
        }
    }
    text
}

fn value(rng: &mut Rng) -> (String, String) {
    let most = rng.one_of(&[20, 300]);
    let mut hostdata = text(rng, most);
    if rng.below(4) == 0 {
        hostdata.push_str(" owner=");
    }
    let owner: String = (0..32)
        .map(|_| rng.one_of(b"0123456789abcdef") as char)
        .collect();
    let number = rng.next() >> rng.below(64);
    let value = format!("{hostdata} owner={owner}#{number}");
    (hostdata, value)
}

/// Reads a value; what is read is all of it but the number, and none of it is
/// a copy, however long it is.
fn read(value: &[u8]) -> Option<Entry<'_>> {
    let Some(entry) = Entry::parse(value) else {
        // An error shows eighty characters, each escaped at worst, and words.
        let text = Entry::of("α", value).unwrap_err().to_string();
        assert!(text.len() < 80 * 10 + 120, "{text}");
        return None;
    };
    let written = format!("{} owner={}#", entry.hostdata, entry.owner);
    let number = value.strip_prefix(written.as_bytes()).unwrap();
    assert!(!number.is_empty() && number.iter().all(u8::is_ascii_digit));
    assert!(entry.owner.len() == 32 && entry.owner.bytes().all(|b| b.is_ascii_hexdigit()));
    assert_eq!(entry.hostdata.as_ptr(), value.as_ptr());
    Some(entry)
}

#[test]
fn a_value_comes_back_and_what_is_next_to_it_is_another() {
    for seed in 0..500 {
        let mut rng = Rng::new(seed);
        let (hostdata, value) = value(&mut rng);
        let mut value = value.into_bytes();
        assert_eq!(read(&value).unwrap().hostdata, hostdata);
        let number = value.iter().rposition(|b| *b == b'#').unwrap() + 1;
        for end in 0..value.len() {
            // Only the number may be shorter, which nobody here reads.
            assert_eq!(read(&value[..end]).is_some(), end > number, "to {end}");
        }
        for bit in 0..value.len() * 8 {
            let is_digit = |b: u8| b.is_ascii_digit();
            value[bit / 8] ^= 1 << (bit % 8);
            let entry = read(&value);
            if bit / 8 >= number {
                assert_eq!(entry.is_some(), is_digit(value[bit / 8]), "bit {bit}");
            } else if let Some(entry) = entry {
                let owner = std::str::from_utf8(&value[number - 33..number - 1]).unwrap();
                assert_eq!((entry.owner, entry.hostdata.len()), (owner, hostdata.len()));
            }
            value[bit / 8] ^= 1 << (bit % 8);
        }
        for extra in [&b" "[..], b"x", b"#1", b"\0", b"\n", b"\xff", b" owner="] {
            assert_eq!(read(&[&*value, extra].concat()), None);
        }
        let again = [&*value, &value[hostdata.len()..]].concat();
        assert_eq!(read(&again).unwrap().hostdata.as_bytes(), value);
    }
}

#[test]
fn random_bytes_are_no_value_or_exactly_what_was_read() {
    let mut rng = Rng::new(0);
    let mut entries = 0;
    let owner = "9f86d081884c7d659a2feaa0c55ad015";
    let parts = [
        " owner=", " owner", "=", "#", "7", "12", "a", "α", " ", "\u{fffd}", "\n",
    ];
    for _ in 0..1_000_000 {
        let mut value = Vec::new();
        // Some begin well, so that all that is left is the end.
        let start = format!("{} owner={owner}", rng.one_of(&parts));
        value.extend(rng.one_of(&["", &start]).bytes());
        for _ in 0..rng.below(7) {
            let part = rng.one_of(&parts);
            let near = rng.one_of(&[" owner=", owner, "#1", part]);
            value.extend(rng.one_of(&[part, near]).bytes());
            if rng.below(40) == 0 {
                value.push(rng.next() as u8);
            }
        }
        entries += usize::from(read(&value).is_some());
    }
    assert!(entries > 100, "only {entries} could be read");
}

#[test]
fn values_beyond_the_limit_are_refused_shortly() {
    let owner = "9f86d081884c7d659a2feaa0c55ad015";
    for c in ["x", "\u{10ffff}", "\n", "#", " owner="] {
        let hostdata = c.repeat(500_000);
        let value = format!("{hostdata} owner={owner}#1");
        assert_eq!(read(value.as_bytes()), None);
        // The longest that is read: in place.
        let longest = hostdata[..4_096 / c.len() * c.len()].to_owned();
        let value = format!("{longest} owner={owner}#1");
        assert_eq!(read(value.as_bytes()).unwrap().hostdata, longest);
        assert_eq!(read(hostdata.as_bytes()), None);
        assert_eq!(read(format!(" owner={hostdata}#1").as_bytes()), None);
        let number = [value.as_bytes(), &b"7".repeat(500_000)].concat();
        assert_eq!(read(&number), None);
    }
    assert_eq!(read(&vec![0xff; 500_000]), None);
}

/// Reads a member of the index: what is read is written so, and is no longer.
fn hostname(keys: &Keys, member: &[u8]) -> Option<String> {
    let hostname = keys.hostname(member)?;
    assert_eq!(keys.member(&hostname).as_bytes(), member);
    assert!(!hostname.is_empty() && hostname.len() <= member.len());
    Some(hostname)
}

#[test]
fn a_name_comes_back_and_what_is_next_to_it_is_another() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let network = format!("n{}", text(&mut rng, MAX_NAME - 1));
        let keys = Keys::new(&network);
        let name = format!("h{}", text(&mut rng, MAX_NAME - 1));
        let mut member = keys.member(&name).into_bytes();
        assert_eq!(hostname(&keys, &member).as_ref(), Some(&name));
        assert_eq!(keys.hostname(keys.network().as_bytes()), Some(network));
        let key = keys.host(&name);
        assert!(key.len() <= keys.probe().len() + 3 * MAX_NAME);
        assert_eq!(
            key.as_bytes().strip_prefix(keys.probe().as_bytes()),
            Some(&*member)
        );
        // What decides the slot, and what a pattern would match, is not moved.
        assert_eq!((key.matches('{').count(), key.matches('}').count()), (1, 1));
        assert!(!key.contains(['*', '?', '[', ']', '\\', ' ', '\n']));
        for end in 0..member.len() {
            assert_ne!(hostname(&keys, &member[..end]).as_ref(), Some(&name));
        }
        for bit in 0..member.len() * 8 {
            member[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(hostname(&keys, &member).as_ref(), Some(&name), "bit {bit}");
            member[bit / 8] ^= 1 << (bit % 8);
        }
        for extra in [&b":"[..], b"%", b"%2", b"%zz", b"%41", b" ", b"\xff", b"}"] {
            assert_eq!(hostname(&keys, &[&*member, extra].concat()), None);
        }
    }
}

#[test]
fn random_bytes_are_no_name_or_the_one_that_is_written_so() {
    let keys = Keys::new("n");
    let mut rng = Rng::new(0);
    let mut names = 0;
    for _ in 0..1_000_000 {
        let mut member = Vec::new();
        for _ in 0..rng.below(7) {
            let any = [rng.next() as u8];
            let hex = *b"0123456789ABCDEFacef";
            let encoded = [b'%', rng.one_of(&hex), rng.one_of(&hex)];
            let part = rng.one_of(&[&any[..], &encoded, &encoded, b"x", b"%25", "α".as_bytes()]);
            member.extend(part);
        }
        names += usize::from(hostname(&keys, &member).is_some());
    }
    assert!(names > 10_000, "only {names} could be read");
}
