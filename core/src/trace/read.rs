//! Trace files, read again.
//!
//! Owns which lines a file may have, and what is said about one that is damaged. Never merges records.

pub(super) mod fields;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use self::fields::Fields;
use crate::trace::merge::Record;
use crate::trace::write::FILE_VERSION;

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

/// The object in a line, if it is one.
pub(super) fn object(line: &[u8]) -> Option<Map<String, Value>> {
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
