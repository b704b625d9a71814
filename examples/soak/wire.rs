//! The text protocol between parent and children: lines of words.
//!
//! Owns [`Trouble`], [`Figures`] and [`Counts`] as text. Never reads or writes a pipe.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// The port of each listener: higher than the lowest free port ever is, so that it is
/// still free when the listener is opened again.
pub(crate) const PORT: u16 = 7000;

/// Milliseconds of a clock that all processes share.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis() as u64)
}

/// A failure or a slow operation. The parent judges it, because it knows the faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// `dial`, `read`, `write`, `close`; `short` for an early end-of-file; `slow` for a slow
    /// operation, which may be excused; anything else is never excused.
    pub(crate) what: String,
    pub(crate) host: usize,
    /// The other host; this host if there is none.
    pub(crate) peer: usize,
    /// The cause, as in code.
    pub(crate) cause: String,
    /// When the dial began, or a little before the accept.
    pub(crate) began: u64,
    /// When the connection was open; 0 if it never was.
    pub(crate) opened: u64,
    pub(crate) ended: u64,
    pub(crate) detail: String,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = self.detail.replace('\n', " ");
        write!(
            f,
            "trouble {} {} {} {} {} {} {} {detail}",
            self.what, self.host, self.peer, self.cause, self.began, self.opened, self.ended
        )
    }
}

impl Trouble {
    pub(crate) fn parse(line: &str) -> Option<Trouble> {
        let mut words = line.strip_prefix("trouble ")?.splitn(8, ' ');
        Some(Trouble {
            what: words.next()?.to_owned(),
            host: words.next()?.parse().ok()?,
            peer: words.next()?.parse().ok()?,
            cause: words.next()?.to_owned(),
            began: words.next()?.parse().ok()?,
            opened: words.next()?.parse().ok()?,
            ended: words.next()?.parse().ok()?,
            detail: words.next()?.to_owned(),
        })
    }
}

macro_rules! numbers {
    ($(#[$doc:meta])* $name:ident: $word:literal, $($field:ident)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub(crate) struct $name {
            $(pub(crate) $field: u64,)*
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($word)?;
                $(write!(f, " {}", self.$field)?;)*
                Ok(())
            }
        }

        impl $name {
            pub(crate) fn parse(line: &str) -> Option<$name> {
                let mut words = line.strip_prefix(concat!($word, " "))?.split(' ');
                $(let $field = words.next()?.parse().ok()?;)*
                Some($name { $($field,)* })
            }
        }
    };
}

numbers! {
    /// The measurements of a process at one moment.
    Figures: "figures",
    tasks sockets descriptors live_bytes live_blocks rss_kb peak_kb
}

numbers! {
    /// What a process has done so far.
    Counts: "counts",
    dialed accepted closed bytes given_up closes
}

impl Counts {
    /// Both together.
    pub(crate) fn and(self, other: Counts) -> Counts {
        Counts {
            dialed: self.dialed + other.dialed,
            accepted: self.accepted + other.accepted,
            closed: self.closed + other.closed,
            bytes: self.bytes + other.bytes,
            given_up: self.given_up + other.given_up,
            closes: self.closes + other.closes,
        }
    }
}
