//! The recorder of one subnetwork: the events of its hosts, in memory and in a file.
//!
//! Owns [`Recorder`], [`Recording`], the numbers of events, and the limit of what is kept. Never knows what
//! an event means, and never orders events: their numbers do.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::trace::event::{Event, EventKind};
use crate::trace::file::{Header, TraceFile, TraceFileError};
use crate::trace::merge::Record;
use crate::{Addr, Failure};

/// How many events of a subnetwork are kept in memory, unless another number is set.
pub const DEFAULT_EVENTS: usize = 65_536;

/// The most bytes of one write or read that are recorded.
pub const MAX_PAYLOAD: usize = 64 << 10;

/// How a subnetwork records ([`SubNetwork::record_with`](crate::SubNetwork::record_with)).
///
/// ```
/// use virtnet_core::trace::Recording;
///
/// let recording = Recording::new().events(10_000).dir("target/traces");
/// # let _ = recording;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Recording {
    events: usize,
    payload: usize,
    dir: Option<PathBuf>,
}

impl Recording {
    /// Keeps [`DEFAULT_EVENTS`] events in memory, and writes no file.
    pub fn new() -> Recording {
        Recording {
            events: DEFAULT_EVENTS,
            payload: 0,
            dir: None,
        }
    }

    /// How many events are kept in memory. An event takes some 200 bytes; memory is taken when events come.
    ///
    /// Once so many are kept, *later* ones are dropped and counted ([`Record::dropped`]): the
    /// causes of what is kept are kept, too.
    pub fn events(mut self, most: usize) -> Recording {
        self.events = most;
        self
    }

    /// Also records each write and read of a connection, with the first `most` of its bytes
    /// ([`EventKind::Data`]), at most [`MAX_PAYLOAD`]. By default none: what programs send may be secret, and
    /// takes space. The first bytes of a dial are none of them.
    pub fn payload(mut self, most: usize) -> Recording {
        self.payload = most.min(MAX_PAYLOAD);
        self
    }

    /// Also writes all events to a new file in `dir`, which is created if it is missing:
    /// `NETWORK-PID-N.jsonl`, in which `N` is the lowest number that gives a new name.
    ///
    /// A file has at most [`MAX_FILE`](crate::trace::MAX_FILE) bytes; events after that are dropped and counted in
    /// its last line, whatever is kept in memory. It is written every 50 ms, and completed
    /// when the subnetwork has closed: a process that is killed loses the events of its last
    /// 50 ms, and its file has no last line.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Recording {
        self.dir = Some(dir.into());
        self
    }
}

impl Default for Recording {
    fn default() -> Recording {
        Recording::new()
    }
}

/// What one subnetwork records.
pub(crate) struct Recorder {
    network: Arc<str>,
    /// Read before anything else is done.
    on: AtomicBool,
    /// How many bytes of a write or read are recorded.
    payload: AtomicUsize,
    start: OnceLock<Start>,
    hosts: Mutex<HashMap<Arc<str>, Arc<Numbers>>>,
    /// Held to add an event.
    kept: Mutex<Kept>,
}

/// When and as what a subnetwork began to record.
struct Start {
    process: Arc<str>,
    wall: Duration,
    at: Instant,
}

/// What is recorded.
#[derive(Default)]
struct Kept {
    events: Vec<Event>,
    most: usize,
    dropped: u64,
    file: Option<TraceFile>,
}

/// The numbers of the events of one host name, also if a host of that name is made again.
#[derive(Default)]
pub(crate) struct Numbers {
    last: AtomicU64,
    /// How many connections there were between a port and a peer.
    connections: Mutex<HashMap<(u16, Addr), u64>>,
}

impl Numbers {
    /// The number of the next event. What happens later gets a larger one, on whichever thread.
    pub(crate) fn next(&self) -> u64 {
        self.last.fetch_add(1, Relaxed) + 1
    }

    /// Counts a connection between a port and `peer`.
    pub(crate) fn next_connection(&self, port: u16, peer: &Addr) -> u64 {
        let mut connections = self.connections.lock();
        let nth = connections.entry((port, peer.clone())).or_default();
        *nth += 1;
        *nth
    }
}

impl Recorder {
    /// A recorder that is off.
    pub(crate) fn new(network: Arc<str>) -> Recorder {
        Recorder {
            network,
            on: AtomicBool::new(false),
            payload: AtomicUsize::new(0),
            start: OnceLock::new(),
            hosts: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// Whether it records.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// How many bytes of a write or read are recorded; 0 if writes and reads are not.
    pub(crate) fn payload(&self) -> usize {
        self.payload.load(Relaxed)
    }

    /// Begins to record, or changes how. Returns the path of a new file.
    pub(crate) fn start(&self, recording: &Recording) -> Result<Option<PathBuf>, TraceFileError> {
        let start = self.start.get_or_init(Start::now);
        let mut kept = self.kept.lock();
        let path = match (&recording.dir, &kept.file) {
            (None, _) => None,
            (Some(_), Some(file)) => return Err(TraceFileError::there_is_one(file.path())),
            (Some(dir), None) => {
                let file = self.create(dir, start)?;
                let path = file.path().to_owned();
                kept.file = Some(file);
                Some(path)
            }
        };
        kept.most = recording.events;
        self.payload.store(recording.payload, Relaxed);
        self.on.store(true, Relaxed);
        Ok(path)
    }

    fn create(&self, dir: &Path, start: &Start) -> Result<TraceFile, TraceFileError> {
        let header = Header {
            network: &self.network,
            process: &start.process,
        };
        TraceFile::create(dir, &header)
    }

    /// The numbers of the host `name`.
    pub(crate) fn numbers(&self, name: &Arc<str>) -> Arc<Numbers> {
        let mut hosts = self.hosts.lock();
        Arc::clone(hosts.entry(Arc::clone(name)).or_default())
    }

    /// Records that `kind` has happened at `host`.
    pub(crate) fn add(&self, host: &Arc<str>, number: u64, kind: EventKind) {
        let Some(start) = self.start.get() else {
            return;
        };
        let elapsed = start.at.elapsed();
        let event = Event {
            host: Arc::clone(host),
            number,
            wall: start.wall + elapsed,
            elapsed,
            kind,
        };
        let mut kept = self.kept.lock();
        if let Some(file) = &kept.file {
            file.add(event.clone());
        }
        match kept.events.len() < kept.most {
            true => kept.events.push(event),
            false => kept.dropped += 1,
        }
    }

    /// What has been recorded so far.
    pub(crate) fn record(&self) -> Record {
        let start = self.start.get();
        let kept = self.kept.lock();
        Record {
            network: Arc::clone(&self.network),
            process: start.map_or_else(|| Arc::from(""), |start| Arc::clone(&start.process)),
            events: kept.events.clone(),
            dropped: kept.dropped,
        }
    }

    /// Whether a file is being written.
    pub(crate) fn has_file(&self) -> bool {
        self.kept.lock().file.is_some()
    }

    /// Completes the file, if there is one: what is recorded later is only kept in memory. Waits until it
    /// is written.
    pub(crate) fn finish_file(&self) -> Result<(), Failure> {
        let file = self.kept.lock().file.take();
        match file {
            Some(file) => file.finish().map_err(Failure::other),
            None => Ok(()),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Err(why) = self.finish_file() {
            tracing::error!(%why, "the trace is incomplete");
        }
    }
}

impl Start {
    fn now() -> Start {
        let at = Instant::now();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        // The system seeds RandomState: processes on several machines may have one number.
        let bits = RandomState::new().build_hasher().finish();
        Start {
            process: format!("{}-{bits:016x}", std::process::id()).into(),
            wall: wall.unwrap_or_default(),
            at,
        }
    }
}
