//! Entries: the value under a host's key.
//!
//! Owns how its format, `<hostdata> owner=<token>#<number>`, is read. Never writes one: the
//! scripts' commands do.

use virtnet_core::{Cause, Failure};

use crate::text::clipped_bytes;

/// How much of a bad value an error shows, in characters.
const SHOWN: usize = 80;

/// A parsed value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) hostdata: &'a str,
    /// The token of the registry value that announced it.
    pub(crate) owner: &'a str,
}

/// The longest hostdata that can be announced, in bytes.
pub(crate) const MAX_HOSTDATA: usize = 4_096;

/// The longest value: hostdata, token, number.
const MAX_VALUE: usize = MAX_HOSTDATA + " owner=#".len() + 32 + 20;

/// Refuses hostdata that is too long to be read back.
pub(crate) fn check_hostdata(hostname: &str, hostdata: &str) -> Result<(), Failure> {
    match hostdata.len() {
        ..=MAX_HOSTDATA => Ok(()),
        length => Err(Failure::other(format!(
            "the hostdata of host {hostname:?} must be at most {MAX_HOSTDATA} bytes, got {length} bytes"
        ))),
    }
}

impl<'a> Entry<'a> {
    /// Parses a value; `None` if it is not in this format.
    pub(crate) fn parse(value: &'a [u8]) -> Option<Entry<'a>> {
        // First, because a foreign value may be large.
        if value.len() > MAX_VALUE {
            return None;
        }
        // From the right, as hostdata may hold anything, this separator included.
        let (hostdata, owner) = std::str::from_utf8(value).ok()?.rsplit_once(" owner=")?;
        let (owner, number) = owner.split_once('#')?;
        let is_digit = |b| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        let is_token = owner.len() == 32 && owner.bytes().all(is_digit);
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let fits = hostdata.len() <= MAX_HOSTDATA;
        (is_token && is_number && fits).then_some(Entry { hostdata, owner })
    }

    /// The same; an error names the host and the value.
    pub(crate) fn of(hostname: &str, value: &'a [u8]) -> Result<Entry<'a>, Failure> {
        Entry::parse(value).ok_or_else(|| {
            let value = clipped_bytes(value, SHOWN);
            let text = format!("host {hostname:?} has a value that no registry wrote: {value:?}");
            Failure::wrap(Cause::Protocol, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hostdata of a value that is in our format.
    fn hostdata(value: &[u8]) -> Option<&str> {
        let entry = Entry::parse(value)?;
        assert_eq!(entry.owner, TOKEN);
        Some(entry.hostdata)
    }

    const TOKEN: &str = "9f86d081884c7d659a2feaa0c55ad015";

    #[test]
    fn hostdata_comes_back_whatever_it_holds() {
        for data in [
            "10.0.0.2:4433",
            "",
            "a b",
            " owner=",
            "x owner=00#1",
            "α\nβ",
        ] {
            let value = format!("{data} owner={TOKEN}#7");
            assert_eq!(hostdata(value.as_bytes()), Some(data));
        }
    }

    #[test]
    fn what_can_be_announced_can_be_read_and_no_more() {
        for (length, fits) in [(MAX_HOSTDATA, true), (MAX_HOSTDATA + 1, false)] {
            let data = "x".repeat(length);
            assert_eq!(check_hostdata("α", &data).is_ok(), fits);
            for number in [1, u64::MAX] {
                let value = format!("{data} owner={TOKEN}#{number}");
                assert_eq!(hostdata(value.as_bytes()), fits.then_some(&*data));
            }
        }
        let huge = vec![b'x'; 1 << 20];
        let err = Entry::of("α", &huge).unwrap_err().to_string();
        assert!(err.len() < 200, "{err}");
        assert!(err.ends_with("x…\""), "{err}");
    }

    #[test]
    fn other_values_are_refused() {
        for value in [
            String::new(),
            "10.0.0.2:4433".into(),
            "10.0.0.2:4433 owner=".into(),
            format!("10.0.0.2:4433 owner={TOKEN}"),
            format!("10.0.0.2:4433 owner={TOKEN}#"),
            format!("10.0.0.2:4433 owner={TOKEN}#1x"),
            format!("10.0.0.2:4433 owner={TOKEN}0#1"),
            format!("10.0.0.2:4433 owner=g{}#1", &TOKEN[1..]),
            format!("10.0.0.2:4433 owner=A{}#1", &TOKEN[1..]),
            format!("10.0.0.2:4433owner={TOKEN}#1"),
        ] {
            assert_eq!(hostdata(value.as_bytes()), None, "{value}");
        }
        assert_eq!(
            hostdata(format!("\u{fffd} owner={TOKEN}#1").as_bytes()),
            Some("\u{fffd}")
        );
        assert_eq!(
            hostdata(&[b"\xff owner=", TOKEN.as_bytes(), b"#1"].concat()),
            None
        );
    }
}
