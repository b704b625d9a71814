//! The content of a document's file: when it expires, the key, and the text.
//!
//! Owns the text of the file and its limits. Never does I/O, and never looks at a clock.

use std::time::Duration;

use virtnet_core::{MAX_DOCUMENT, MAX_DOCUMENT_KEY};

/// The longest lines before the text: the format, two numbers, and the key.
const MAX_HEADER: usize = FORMAT.len() + MAX_DOCUMENT_KEY + 64;

/// The longest file.
pub(crate) const MAX_FILE: usize = MAX_HEADER + MAX_DOCUMENT;

/// The first line: the format and its version.
const FORMAT: &str = "virtnet document 1";

/// In place of the two numbers, for a document that never expires.
const FOREVER: &str = "forever";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) expiry: Option<Expiry>,
    pub(crate) key: String,
    pub(crate) text: String,
}

/// When a document expires, in nanoseconds of the clock that all processes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expiry {
    until: u64,
    lifetime: u64,
}

impl Expiry {
    /// `None` for a time that is too far away for the clock: never.
    pub(crate) fn new(now: u64, lifetime: Duration) -> Option<Expiry> {
        let lifetime = u64::try_from(lifetime.as_nanos()).ok()?;
        let until = now.checked_add(lifetime)?;
        Some(Expiry { until, lifetime })
    }

    /// A document that is valid for longer than it was when it was written is from a time before
    /// the machine, and so the clock, was started again.
    pub(crate) fn is_over(self, now: u64) -> bool {
        now >= self.until || self.until - now > self.lifetime
    }
}

impl Document {
    /// The content of the file. Texts can contain line ends, so the text comes last.
    pub(crate) fn content(&self) -> String {
        let Document { expiry, key, text } = self;
        let expiry = match expiry {
            Some(Expiry { until, lifetime }) => format!("{until} {lifetime}"),
            None => FOREVER.to_owned(),
        };
        format!("{FORMAT}\n{expiry}\n{key}\n{text}")
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Document> {
        // Longer files are not read to their end.
        if bytes.len() > MAX_FILE {
            return None;
        }
        let mut lines = std::str::from_utf8(bytes).ok()?.splitn(4, '\n');
        if lines.next() != Some(FORMAT) {
            return None;
        }
        let expiry = match lines.next()? {
            FOREVER => None,
            numbers => {
                let (until, lifetime) = numbers.split_once(' ')?;
                let (until, lifetime) = (until.parse().ok()?, lifetime.parse().ok()?);
                Some(Expiry { until, lifetime })
            }
        };
        let (key, text) = (lines.next()?.to_owned(), lines.next()?.to_owned());
        Some(Document { expiry, key, text })
    }

    pub(crate) fn is_expired(&self, now: u64) -> bool {
        self.expiry.is_some_and(|expiry| expiry.is_over(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        for (expiry, text) in [
            (None, ""),
            (Expiry::new(u64::MAX - 1, Duration::from_nanos(1)), "a\nb\n"),
            (
                Expiry::new(0, Duration::from_nanos(u64::MAX)),
                &"x".repeat(MAX_DOCUMENT),
            ),
        ] {
            let document = Document {
                expiry,
                key: "k".repeat(MAX_DOCUMENT_KEY),
                text: text.to_owned(),
            };
            let content = document.content();
            assert!(content.len() <= MAX_FILE);
            assert_eq!(Document::parse(content.as_bytes()), Some(document));
        }
        for content in [
            "",
            "virtnet document 1\nforever\nt/a",
            "virtnet document 2\nforever\nt/a\n",
            "virtnet document 1\n5\nt/a\n",
            "virtnet document 1\n5 -1\nt/a\n",
            "virtnet 1\n1\no\nα\nx",
        ] {
            assert_eq!(Document::parse(content.as_bytes()), None, "{content}");
        }
        let long = format!("virtnet document 1\nforever\nt/a\n{}", "x".repeat(MAX_FILE));
        assert_eq!(Document::parse(long.as_bytes()), None);
        assert_eq!(
            Document::parse(b"virtnet document 1\nforever\nt/a\n\xff"),
            None
        );
    }

    #[test]
    fn a_clock_that_starts_again_ends_lifetimes() {
        let expiry = Expiry::new(1_000, Duration::from_nanos(100)).unwrap();
        for (now, over) in [
            (1_000, false),
            (1_099, false),
            (1_100, true),
            (999, true),
            (0, true),
        ] {
            assert_eq!(expiry.is_over(now), over, "{now}");
        }
        assert_eq!(Expiry::new(0, Duration::MAX), None);
        assert_eq!(Expiry::new(u64::MAX, Duration::from_nanos(1)), None);
    }
}
