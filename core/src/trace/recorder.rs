//! The recorder of one subnetwork: the events of its hosts, in memory and in a file.
//!
//! Owns [`Recorder`], [`Recording`], and the limit of what is kept. Never knows what an event means, and never
//! orders events: their numbers do.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Failure;
use crate::trace::file::{Header, RecordError, TraceFile};
use crate::trace::host_log::{CompactKind, HostLog};
use crate::trace::live::compact::Unsent;
use crate::trace::live::outbox::Outbox;
use crate::trace::merge::Record;
use crate::trace::space::Space;

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
    live: bool,
}

impl Recording {
    /// Keeps [`DEFAULT_EVENTS`] events in memory, and writes no file.
    pub fn new() -> Recording {
        Recording {
            events: DEFAULT_EVENTS,
            payload: 0,
            dir: None,
            live: false,
        }
    }

    /// How many events are kept in memory, about: each host takes space for 64 at once. An event takes
    /// some 60 bytes; memory is taken when events come.
    ///
    /// Once so many are kept, *later* ones are dropped and counted ([`Record::dropped`]): the
    /// causes of what is kept are kept, too.
    pub fn events(mut self, most: usize) -> Recording {
        self.events = most;
        self
    }

    /// Also records each write and read of a connection, with the first `most` of its bytes
    /// ([`EventKind::Data`](crate::trace::EventKind::Data)), at most [`MAX_PAYLOAD`]. By default none: what programs send may be secret, and
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

    /// Also sends all events to the network's live trace, at the registry, where any process of the network
    /// reads them (`LiveTrace`, with the feature `trace-files`). They are sent every 20 ms, by the subnetwork's
    /// task. If the registry is slow or down, up to 32,768 events wait; those after that are
    /// dropped and counted. A host is made when the registry knows that this subnetwork sends.
    ///
    /// The last events are sent when the subnetwork closes, within 3 s. A process that is killed loses the
    /// events of its last 20 ms.
    pub fn live(mut self) -> Recording {
        self.live = true;
        self
    }

    pub(crate) fn is_live(&self) -> bool {
        self.live
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
    hosts: Mutex<BTreeMap<Arc<str>, Arc<HostLog>>>,
    /// For how many more events there is space.
    space: Space,
    dropped: AtomicU64,
    has_file: AtomicBool,
    file: Mutex<Option<TraceFile>>,
    outbox: OnceLock<Outbox>,
    /// There is an outbox.
    has_outbox: Notify,
}

/// When and as what a subnetwork began to record.
struct Start {
    process: Arc<str>,
    wall: Duration,
    at: Instant,
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
            space: Space::default(),
            dropped: AtomicU64::new(0),
            has_file: AtomicBool::new(false),
            file: Mutex::default(),
            outbox: OnceLock::new(),
            has_outbox: Notify::new(),
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

    /// Begins to record, or changes how: then there is space for so many more events. Returns the path of a new
    /// file.
    pub(crate) fn start(&self, recording: &Recording) -> Result<Option<PathBuf>, RecordError> {
        let start = self.start.get_or_init(Start::now);
        let mut file = self.file.lock();
        let path = match (&recording.dir, &*file) {
            (None, _) => None,
            (Some(_), Some(file)) => return Err(RecordError::there_is_one(file.path())),
            (Some(dir), None) => {
                let created = self.create(dir, start)?;
                let path = created.path().to_owned();
                *file = Some(created);
                self.has_file.store(true, Relaxed);
                Some(path)
            }
        };
        self.space.set(recording.events);
        self.payload.store(recording.payload, Relaxed);
        if recording.live {
            self.outbox.get_or_init(Outbox::default);
            self.has_outbox.notify_one();
        }
        self.on.store(true, Relaxed);
        Ok(path)
    }

    fn create(&self, dir: &Path, start: &Start) -> Result<TraceFile, RecordError> {
        let header = Header {
            network: &self.network,
            process: &start.process,
        };
        TraceFile::create(dir, &header)
    }

    /// The log of the host `name`.
    pub(crate) fn log(&self, name: &Arc<str>) -> Arc<HostLog> {
        let mut hosts = self.hosts.lock();
        let log = hosts
            .entry(Arc::clone(name))
            .or_insert_with(|| Arc::new(HostLog::new(&self.network, name)));
        Arc::clone(log)
    }

    /// Records that `kind` has happened at a host.
    pub(crate) fn add(&self, log: &HostLog, number: u64, kind: CompactKind) {
        let Some(start) = self.start.get() else {
            return;
        };
        let elapsed = start.at.elapsed();
        if self.has_file.load(Relaxed) {
            let event = log.whole(number, (start.wall, elapsed), &kind);
            if let Some(file) = &*self.file.lock() {
                file.add(event);
            }
        }
        let outbox = self.outbox.get();
        if !log.add(number, elapsed, kind, outbox, || self.space.take()) {
            self.drop_one();
        }
        if let Some(outbox) = outbox {
            outbox.tell();
        }
    }

    /// No host gets space for more events.
    pub(crate) fn is_full(&self) -> bool {
        let is_in_memory_only = || !self.has_file.load(Relaxed) && self.outbox.get().is_none();
        self.space.is_taken() && is_in_memory_only()
    }

    /// Counts an event that nothing is remembered for.
    pub(crate) fn drop_one(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    /// What has been recorded so far.
    pub(crate) fn record(&self) -> Record {
        let start = self.start.get();
        let hosts: Vec<_> = self.hosts.lock().values().cloned().collect();
        let wall = start.map_or(Duration::ZERO, |start| start.wall);
        let mut events: Vec<_> = hosts.iter().flat_map(|log| log.events(wall)).collect();
        events.sort_by_key(|event| event.elapsed);
        Record {
            network: Arc::clone(&self.network),
            process: start.map_or_else(|| Arc::from(""), |start| Arc::clone(&start.process)),
            events,
            dropped: self.dropped.load(Relaxed),
        }
    }

    /// The network, and how this subnetwork is told from its others, once it records.
    pub(crate) fn names(&self) -> Option<(Arc<str>, Arc<str>)> {
        let process = &self.start.get()?.process;
        Some((Arc::clone(&self.network), Arc::clone(process)))
    }

    /// When it began to record: since 1970, by the machine's clock.
    pub(crate) fn began(&self) -> Duration {
        self.start.get().map_or(Duration::ZERO, |start| start.wall)
    }

    /// What waits to be sent, if it records live.
    pub(crate) fn outbox(&self) -> Option<&Outbox> {
        self.outbox.get()
    }

    /// Waits until it records live. One task may wait.
    pub(crate) async fn outbox_made(&self) -> &Outbox {
        loop {
            match self.outbox.get() {
                Some(outbox) => return outbox,
                None => self.has_outbox.notified().await,
            }
        }
    }

    /// Takes the events that wait to be sent, of each host.
    pub(crate) fn take_unsent(&self) -> Vec<Unsent> {
        let Some(outbox) = self.outbox.get() else {
            return Vec::new();
        };
        let hosts: Vec<_> = self.hosts.lock().values().cloned().collect();
        let unsent = hosts.into_iter().map(|log| Unsent {
            events: log.take_unsent(outbox).into(),
            log,
        });
        unsent.filter(|unsent| !unsent.events.is_empty()).collect()
    }

    /// Whether a file is being written.
    pub(crate) fn has_file(&self) -> bool {
        self.has_file.load(Relaxed)
    }

    /// Completes the file, if there is one: what is recorded later is only kept in memory. Waits until it
    /// is written.
    pub(crate) fn finish_file(&self) -> Result<(), Failure> {
        let file = self.file.lock().take();
        self.has_file.store(false, Relaxed);
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
