//! The vectors of docs/protocol.md, compared with what this crate encodes and
//! decodes.
//!
//! Owns the reading of that page, so that page and code cannot diverge. Never
//! contains expected bytes of its own: a peer in another language has the page
//! only. Owns no production code.

use std::collections::BTreeMap;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use virtnet_core::{Addr, MAX_FIRST_BYTES};

use crate::Secret;
use crate::config::transport::{CloseCode, FIRST_STREAMS, FIRST_WINDOWS, MAX_STREAMS, StreamCode};
use crate::hostdata::RealAddr;
use crate::identity::authority::{Authority, HostKey};
use crate::identity::marks::{Marks, PURPOSE as MARKS_PURPOSE};
use crate::identity::tls::ALPN;
use crate::identity::{RESET_PURPOSE, derive_key, dns_name};
use crate::wire::frame::{HEADER, Hello, MAX_BODY, Refusal, Reply, VERSION};

const PAGE: &str = include_str!("../../docs/protocol.md");

/// The prefix of the vectors of the Redis registry.
const REGISTRY: &str = "redis-";

fn unhex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2), "half a byte: {digits}");
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// The vectors of the page. A test must use each of them.
struct Vectors(BTreeMap<&'static str, Vec<u8>>);

impl Vectors {
    /// The vectors whose names have these prefixes.
    fn of(prefixes: &[&str]) -> Vectors {
        let mut vectors = all();
        vectors.retain(|name, _| prefixes.iter().any(|prefix| name.starts_with(prefix)));
        Vectors(vectors)
    }

    fn take(&mut self, name: &str) -> Vec<u8> {
        let vector = self.0.remove(name);
        vector.unwrap_or_else(|| panic!("the page has no {name}, or it was used before"))
    }

    fn text(&mut self, name: &str) -> String {
        String::from_utf8(self.take(name)).unwrap()
    }

    fn end(self) {
        let left: Vec<_> = self.0.keys().collect();
        assert!(left.is_empty(), "no test uses {left:?}");
    }
}

fn all() -> BTreeMap<&'static str, Vec<u8>> {
    let mut vectors = BTreeMap::new();
    for block in PAGE.split("\n```text vectors\n").skip(1) {
        let (block, _) = block.split_once("\n```\n").unwrap();
        for line in block.lines().filter(|line| !line.starts_with('#')) {
            let (name, digits) = line.split_once(": ").unwrap();
            let doubled = vectors.insert(name, unhex(digits));
            assert!(doubled.is_none(), "{name} is there twice");
        }
    }
    vectors
}

/// The inputs of all vectors.
struct Inputs {
    secret: [u8; 32],
    network: String,
    acceptor: String,
    dialer: String,
}

fn inputs() -> Inputs {
    let mut page = Vectors::of(&["secret", "network", "acceptor", "dialer"]);
    let inputs = Inputs {
        secret: page.take("secret").try_into().unwrap(),
        network: page.text("network"),
        acceptor: page.text("acceptor"),
        dialer: page.text("dialer"),
    };
    page.end();
    inputs
}

const INPUTS: [&str; 4] = ["secret", "network", "acceptor", "dialer"];
const IDENTITY: [&str; 5] = ["alpn", "dns-name-", "authority-", "reset-", "mark-"];
const FRAMES: [&str; 6] = [
    "hello", "first-", "waiting", "accepted", "refused-", "reply-",
];
const CODES: [&str; 4] = ["stream-", "close-", "streams-", "windows-"];
/// Vectors that only a peer can check: tests/protocol.rs does.
const SEEN: [&str; 1] = ["connection-"];
const PLACES: [&str; 1] = ["hostdata-"];

#[test]
fn each_vector_belongs_to_a_test() {
    let known = [
        &INPUTS[..],
        &IDENTITY,
        &FRAMES,
        &CODES,
        &PLACES,
        &SEEN,
        &[REGISTRY],
    ]
    .concat();
    for name in all().keys() {
        assert!(known.iter().any(|known| name.starts_with(known)), "{name}");
    }
}

#[test]
fn identity() {
    let Inputs {
        secret,
        network,
        acceptor,
        dialer,
    } = inputs();
    let mut page = Vectors::of(&IDENTITY);
    assert_eq!(ALPN, [&page.take("alpn")[..], &page.take("alpn-of-all")]);
    let name = page.text("dns-name-acceptor");
    assert_eq!(dns_name(&network, &acceptor), name);
    assert_eq!(dns_name(&network, &dialer), page.text("dns-name-dialer"));

    let authority = Authority::derive(&secret, &network).unwrap();
    let seed = derive_key(&page.take("authority-purpose"), &secret, &network);
    assert_eq!(seed[..], page.take("authority-seed"));
    let certificate = page.take("authority-certificate");
    assert_eq!(*authority.certificate, certificate[..]);
    // RFC 5280, sections 4.2.1.1 and 4.2.1.2: the authority's, and a host's which names it.
    let identifier = page.take("authority-key-identifier");
    let has = |certificate: &[u8], extension: &[u8]| {
        let extension = [extension, &identifier].concat();
        certificate
            .windows(extension.len())
            .any(|part| part == extension)
    };
    assert!(has(&certificate, b"\x06\x03\x55\x1d\x0e\x04\x16\x04\x14"));
    let key = HostKey::of_seed(&[9; 32]).unwrap();
    let leaf = authority.mint(&name, &key).unwrap();
    assert!(has(&leaf, b"\x06\x03\x55\x1d\x23\x04\x18\x30\x16\x80\x14"));
    // Verifiers match a host's certificate to its authority by these bytes.
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(certificate)).unwrap();
    let [root] = &roots.roots[..] else {
        panic!("there is one");
    };
    // A SEQUENCE: tag, length, content.
    let subject = [&[0x30, root.subject.len() as u8], &root.subject[..]].concat();
    assert_eq!(subject, page.take("authority-subject"));
    let key = page.take("authority-public-key");
    assert!(root.subject_public_key_info.ends_with(&key));

    assert_eq!(RESET_PURPOSE, page.take("reset-purpose"));
    let network_key = derive_key(RESET_PURPOSE, &secret, &network);
    assert_eq!(network_key[..], page.take("reset-network-key"));
    let host_key = authority.reset_key(&name);
    assert_eq!(host_key[..], page.take("reset-host-key"));
    // tests/protocol.rs gets the token from a host.
    let (id, token) = (page.take("reset-connection-id"), page.take("reset-token"));
    assert_eq!((id.len(), token.len()), (8, 16));

    assert_eq!(MARKS_PURPOSE, page.take("mark-purpose"));
    let key = derive_key(MARKS_PURPOSE, &secret, &network);
    assert_eq!(key[..], page.take("mark-key"));
    let secret = Secret::from_str(&HEXLOWER.encode(&secret)).unwrap();
    let marks = Marks::new(&secret, &network);
    let (place, text) = (page.text("mark-document"), page.text("mark-text"));
    assert_eq!(marks.mark(&place, &text), page.text("mark-marked"));
    page.end();
}

#[test]
fn frames() {
    let Inputs {
        network,
        acceptor,
        dialer,
        ..
    } = inputs();
    let mut page = Vectors::of(&FRAMES);
    let hello = Hello {
        src: Addr::new(&*network, dialer, 258).unwrap(),
        dst: Addr::new(&*network, acceptor, 1).unwrap(),
    };
    let frame = page.take("hello");
    assert_eq!(hello.encode(b""), frame);
    let first = page.text("first-bytes");
    assert_eq!(hello.encode(first.as_bytes()), page.take("first-hello"));
    assert_eq!(number(&page.take("first-most")) as usize, MAX_FIRST_BYTES);
    assert_eq!(frame[0], VERSION);
    let length = Hello::body_length([frame[1], frame[2]]).unwrap();
    assert_eq!(frame.len(), HEADER + length);
    assert_eq!(Hello::decode(&frame[HEADER..], &[]), Ok(hello));
    let most = page.take("hello-most");
    assert_eq!(Hello::body_length([most[0], most[1]]), Ok(MAX_BODY));
    assert!(Hello::body_length([most[0], most[1] + 1]).is_err());

    for (name, reply) in [
        ("waiting", Reply::Waiting),
        ("accepted", Reply::Accepted(258)),
        ("refused-no-such-host", Reply::Refused(Refusal::NoSuchHost)),
        (
            "refused-connection",
            Reply::Refused(Refusal::ConnectionRefused),
        ),
        ("refused-wrong-host", Reply::Refused(Refusal::WrongHost)),
        (
            "refused-wrong-network",
            Reply::Refused(Refusal::WrongNetwork),
        ),
        (
            "refused-source-not-proved",
            Reply::Refused(Refusal::SourceNotProved),
        ),
        ("refused-version", Reply::Refused(Refusal::Version(VERSION))),
        ("refused-malformed", Reply::Refused(Refusal::Malformed)),
        ("refused-unknown", Reply::Refused(Refusal::Unknown(200))),
    ] {
        let frame = page.take(name);
        assert_eq!(*reply.encode(), frame, "{name}");
        assert_eq!(Reply::decode(&frame), Ok(Some(reply)), "{name}");
    }
    for name in ["reply-unknown", "reply-port-0"] {
        Reply::decode(&page.take(name)).unwrap_err();
    }
    let waiting = Reply::Waiting.encode();
    assert_eq!(
        page.take("reply-waiting-twice"),
        [&*waiting, &*waiting].concat()
    );
    page.end();
}

fn number(bytes: &[u8]) -> u32 {
    let digits = bytes.iter().map(|&byte| u32::from(byte));
    digits.fold(0, |number, digit| number << 8 | digit)
}

#[test]
fn codes_and_limits() {
    let mut page = Vectors::of(&CODES);
    for (name, code) in [
        ("stream-abandoned", StreamCode::Abandoned as u32),
        ("stream-silent", StreamCode::Silent as u32),
        ("stream-closing", StreamCode::Closing as u32),
        ("stream-undelivered", StreamCode::Undelivered as u32),
        ("stream-aborted", StreamCode::Aborted as u32),
        ("stream-given-up", StreamCode::GivenUp as u32),
        ("streams-first", FIRST_STREAMS),
        ("streams-most", MAX_STREAMS),
        ("windows-first", FIRST_WINDOWS),
        ("close-bye", CloseCode::Bye as u32),
        ("close-idle", CloseCode::Idle as u32),
        ("close-source-not-proved", CloseCode::SourceNotProved as u32),
        ("close-too-many", CloseCode::TooMany as u32),
    ] {
        assert_eq!(number(&page.take(name)), code, "{name}");
    }
    page.end();
}

#[test]
fn places() {
    let mut page = Vectors::of(&PLACES);
    for (name, text) in [
        ("hostdata-ip4", "10.0.0.2:4433"),
        ("hostdata-ip6", "[2001:db8::2]:4433"),
        ("hostdata-name", "node_1.example:4433"),
    ] {
        let hostdata = page.text(name);
        assert_eq!(hostdata, text);
        assert_eq!(
            RealAddr::parse("α", &hostdata).unwrap().to_string(),
            hostdata
        );
    }
    page.end();
}
