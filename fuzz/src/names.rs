//! Names as they are in the keys and in the index of a network in Redis.
//!
//! Owns what docs/protocol.md says of their encoding. Never talks to Redis.

use std::str::from_utf8;

use virtnet_core::check_hostname;

use crate::keys::Keys;
use crate::limits::{REFUSAL, within};

/// The input is a member of the index; and once more a name of host and network.
pub fn member(input: &[u8]) {
    let keys = Keys::new("n");
    // It is decoded, and encoded to be compared.
    let most = 8 * input.len() as u64 + 64;
    let hostname = within(most, || keys.hostname(input));
    let expected = decoded(input).filter(|name| encoded(name).as_bytes() == input);
    assert_eq!(hostname, expected.filter(|name| !name.is_empty()));
    if let Some(hostname) = hostname {
        assert_eq!(keys.member(&hostname).as_bytes(), input);
        assert!(hostname.len() <= input.len());
    }
    // Of some only, as it takes longer.
    if let Ok(name) = from_utf8(input)
        && input.len().is_multiple_of(4)
    {
        named(name);
    }
}

fn named(name: &str) {
    let allowed = within(REFUSAL, || check_hostname(name));
    let is_control = |c| matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}');
    let expected = (1..=255).contains(&name.len()) && !name.contains(is_control);
    assert_eq!(allowed.is_ok(), expected, "{allowed:?}");
    let keys = Keys::new(name);
    let (key, written) = (keys.host(name), encoded(name));
    let network = key.strip_prefix("virtnet:{");
    let network = network.and_then(|rest| rest.strip_prefix(&*written));
    let host = network.and_then(|rest| rest.strip_prefix("}:"));
    assert_eq!(host, Some(&*written), "{key}");
    assert_eq!(keys.network(), written);
    assert_eq!(key.strip_prefix(keys.probe()), Some(&*written));
    assert_eq!(keys.index().strip_prefix(keys.probe()), Some(":hosts"));
    // What decides the slot, what a pattern would match, and what the index is
    // told by, can be in no name.
    let special = |c| {
        matches!(
            c,
            '{' | '}' | ':' | '*' | '?' | '[' | ']' | '\\' | '\0'..=' '
        )
    };
    assert!(!written.contains(special), "{written:?}");
    let back = keys.hostname(written.as_bytes());
    assert_eq!(back.as_deref(), Some(name).filter(|name| !name.is_empty()));
}

/// Each character as the page has it encoded.
fn encoded(name: &str) -> String {
    let mut written = String::new();
    for c in name.chars() {
        let special = matches!(c, '{' | '}' | ':' | '%' | '*' | '?' | '[' | ']' | '\\');
        if special || c.is_control() || c.is_whitespace() {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                written.push('%');
                for digit in [byte / 16, byte % 16] {
                    written.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
                }
            }
        } else {
            written.push(c);
        }
    }
    written
}

/// The text that this would be, had it been encoded in any way.
fn decoded(member: &[u8]) -> Option<String> {
    let digit = |b: Option<&u8>| char::from(*b?).to_digit(16);
    let (mut bytes, mut at) = (Vec::new(), 0);
    while at < member.len() {
        if member[at] == b'%' {
            let value = digit(member.get(at + 1))? * 16 + digit(member.get(at + 2))?;
            bytes.push(u8::try_from(value).ok()?);
            at += 3;
        } else {
            bytes.push(member[at]);
            at += 1;
        }
    }
    String::from_utf8(bytes).ok()
}
