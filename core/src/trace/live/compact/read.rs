//! The short lines of a batch, read again.
//!
//! Owns what is said about a line that is none. Never knows other lines.

use std::sync::Arc;
use std::time::Duration;

use crate::Addr;
use crate::trace::event::{End, Event, EventKind};
use crate::trace::read::fields::Fields;

/// What the lines of a group have in common.
#[derive(Debug)]
pub(in crate::trace::live) struct Group {
    network: Arc<str>,
    host: Arc<str>,
    names: Vec<Arc<str>>,
    /// When recording began.
    wall: Duration,
}

/// The numbers of a line that are left.
struct Numbers<'a> {
    group: &'a Group,
    line: &'a str,
    words: std::str::Split<'a, char>,
}

impl Group {
    /// The group that a line of JSON begins.
    pub(in crate::trace::live) fn new(
        network: &Arc<str>,
        wall: Duration,
        fields: &Fields<'_>,
    ) -> Result<Group, String> {
        Ok(Group {
            network: Arc::clone(network),
            host: fields.text("events_of")?.into(),
            names: fields.texts("names")?,
            wall,
        })
    }

    /// Reads one line.
    pub(in crate::trace::live) fn event(&self, line: &str) -> Result<Event, String> {
        let mut words = line.split(' ');
        let letter = words.next().unwrap_or_default();
        let mut numbers = Numbers {
            group: self,
            line,
            words,
        };
        let (number, elapsed) = (numbers.number()?, Duration::from_nanos(numbers.number()?));
        let kind = numbers.kind(letter)?;
        match numbers.words.next() {
            None => Ok(Event {
                host: Arc::clone(&self.host),
                number,
                wall: self.wall.saturating_add(elapsed),
                elapsed,
                kind,
            }),
            Some(_) => Err(numbers.wrong()),
        }
    }

    fn own(&self, port: u16) -> Addr {
        Addr::unchecked(Arc::clone(&self.network), Arc::clone(&self.host), port)
    }
}

impl Numbers<'_> {
    fn kind(&mut self, letter: &str) -> Result<EventKind, String> {
        Ok(match letter {
            "D" => {
                let src = self.port()?;
                EventKind::Dialing {
                    src: self.group.own(src),
                    dst: self.addr()?,
                    first: self.number()?,
                }
            }
            "C" => EventKind::Connected {
                end: self.end()?,
                dst: self.addr()?,
            },
            "A" => {
                let (end, listener) = (self.end()?, self.port()?);
                let listener = self.group.own(listener);
                EventKind::Accepted { end, listener }
            }
            "F" => EventKind::FirstByteSent { end: self.end()? },
            "R" => EventKind::FirstByteReceived { end: self.end()? },
            "E" => EventKind::EndSent {
                end: self.end()?,
                bytes: self.number()?,
            },
            "Z" => EventKind::EndReceived {
                end: self.end()?,
                bytes: self.number()?,
            },
            "X" => EventKind::Closed {
                end: self.end()?,
                sent: self.number()?,
                received: self.number()?,
            },
            _ => return Err(self.wrong()),
        })
    }

    fn end(&mut self) -> Result<End, String> {
        let local = self.port()?;
        let (peer, nth) = (self.addr()?, self.number()?);
        Ok(End {
            local: self.group.own(local),
            peer,
            dialed: nth % 2 == 1,
            nth: nth / 2,
        })
    }

    fn addr(&mut self) -> Result<Addr, String> {
        let place = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        let name = self.group.names.get(place).ok_or_else(|| self.wrong())?;
        let (network, name) = (Arc::clone(&self.group.network), Arc::clone(name));
        Ok(Addr::unchecked(network, name, self.port()?))
    }

    fn port(&mut self) -> Result<u16, String> {
        let number = self.number()?;
        u16::try_from(number).map_err(|_| self.wrong())
    }

    fn number(&mut self) -> Result<u64, String> {
        let word = self.words.next().filter(|word| !word.is_empty());
        let number = word.and_then(|word| {
            word.bytes().rev().try_fold(0_u64, |number, digit| {
                number.checked_mul(64)?.checked_add(value(digit)?)
            })
        });
        number.ok_or_else(|| self.wrong())
    }

    fn wrong(&self) -> String {
        let shown: String = self.line.chars().take(80).collect();
        format!("expected a letter and numbers of an event, got {shown:?}")
    }
}

/// What a digit stands for.
fn value(digit: u8) -> Option<u64> {
    let value = match digit {
        b'0'..=b'9' => digit - b'0',
        b'A'..=b'Z' => digit - b'A' + 10,
        b'a'..=b'z' => digit - b'a' + 36,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(u64::from(value))
}
