//! The members of a line of a trace file.
//!
//! Owns which members each kind of event has, and the error for one that is missing or wrong. Never reads a
//! file.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::trace::event::{End, Event, EventKind};
use crate::{Addr, Cause};

/// One line.
pub(in crate::trace) struct Fields<'a>(pub(in crate::trace) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn wrong(&self, key: &str, expected: &str) -> String {
        match self.0.get(key) {
            Some(value) => format!("expected {expected} as {key:?}, got {value}"),
            None => format!("expected {expected} as {key:?}, got none"),
        }
    }

    pub(in crate::trace) fn text(&self, key: &str) -> Result<&'a str, String> {
        let text = self.0.get(key).and_then(Value::as_str);
        text.ok_or_else(|| self.wrong(key, "a text"))
    }

    pub(in crate::trace) fn number(&self, key: &str) -> Result<u64, String> {
        let number = self.0.get(key).and_then(Value::as_u64);
        number.ok_or_else(|| self.wrong(key, "a number"))
    }

    fn flag(&self, key: &str) -> Result<bool, String> {
        let flag = self.0.get(key).and_then(Value::as_bool);
        flag.ok_or_else(|| self.wrong(key, "true or false"))
    }

    pub(in crate::trace) fn texts(&self, key: &str) -> Result<Vec<Arc<str>>, String> {
        let texts = self.0.get(key).and_then(Value::as_array);
        let texts = texts.and_then(|texts| {
            texts
                .iter()
                .map(|text| text.as_str().map(Arc::from))
                .collect()
        });
        texts.ok_or_else(|| self.wrong(key, "a list of texts"))
    }

    /// Bytes, as two hexadecimal digits each.
    fn hex(&self, key: &str) -> Result<Arc<[u8]>, String> {
        let digit = |digit: &u8| char::from(*digit).to_digit(16);
        let byte = |pair: &[u8]| match pair {
            [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
            _ => None,
        };
        let bytes = self.text(key)?.as_bytes().chunks(2).map(byte).collect();
        let bytes: Option<Vec<_>> = bytes;
        let bytes = bytes.ok_or_else(|| self.wrong(key, "hexadecimal digits"))?;
        Ok(bytes.into())
    }

    fn addr(&self, network: &Arc<str>, key: &str) -> Result<Addr, String> {
        let addr = Addr::parse(Arc::clone(network), self.text(key)?);
        addr.map_err(|err| err.to_string())
    }

    fn cause(&self) -> Result<Cause, String> {
        let cause = Cause::from_name(self.text("cause")?);
        cause.ok_or_else(|| self.wrong("cause", "a cause such as connection_refused"))
    }

    fn end(&self, network: &Arc<str>) -> Result<End, String> {
        Ok(End {
            local: self.addr(network, "local")?,
            peer: self.addr(network, "peer")?,
            dialed: self.flag("dialed")?,
            nth: self.number("nth")?,
        })
    }

    /// Seconds and nine digits.
    pub(in crate::trace) fn time(&self, key: &str) -> Result<Duration, String> {
        let time = self.text(key)?.split_once('.');
        let time = time.filter(|(_, nanos)| {
            nanos.len() == 9 && nanos.bytes().all(|digit| digit.is_ascii_digit())
        });
        let time = time
            .and_then(|(seconds, nanos)| Some((seconds.parse().ok()?, nanos.parse().ok()?)))
            .map(|(seconds, nanos)| Duration::new(seconds, nanos));
        time.ok_or_else(|| self.wrong(key, "seconds with nine decimals"))
    }

    pub(in crate::trace) fn event(&self, network: &Arc<str>) -> Result<Event, String> {
        Ok(Event {
            host: self.text("host")?.into(),
            number: self.number("number")?,
            wall: self.time("wall")?,
            elapsed: Duration::from_nanos(self.number("elapsed_ns")?),
            kind: self.kind(network)?,
        })
    }

    fn kind(&self, network: &Arc<str>) -> Result<EventKind, String> {
        let addr = |key| self.addr(network, key);
        let end = || self.end(network);
        let bytes = || self.number("bytes");
        Ok(match self.text("event")? {
            "host_made" => EventKind::HostMade,
            "host_closed" => EventKind::HostClosed,
            "host_crashed" => EventKind::HostCrashed,
            "host_lost" => EventKind::HostLost,
            "listening" => EventKind::Listening {
                addr: addr("addr")?,
            },
            "listener_closed" => EventKind::ListenerClosed {
                addr: addr("addr")?,
            },
            "dialing" => EventKind::Dialing {
                src: addr("src")?,
                dst: addr("dst")?,
                first: self.number("first")?,
            },
            "connected" => EventKind::Connected {
                end: end()?,
                dst: addr("dst")?,
            },
            "dial_failed" => EventKind::DialFailed {
                src: addr("src")?,
                dst: addr("dst")?,
                cause: self.cause()?,
            },
            "dial_given_up" => EventKind::DialGivenUp {
                src: addr("src")?,
                dst: addr("dst")?,
            },
            "accepted" => EventKind::Accepted {
                end: end()?,
                listener: addr("listener")?,
            },
            "first_byte_sent" => EventKind::FirstByteSent { end: end()? },
            "first_byte_received" => EventKind::FirstByteReceived { end: end()? },
            "data" => EventKind::Data {
                end: end()?,
                sent: self.flag("sent")?,
                offset: self.number("offset")?,
                len: self.number("len")?,
                bytes: self.hex("hex")?,
            },
            "end_sent" => EventKind::EndSent {
                end: end()?,
                bytes: bytes()?,
            },
            "end_received" => EventKind::EndReceived {
                end: end()?,
                bytes: bytes()?,
            },
            "read_failed" => EventKind::ReadFailed {
                end: end()?,
                bytes: bytes()?,
                cause: self.cause()?,
            },
            "write_failed" => EventKind::WriteFailed {
                end: end()?,
                bytes: bytes()?,
                cause: self.cause()?,
            },
            "closed" => EventKind::Closed {
                end: end()?,
                sent: self.number("sent")?,
                received: self.number("received")?,
            },
            _ => return self.kind_without_addr(),
        })
    }

    fn kind_without_addr(&self) -> Result<EventKind, String> {
        Ok(match self.text("event")? {
            "faults_in_force" => EventKind::FaultsInForce {
                version: self.number("version")?,
                rules: self.texts("rules")?,
            },
            "fault_counted" => EventKind::FaultCounted {
                rule: self.text("rule")?.into(),
                matched: self.number("matched")?,
                hit: self.number("hit")?,
            },
            "note" => EventKind::Note {
                text: self.text("text")?.into(),
            },
            _ => return Err(self.wrong("event", "an event such as dialing")),
        })
    }
}
