//! What is under a host's key in Redis.
//!
//! Owns what docs/protocol.md says of the value. Never talks to Redis.

use std::str::from_utf8;

use crate::limits::{REFUSAL, stretched, within};
use crate::redis_entry::Entry;

/// The input is a value.
pub fn entry(input: &[u8]) {
    read(input);
    if let Some(long) = stretched(input) {
        read(&long);
        // What is before a value is hostdata, up to a length.
        let whole = [&long, input].concat();
        read(&whole);
    }
}

fn read(value: &[u8]) {
    // In place: nothing is copied.
    let parsed = within(0, || Entry::parse(value));
    assert_eq!(parsed.is_some(), is_value(value), "{parsed:?}");
    let Some(entry) = parsed else {
        // Of few only: to write the error takes longer than all else.
        if value.len() % 8 != 7 {
            return;
        }
        within(REFUSAL, || {
            let err = Entry::of("α", value).expect_err("as before").to_string();
            assert!(err.len() < 80 * 10 + 120, "{err}");
        });
        return;
    };
    let start = format!("{} owner={}#", entry.hostdata, entry.owner);
    let number = value.strip_prefix(start.as_bytes());
    assert!(number.is_some_and(is_number));
    assert_eq!(entry.hostdata.as_ptr(), value.as_ptr());
}

fn is_number(digits: &[u8]) -> bool {
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// The longest value: hostdata, token, and a number of 64 bits.
const LONGEST: usize = 4_096 + " owner=#".len() + 32 + 20;

/// Whether the page takes this for a value: from the end, a number, a token of 32
/// digits, and the word before it.
fn is_value(value: &[u8]) -> bool {
    let digits = value.iter().rev().take_while(|b| b.is_ascii_digit());
    let (rest, number) = value.split_at(value.len() - digits.count());
    let Some(rest) = rest.strip_suffix(b"#") else {
        return false;
    };
    let Some(token) = rest.len().checked_sub(32) else {
        return false;
    };
    let (rest, token) = rest.split_at(token);
    is_number(number)
        && token.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        && rest.ends_with(b" owner=")
        && rest.len() <= 4_096 + " owner=".len()
        && value.len() <= LONGEST
        && from_utf8(rest).is_ok()
}
