//! Entries: what the value under a host's key says.
//!
//! Owns the value's format, `<hostdata> owner=<token>#<number>`, as it is read.
//! Never writes one: the scripts' commands do.

use virtnet_core::{Cause, Failure};

use crate::fault::clipped;

/// How much of a bad value an error shows, in characters.
const SHOWN: usize = 80;

/// A value in our format, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) hostdata: &'a str,
    /// The token of who announced it.
    pub(crate) owner: &'a str,
}

impl<'a> Entry<'a> {
    /// Takes a value apart; `None` when it is not in our format.
    pub(crate) fn parse(value: &'a [u8]) -> Option<Entry<'a>> {
        // From the right, as hostdata may hold anything, this separator included.
        let (hostdata, owner) = std::str::from_utf8(value).ok()?.rsplit_once(" owner=")?;
        let (owner, number) = owner.split_once('#')?;
        let is_token = owner.len() == 32 && owner.bytes().all(|b| b.is_ascii_hexdigit());
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        (is_token && is_number).then_some(Entry { hostdata, owner })
    }

    /// The same; an error names the host and the value.
    pub(crate) fn of(hostname: &str, value: &'a [u8]) -> Result<Entry<'a>, Failure> {
        Entry::parse(value).ok_or_else(|| {
            let value = clipped(&String::from_utf8_lossy(value), SHOWN);
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
