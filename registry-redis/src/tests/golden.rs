//! This crate's vectors of docs/protocol.md: keys and values.
//!
//! Owns no production code and no vectors of its own: it compares with the page. Never talks
//! to Redis.

use std::collections::BTreeMap;

use crate::lease::script::{LeaseRequest, Owner};
use crate::schema::entry::Entry;
use crate::schema::keys::Keys;

const PAGE: &str = include_str!("../../../docs/protocol.md");

/// The vectors of the page that are ours, as text.
fn vectors() -> BTreeMap<&'static str, String> {
    let lines = PAGE.lines().filter(|line| line.starts_with("redis-"));
    let vector = |line: &'static str| {
        let (name, digits) = line.split_once(": ").unwrap();
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let bytes = (0..digits.len()).step_by(2).map(byte).collect();
        (name, String::from_utf8(bytes).unwrap())
    };
    lines.map(vector).collect()
}

#[test]
fn keys_are_the_pages() {
    let page = vectors();
    let keys = Keys::new("quicα");
    assert_eq!(keys.host("α"), page["redis-key"]);
    assert_eq!(keys.index(), page["redis-index"]);
    assert_eq!(Keys::new("a}b c").host("x:y"), page["redis-key-encoded"]);
    assert_eq!(keys.document("faults/plan"), page["redis-document"]);
    assert_eq!(keys.documents("faults"), page["redis-documents"]);
    assert_eq!(keys.changes("faults"), page["redis-changes"]);
    assert_eq!(page.len(), 7, "the seventh is the value");
}

#[test]
fn values_are_the_pages() {
    let value = &vectors()["redis-value"];
    let entry = Entry::parse(value.as_bytes()).unwrap();
    assert_eq!(entry.hostdata, "10.0.0.2:4433");
    let token: String = (0..16).map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(entry.owner, token);
    // What is written, by an owner of that token.
    let holding = LeaseRequest {
        hostname: "α",
        hostdata: entry.hostdata,
        number: 1,
        confirmed_at: 0,
    };
    let owner = Owner::of_token(&token);
    let cmd = owner.hold(&Keys::new("quicα"), &[holding], 15_000);
    let sent = cmd.get_packed_command();
    let written = sent
        .windows(value.len())
        .any(|part| part == value.as_bytes());
    assert!(written, "{}", String::from_utf8_lossy(&sent));
}
