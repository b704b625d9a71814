//! What a host's file says: who holds the name, and where the host is reached.
//!
//! Owns the text of the file and its limits. Never does I/O.

use virtnet_core::Failure;

/// The longest hostdata that is announced, in bytes.
const MAX_HOSTDATA: usize = 4_096;

/// The longest file: hostdata, name, owner, and two short lines.
pub(crate) const MAX_FILE: usize = MAX_HOSTDATA + virtnet_core::MAX_NAME + 32 + 64;

/// The first line, which another format would change.
const FORMAT: &str = "virtnet 1";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) pid: u32,
    pub(crate) owner: String,
    pub(crate) host: String,
    pub(crate) hostdata: String,
}

impl Entry {
    /// No name has a line's end in it; hostdata may, and so is the last.
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
        // Before it is looked at: it was read no further.
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

/// Refuses hostdata that nobody would read again.
pub(crate) fn check_hostdata(hostname: &str, hostdata: &str) -> Result<(), Failure> {
    match hostdata.len() {
        ..=MAX_HOSTDATA => Ok(()),
        length => Err(Failure::other(format!(
            "the hostdata of host {hostname:?} has {length} bytes, which is more than {MAX_HOSTDATA}"
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
