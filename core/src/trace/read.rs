//! Trace files, read again.
//!
//! Owns which lines a file may have, and what is said about one that is damaged. Never merges records.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::trace::event::{End, Event, EventKind};
use crate::trace::merge::Record;
use crate::trace::write::FILE_VERSION;
use crate::{Addr, Cause};

/// The most bytes of a line.
const MAX_LINE: u64 = 16 << 20;

/// How much of a damaged line an error shows, in characters.
const SHOWN: usize = 80;

/// What a trace file has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordFile {
    /// One record; of a merged trace, one for each subnetwork in it; none, if the file is empty.
    pub records: Vec<Record>,
    /// How the file ends.
    pub end: FileEnd,
    /// It is a merged trace.
    pub merged: bool,
}

/// How a trace file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileEnd {
    /// With its last line: all that was recorded is there, but for what was dropped.
    Complete,
    /// Without it: its process still runs, or was killed.
    Open,
    /// In the middle of a line, which is left out.
    Cut {
        /// The line's number, from 1.
        line: usize,
    },
}

/// A trace file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub struct ReadError {
    path: Option<PathBuf>,
    line: Option<usize>,
    problem: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("trace file")?;
        if let Some(path) = &self.path {
            write!(f, " {path:?}")?;
        }
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// Reads a trace file.
///
/// # Errors
///
/// [`ReadError`] with the line, if it is damaged; a last line that was cut is none, as a process that is killed may leave
/// it.
pub fn read(path: &Path) -> Result<RecordFile, ReadError> {
    let at = |mut err: ReadError| {
        err.path = Some(path.to_owned());
        err
    };
    let file = File::open(path).map_err(|err| at(ReadError::whole(err.to_string())))?;
    read_lines(BufReader::new(file)).map_err(at)
}

/// Reads the lines of a trace file.
///
/// # Errors
///
/// Those of [`read`].
pub fn read_text(text: &str) -> Result<RecordFile, ReadError> {
    read_lines(text.as_bytes())
}

impl ReadError {
    fn whole(problem: String) -> ReadError {
        ReadError {
            path: None,
            line: None,
            problem,
        }
    }
}

/// The lines so far.
struct Lines {
    network: Arc<str>,
    /// Of the first line; `None` in a merged trace, in which each event has its own.
    process: Option<Arc<str>>,
    records: Vec<Record>,
    places: HashMap<Arc<str>, usize>,
    complete: bool,
}

fn read_lines(mut from: impl BufRead) -> Result<RecordFile, ReadError> {
    let mut lines: Option<Lines> = None;
    let mut bytes = Vec::new();
    for line in 1.. {
        let damaged = |problem: String| ReadError {
            line: Some(line),
            ..ReadError::whole(problem)
        };
        bytes.clear();
        let read = (&mut from).take(MAX_LINE).read_until(b'\n', &mut bytes);
        let read = read.map_err(|err| damaged(err.to_string()))?;
        if read == 0 {
            return Ok(match lines {
                None => RecordFile {
                    records: Vec::new(),
                    end: FileEnd::Cut { line },
                    merged: false,
                },
                Some(lines) => lines.end(None),
            });
        }
        let ended = bytes.last() == Some(&b'\n');
        if !ended && read as u64 == MAX_LINE {
            return Err(damaged(format!("expected at most {MAX_LINE} bytes")));
        }
        let Some(object) = object(&bytes) else {
            if let (false, Some(lines)) = (ended, lines) {
                return Ok(lines.end(Some(line)));
            }
            let shown = String::from_utf8_lossy(&bytes);
            let shown: String = shown.trim_end().chars().take(SHOWN).collect();
            return Err(damaged(format!("expected a JSON object, got {shown:?}")));
        };
        let fields = Fields(&object);
        match &mut lines {
            None => lines = Some(Lines::new(&fields).map_err(damaged)?),
            Some(lines) => lines.add(&fields).map_err(damaged)?,
        }
    }
    unreachable!("a file has an end")
}

fn object(line: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(line) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

impl Lines {
    fn new(first: &Fields<'_>) -> Result<Lines, String> {
        match first.number("virtnet_trace")? {
            FILE_VERSION => {}
            other => return Err(format!("expected version {FILE_VERSION}, got {other}")),
        }
        let process = match first.0.get("merged") {
            Some(Value::Bool(true)) => None,
            _ => Some(Arc::from(first.text("process")?)),
        };
        let mut lines = Lines {
            network: first.text("network")?.into(),
            process: process.clone(),
            records: Vec::new(),
            places: HashMap::new(),
            complete: false,
        };
        if let Some(process) = process {
            lines.record(process);
        }
        Ok(lines)
    }

    fn record(&mut self, process: Arc<str>) -> &mut Record {
        let place = *self.places.entry(process).or_insert_with_key(|process| {
            self.records.push(Record {
                network: Arc::clone(&self.network),
                process: Arc::clone(process),
                events: Vec::new(),
                dropped: 0,
            });
            self.records.len() - 1
        });
        &mut self.records[place]
    }

    fn add(&mut self, fields: &Fields<'_>) -> Result<(), String> {
        if self.complete {
            return Err("expected nothing after the last line".to_owned());
        }
        if fields.0.contains_key("end") {
            self.complete = true;
            let dropped = fields.number("dropped")?;
            if let Some(record) = self.records.first_mut() {
                record.dropped = dropped;
            }
            return Ok(());
        }
        let process = match &self.process {
            Some(process) => Arc::clone(process),
            None => fields.text("process")?.into(),
        };
        let event = fields.event(&self.network)?;
        self.record(process).events.push(event);
        Ok(())
    }

    fn end(self, cut: Option<usize>) -> RecordFile {
        let end = match (cut, self.complete) {
            (Some(line), _) => FileEnd::Cut { line },
            (None, true) => FileEnd::Complete,
            (None, false) => FileEnd::Open,
        };
        RecordFile {
            records: self.records,
            end,
            merged: self.process.is_none(),
        }
    }
}

/// One line.
struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn wrong(&self, key: &str, expected: &str) -> String {
        match self.0.get(key) {
            Some(value) => format!("expected {expected} as {key:?}, got {value}"),
            None => format!("expected {expected} as {key:?}, got none"),
        }
    }

    fn text(&self, key: &str) -> Result<&'a str, String> {
        let text = self.0.get(key).and_then(Value::as_str);
        text.ok_or_else(|| self.wrong(key, "a text"))
    }

    fn number(&self, key: &str) -> Result<u64, String> {
        let number = self.0.get(key).and_then(Value::as_u64);
        number.ok_or_else(|| self.wrong(key, "a number"))
    }

    fn flag(&self, key: &str) -> Result<bool, String> {
        let flag = self.0.get(key).and_then(Value::as_bool);
        flag.ok_or_else(|| self.wrong(key, "true or false"))
    }

    fn texts(&self, key: &str) -> Result<Vec<Arc<str>>, String> {
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
    fn wall(&self) -> Result<Duration, String> {
        let time = self.text("wall")?.split_once('.');
        let time = time.filter(|(_, nanos)| {
            nanos.len() == 9 && nanos.bytes().all(|digit| digit.is_ascii_digit())
        });
        let time = time
            .and_then(|(seconds, nanos)| Some((seconds.parse().ok()?, nanos.parse().ok()?)))
            .map(|(seconds, nanos)| Duration::new(seconds, nanos));
        time.ok_or_else(|| self.wrong("wall", "seconds with nine decimals"))
    }

    fn event(&self, network: &Arc<str>) -> Result<Event, String> {
        Ok(Event {
            host: self.text("host")?.into(),
            number: self.number("number")?,
            wall: self.wall()?,
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
