//! Where a breakpoint may be.
//!
//! Owns [`At`], and which rule of faults holds what waits there. Never sets a rule.

use std::fmt;

use crate::Addr;
use crate::breakpoint::BreakpointError;
use crate::faults::Rule;
use crate::trace::{Event, EventKind};

/// What waits at a breakpoint. Addresses are as in the lines of a trace; a host may be a pattern with `*`.
///
/// ```
/// use virtnet_core::breakpoint::At;
///
/// // α does not see the second dial of β:1 to α:1.
/// let at = At::dial("β:1 -> α:1")?.nth(2)?;
/// assert_eq!(at.to_string(), "dial 2 of β:1 -> α:1");
/// assert_eq!(at.rule().to_string(), "hold β:1 -> α:1 dials 2");
/// // α has accepted (or refused), and β does not know it.
/// let at = At::answer("β:1 -> α:1")?;
/// assert_eq!(at.rule().to_string(), "hold α:1 -> β:1");
/// // α:2 has read five bytes, and sees neither the next ones nor the end.
/// let at = At::bytes("β:1 -> α:2")?.after(5)?;
/// assert_eq!(at.rule().to_string(), "hold β:1 -> α:2 after 5B");
/// # Ok::<(), virtnet_core::breakpoint::BreakpointError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct At {
    what: What,
    /// The two addresses, as they were given.
    conn: String,
    rule: Rule,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Dial(Option<u64>),
    Answer,
    Bytes(u64),
}

impl At {
    /// Before a dial leaves: from the dialing port to the dialed port, as in `β:1 -> α:1 dialing`.
    ///
    /// # Errors
    ///
    /// [`BreakpointError::Invalid`] if these are not two addresses with ports.
    pub fn dial(conn: &str) -> Result<At, BreakpointError> {
        Ok(At::new(What::Dial(None), conn, rule(conn)?))
    }

    /// Before the dialer gets the answer to its dial, from the dialing port to the dialed port.
    ///
    /// # Errors
    ///
    /// Those of [`dial`](At::dial).
    pub fn answer(conn: &str) -> Result<At, BreakpointError> {
        Ok(At::new(What::Answer, conn, rule(conn)?.reversed()))
    }

    /// Before what one end of a connection sends is read at the other end: bytes, and its end or cut. The first address is that
    /// which sends.
    ///
    /// # Errors
    ///
    /// Those of [`dial`](At::dial).
    pub fn bytes(conn: &str) -> Result<At, BreakpointError> {
        Ok(At::new(What::Bytes(0), conn, rule(conn)?))
    }

    /// Only the dial with this number, from 1, between these ports. Without it, all of them wait.
    ///
    /// # Errors
    ///
    /// [`BreakpointError::Unfit`] if it is not at a dial, or if the number is 0.
    pub fn nth(mut self, number: u64) -> Result<At, BreakpointError> {
        match self.what {
            What::Dial(_) if number > 0 => {
                self.what = What::Dial(Some(number));
                self.rule = self.rule.dials(number..=number);
                Ok(self)
            }
            What::Dial(_) => Err(self.unfit("expected a number from 1, got 0")),
            _ => Err(self.unfit("expected a dial, as only dials have numbers")),
        }
    }

    /// Only after so many bytes of the connection in this direction.
    ///
    /// # Errors
    ///
    /// [`BreakpointError::Unfit`] if it is not at bytes.
    pub fn after(mut self, bytes: u64) -> Result<At, BreakpointError> {
        match self.what {
            What::Bytes(_) => {
                self.what = What::Bytes(bytes);
                self.rule = self.rule.after(bytes);
                Ok(self)
            }
            _ => Err(self.unfit("expected bytes, as nothing else can begin after some")),
        }
    }

    /// Where that waits what an event of a trace leads to at another host: a dial, the answer to it, the first byte, a
    /// write, the end or the close. `None` for an event that leads to nothing elsewhere.
    pub fn of(event: &Event) -> Option<At> {
        let end = |sent: u64| {
            let end = event.kind.end()?;
            let (what, conn) = (What::Bytes(sent), conn(&end.local, &end.peer));
            let rule = hold(&end.local, &end.peer).after(sent);
            Some(At::new(what, &conn, rule))
        };
        match &event.kind {
            EventKind::Dialing { src, dst, .. } => {
                Some(At::new(What::Dial(None), &conn(src, dst), hold(src, dst)))
            }
            EventKind::Accepted { end, listener } => {
                let conn = conn(&end.peer, listener);
                Some(At::new(What::Answer, &conn, hold(listener, &end.peer)))
            }
            EventKind::FirstByteSent { .. } => end(0),
            EventKind::Data {
                sent: true, offset, ..
            } => end(*offset),
            EventKind::EndSent { bytes, .. } => end(*bytes),
            EventKind::Closed { sent, .. } => end(*sent),
            _ => None,
        }
    }

    /// The rule of faults that holds it, without its bound.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    fn new(what: What, conn: &str, rule: Rule) -> At {
        let conn = conn.to_owned();
        At { what, conn, rule }
    }

    fn unfit(&self, problem: &'static str) -> BreakpointError {
        let at = self.to_string();
        BreakpointError::Unfit { at, problem }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conn = &self.conn;
        match self.what {
            What::Dial(None) => write!(f, "dial {conn}"),
            What::Dial(Some(number)) => write!(f, "dial {number} of {conn}"),
            What::Answer => write!(f, "answer to dial {conn}"),
            What::Bytes(0) => write!(f, "bytes {conn}"),
            What::Bytes(after) => write!(f, "bytes {conn} after {after}"),
        }
    }
}

fn conn(from: &Addr, to: &Addr) -> String {
    format!("{from} -> {to}")
}

fn hold(from: &Addr, to: &Addr) -> Rule {
    Rule::hold(from.host(), to.host()).conn(from.port(), to.port())
}

/// The rule that holds what goes from the first to the second of two addresses.
fn rule(conn: &str) -> Result<Rule, BreakpointError> {
    let invalid = |problem: String| BreakpointError::Invalid {
        given: conn.to_owned(),
        problem,
    };
    let rule: Rule = format!("hold {conn}")
        .parse()
        .map_err(|why| invalid(format!(" ({why})")))?;
    match rule.conn_only() {
        true => Ok(rule),
        false => Err(invalid(String::new())),
    }
}
