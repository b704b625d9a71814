//! The content of a host's file: which process holds the name, and the hostdata.
//!
//! Owns the text of the file and its limits. Never does I/O.

use virtnet_core::Failure;

/// The longest hostdata that can be announced, in bytes.
const MAX_HOSTDATA: usize = 4_096;

/// The longest file: hostdata, name, owner, and two short lines.
pub(crate) const MAX_FILE: usize = MAX_HOSTDATA + virtnet_core::MAX_NAME + 32 + 64;

/// The first line: the format and its version.
const FORMAT: &str = "virtnet 1";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) pid: u32,
    pub(crate) owner: String,
    pub(crate) host: String,
    pub(crate) hostdata: String,
}

impl Entry {
    /// Names cannot contain line ends; hostdata can, so it comes last.
    pub(crate) fn text(&self) -> String {
        let Entry {
            pid,
            owner,
            host,
            hostdata,
        } = self;
        format!("{FORMAT}\n{pid}\n{owner}\n{host}\n{hostdata}")
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Entry> {
        // Longer files are not read to their end.
        if bytes.len() > MAX_FILE {
            return None;
        }
        let mut lines = std::str::from_utf8(bytes).ok()?.splitn(5, '\n');
        if lines.next() != Some(FORMAT) {
            return None;
        }
        let mut next = || lines.next().map(str::to_owned);
        Some(Entry {
            pid: next()?.parse().ok()?,
            owner: next()?,
            host: next()?,
            hostdata: next()?,
        })
    }
}

/// Refuses hostdata that is too long to be read back.
pub(crate) fn check_hostdata(hostname: &str, hostdata: &str) -> Result<(), Failure> {
    match hostdata.len() {
        ..=MAX_HOSTDATA => Ok(()),
        length => Err(Failure::other(format!(
            "the hostdata of host {hostname:?} must be at most {MAX_HOSTDATA} bytes, got {length} bytes"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        for hostdata in ["", "127.0.0.1:1", "two\nlines\n", &"x".repeat(MAX_HOSTDATA)] {
            let entry = Entry {
                pid: u32::MAX,
                owner: "0f".repeat(16),
                host: "α".repeat(virtnet_core::MAX_NAME / 2),
                hostdata: hostdata.to_owned(),
            };
            check_hostdata(&entry.host, hostdata).unwrap();
            let text = entry.text();
            assert!(text.len() <= MAX_FILE);
            assert_eq!(Entry::parse(text.as_bytes()), Some(entry));
        }
        assert!(check_hostdata("α", &"x".repeat(MAX_HOSTDATA + 1)).is_err());
        for text in [
            "",
            "virtnet 1\n1\no\nα",
            "virtnet 2\n1\no\nα\nx",
            "virtnet 1\n-1\no\nα\nx",
        ] {
            assert_eq!(Entry::parse(text.as_bytes()), None, "{text}");
        }
        let long = format!("virtnet 1\n1\no\nα\n{}", "x".repeat(MAX_FILE));
        assert_eq!(Entry::parse(long.as_bytes()), None);
        assert_eq!(Entry::parse(b"virtnet 1\n1\no\n\xff\nx"), None);
    }
}
