//! The file of what one subnetwork records, written while it is recorded.
//!
//! Owns [`TraceFile`]: the file, its thread, and the events that wait to be written. Never keeps a caller
//! waiting for the disk, except when it is completed.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::trace::event::Event;
use crate::trace::write::{event_line, first_line, last_line};

/// The most bytes of one trace file.
pub const MAX_FILE: u64 = 1 << 30;

/// The extension of trace files.
pub(super) const EXTENSION: &str = "jsonl";

/// How long events wait for others to be written with them.
const EVERY: Duration = Duration::from_millis(50);

/// How many events wait at most, if the disk is slow.
const MAX_PENDING: usize = 65_536;

/// How many bytes are written at once.
const CHUNK: usize = 256 << 10;

/// How many names are tried for a new file.
const MAX_NAMES: u32 = 100_000;

/// A subnetwork that cannot record as it was asked to: its file cannot be written, or its registry has no live trace.
#[derive(Debug, thiserror::Error)]
pub struct RecordError {
    path: Option<PathBuf>,
    problem: Problem,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "trace file {path:?}: ")?;
        }
        self.problem.fmt(f)
    }
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("expected a subnetwork without a trace file, got one that writes this file")]
    ThereIsOne,
    #[error("expected at most {MAX_NAMES} files of one process and network in its folder")]
    TooMany,
    #[error("expected a registry with a live trace, got one without")]
    NotShared,
}

impl RecordError {
    fn new(path: &Path, problem: impl Into<Problem>) -> RecordError {
        RecordError {
            path: Some(path.to_owned()),
            problem: problem.into(),
        }
    }

    pub(crate) fn not_shared() -> RecordError {
        RecordError {
            path: None,
            problem: Problem::NotShared,
        }
    }

    pub(super) fn there_is_one(path: &Path) -> RecordError {
        RecordError::new(path, Problem::ThereIsOne)
    }

    /// The file or folder, if it is about one.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

/// What the first line says.
pub(super) struct Header<'a> {
    pub(super) network: &'a str,
    pub(super) process: &'a str,
}

/// A file that is being written, by a thread that [`finish`](TraceFile::finish) ends.
pub(super) struct TraceFile {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<(), RecordError>>,
}

struct Shared {
    path: PathBuf,
    waiting: Mutex<Waiting>,
    /// Something waits, or it is to be completed.
    told: Condvar,
}

#[derive(Default)]
struct Waiting {
    events: Vec<Event>,
    /// Nothing more will come.
    over: bool,
    /// Events that were not written.
    dropped: u64,
    /// Nothing can be written any more.
    failed: bool,
}

impl TraceFile {
    /// Creates a file in `dir`, and the folder if need be.
    pub(super) fn create(dir: &Path, header: &Header<'_>) -> Result<TraceFile, RecordError> {
        fs::create_dir_all(dir).map_err(|err| RecordError::new(dir, err))?;
        let (path, file) = create_new(dir, header.network)?;
        let mut writer = Writer::new(file);
        first_line(header.network, header.process, &mut writer.lines);
        // A process that is killed at once leaves a file that can be read.
        writer.write().map_err(|err| RecordError::new(&path, err))?;
        let shared = Arc::new(Shared {
            path,
            waiting: Mutex::default(),
            told: Condvar::new(),
        });
        let writing = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("virtnet-trace".to_owned())
            .spawn(move || writing.run(writer))
            .map_err(|err| RecordError::new(&shared.path, err))?;
        Ok(TraceFile { shared, thread })
    }

    pub(super) fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Has an event written soon.
    pub(super) fn add(&self, event: Event) {
        let mut waiting = self.shared.waiting.lock();
        if waiting.failed || waiting.events.len() >= MAX_PENDING {
            waiting.dropped += 1;
            return;
        }
        waiting.events.push(event);
        if waiting.events.len() == 1 {
            self.shared.told.notify_one();
        }
    }

    /// Writes what waits, and the last line.
    pub(super) fn finish(self) -> Result<(), RecordError> {
        self.shared.waiting.lock().over = true;
        self.shared.told.notify_one();
        let panicked = || RecordError::new(&self.shared.path, io::Error::other("it panicked"));
        self.thread.join().unwrap_or_else(|_| Err(panicked()))
    }
}

impl Shared {
    /// Writes what comes, until nothing more will.
    fn run(&self, mut writer: Writer) -> Result<(), RecordError> {
        let mut failure = None;
        loop {
            let (events, over) = self.next();
            if failure.is_none()
                && let Err(err) = writer.write_all(&events)
            {
                tracing::error!(file = %self.path.display(), %err, "the trace ends here");
                failure = Some(err);
                self.waiting.lock().failed = true;
            }
            if !over {
                continue;
            }
            let dropped = self.waiting.lock().dropped + writer.left_out;
            last_line(dropped, &mut writer.lines);
            let done = match failure {
                None => writer.write(),
                Some(err) => Err(err),
            };
            return done.map_err(|err| RecordError::new(&self.path, err));
        }
    }

    /// Waits for events, and a little for others. Returns them, and whether they are the last.
    fn next(&self) -> (Vec<Event>, bool) {
        let mut waiting = self.waiting.lock();
        while waiting.events.is_empty() && !waiting.over {
            self.told.wait(&mut waiting);
        }
        if !waiting.over {
            self.told.wait_for(&mut waiting, EVERY);
        }
        (std::mem::take(&mut waiting.events), waiting.over)
    }
}

/// A file, and the lines that are written next.
struct Writer {
    file: File,
    lines: String,
    bytes: u64,
    /// Events for which there was no space.
    left_out: u64,
}

impl Writer {
    fn new(file: File) -> Writer {
        Writer {
            file,
            lines: String::new(),
            bytes: 0,
            left_out: 0,
        }
    }

    fn write_all(&mut self, events: &[Event]) -> io::Result<()> {
        for event in events {
            if self.bytes + self.lines.len() as u64 >= MAX_FILE {
                self.left_out += 1;
                continue;
            }
            event_line(event, &mut self.lines);
            if self.lines.len() >= CHUNK {
                self.write()?;
            }
        }
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.write_all(self.lines.as_bytes())?;
        self.bytes += self.lines.len() as u64;
        self.lines.clear();
        Ok(())
    }
}

/// A new file, of a name that no other process has.
fn create_new(dir: &Path, network: &str) -> Result<(PathBuf, File), RecordError> {
    let (network, process) = (in_file_name(network), std::process::id());
    for number in 1..=MAX_NAMES {
        let path = dir.join(format!("{network}-{process}-{number}.{EXTENSION}"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
            Err(err) => return Err(RecordError::new(&path, err)),
        }
    }
    Err(RecordError::new(dir, Problem::TooMany))
}

/// The network's name as a part of a file's name: letters, digits and a few others stay, the rest becomes
/// `_`. Long names are clipped: the first line has the whole name.
fn in_file_name(network: &str) -> String {
    const MOST: usize = 150;
    let mut name = String::new();
    for c in network.chars() {
        let c = match c.is_alphanumeric() || matches!(c, '-' | '_' | '.') {
            true => c,
            false => '_',
        };
        if name.len() + c.len_utf8() > MOST {
            break;
        }
        name.push(c);
    }
    match name.starts_with('.') {
        true => name.replacen('.', "_", 1),
        false => name,
    }
}
