//! What a host tells its subnetwork's recorder.
//!
//! Owns [`HostTrace`] and [`DialTrace`]: which events a host and its dials have, and that an event gets its number before what
//! it causes can leave the host. Never stores an event: the recorder does.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::trace::conn_trace::{AcceptTrace, ConnTrace};
use crate::trace::event::EventKind;
use crate::trace::host_log::{CompactEnd, CompactKind, HostLog, Peer};
use crate::trace::recorder::Recorder;
use crate::{Addr, Cause};

/// The most bytes of a note ([`Host::note`](crate::Host::note)); longer ones are clipped.
pub const MAX_NOTE: usize = 4_096;

/// How a host tells the recorder what happens.
pub(crate) struct HostTrace {
    recorder: Arc<Recorder>,
    name: Arc<str>,
    /// Found when something is recorded first.
    log: OnceLock<Arc<HostLog>>,
    life: Mutex<Life>,
}

/// The parts of a host's life that are recorded once.
#[derive(Default)]
struct Life {
    made: bool,
    /// How it ended, with the number of that event.
    ended: Option<(Option<u64>, EventKind)>,
    /// How it will have ended, if not by a close.
    ends_as: Option<EventKind>,
    /// The generation of the rules that were recorded last.
    faults: u64,
}

/// Rules that are in force.
pub(crate) struct RulesInForce {
    /// Larger with each change.
    pub(crate) generation: u64,
    pub(crate) version: u64,
    pub(crate) rules: Vec<Arc<str>>,
}

impl HostTrace {
    pub(crate) fn new(recorder: &Arc<Recorder>, name: Arc<str>) -> Arc<HostTrace> {
        Arc::new(HostTrace {
            recorder: Arc::clone(recorder),
            name,
            log: OnceLock::new(),
            life: Mutex::default(),
        })
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.recorder.is_on()
    }

    /// How many bytes of each write and read are recorded; 0 if none is.
    #[inline]
    pub(crate) fn payload(&self) -> usize {
        self.recorder.payload()
    }

    pub(super) fn log(&self) -> &HostLog {
        self.log.get_or_init(|| self.recorder.log(&self.name))
    }

    /// The number of something that is about to happen; `None` while nothing is recorded. It need not be
    /// used.
    pub(crate) fn reserve(&self) -> Option<u64> {
        self.is_on().then(|| self.log().next())
    }

    /// Records `kind` under a number that was reserved before it happened.
    pub(crate) fn record_as(&self, number: Option<u64>, kind: impl FnOnce() -> EventKind) {
        self.record_compact_as(number, || CompactKind::Other(Box::new(kind())));
    }

    pub(super) fn record_compact_as(
        &self,
        number: Option<u64>,
        kind: impl FnOnce() -> CompactKind,
    ) {
        if let Some(number) = number {
            self.recorder.add(self.log(), number, kind());
        }
    }

    pub(super) fn record_compact(&self, kind: impl FnOnce() -> CompactKind) {
        self.record_compact_as(self.reserve(), kind);
    }

    /// Records `kind`, which has happened or is about to.
    pub(crate) fn record(&self, kind: impl FnOnce() -> EventKind) {
        self.record_as(self.reserve(), kind);
    }

    /// The host exists. Its rules are asked for once nobody misses it any more who changes them.
    pub(crate) fn made(&self, rules: impl FnOnce() -> Option<RulesInForce>) {
        let number = self.reserve();
        let mut life = self.life.lock();
        life.made = true;
        self.record_as(number, || EventKind::HostMade);
        if let Some((number, kind)) = life.ended.take() {
            // It went down before its caller had it.
            let number = number.and_then(|_| self.reserve());
            self.record_as(number, || kind);
            return;
        }
        drop(life);
        if self.is_on()
            && let Some(rules) = rules()
        {
            self.faults(None, rules);
        }
    }

    /// The host will have ended as `kind` says, and not by a close, if it ends now.
    pub(crate) fn ends_as(&self, kind: EventKind) {
        self.life.lock().ends_as = Some(kind);
    }

    /// The host has ended; `number` was reserved before anybody could know. `counts` tells what rules have
    /// done.
    pub(crate) fn ended(&self, number: Option<u64>, counts: impl FnOnce() -> Vec<EventKind>) {
        let mut life = self.life.lock();
        let kind = life.ends_as.take().unwrap_or(EventKind::HostClosed);
        if !life.made {
            life.ended = Some((number, kind));
            return;
        }
        life.made = false;
        drop(life);
        self.record_as(number, || kind);
        if number.is_some() {
            counts()
                .into_iter()
                .for_each(|counted| self.record(|| counted));
        }
    }

    /// Other rules are in force; the number was reserved before they were. Returns whether it was recorded.
    pub(crate) fn faults(&self, number: Option<u64>, rules: RulesInForce) -> bool {
        let mut life = self.life.lock();
        let healthy = life.faults == 0 && rules.rules.is_empty();
        if !life.made || healthy || rules.generation <= life.faults {
            return false;
        }
        life.faults = rules.generation;
        drop(life);
        let number = number.or_else(|| self.reserve());
        let RulesInForce { version, rules, .. } = rules;
        self.record_as(number, || EventKind::FaultsInForce { version, rules });
        true
    }

    /// Records a line of the program's.
    pub(crate) fn note(&self, text: &str) {
        self.record(|| {
            let text = match text.len() > MAX_NOTE {
                true => format!("{}…", clipped(text, MAX_NOTE)).into(),
                false => text.into(),
            };
            EventKind::Note { text }
        });
    }

    /// A dial has taken its port, and takes `first` bytes along.
    pub(crate) fn dialing(
        self: &Arc<Self>,
        src: &Addr,
        dst: &Addr,
        first: usize,
    ) -> Option<DialTrace> {
        let number = self.reserve()?;
        let Some(dst) = self.log().peer(dst, || self.recorder.is_full()) else {
            self.recorder.drop_one();
            return None;
        };
        let src = src.port();
        let first = u32::try_from(first).unwrap_or(u32::MAX);
        self.record_compact_as(Some(number), || CompactKind::Dialing { src, dst, first });
        Some(DialTrace {
            host: Some(Arc::clone(self)),
            src,
            dst,
            first,
        })
    }

    /// An accept takes the dial from `peer` at the port `local`.
    pub(crate) fn accepting(
        self: &Arc<Self>,
        local: &Addr,
        peer: &Addr,
        listener: u16,
    ) -> Option<AcceptTrace> {
        let numbers = [self.reserve()?, self.reserve()?];
        let end = self.end(local.port(), peer, false)?;
        Some(AcceptTrace::new(Arc::clone(self), end, numbers, listener))
    }

    /// An end of a new connection; `None` if it is not recorded, as the record is full.
    fn end(&self, local: u16, peer: &Addr, dialed: bool) -> Option<CompactEnd> {
        let is_full = || self.recorder.is_full();
        let end = self.log().connection(local, peer, dialed, is_full);
        if end.is_none() {
            self.recorder.drop_one();
        }
        end
    }
}

/// A dial under way. If it is dropped without an outcome, it was given up.
pub(crate) struct DialTrace {
    /// Taken by the outcome.
    host: Option<Arc<HostTrace>>,
    src: u16,
    dst: Peer,
    first: u32,
}

impl DialTrace {
    /// The dial has a connection, to the end `peer`. To be called before anybody can close it.
    pub(crate) fn connected(mut self, peer: &Addr) -> Option<ConnTrace> {
        let host = self.host.take()?;
        let end = host.end(self.src, peer, true)?;
        let dst = self.dst;
        host.record_compact(|| CompactKind::Connected { end, dst });
        let unopened = host.reserve();
        Some(ConnTrace::new(host, end, u64::from(self.first), unopened))
    }

    /// The dial failed. To be called before its port is free.
    pub(crate) fn failed(mut self, cause: Cause) {
        if let Some(host) = self.host.take() {
            let (src, dst) = (host.log().own(self.src), host.log().addr(self.dst));
            host.record(|| EventKind::DialFailed { src, dst, cause });
        }
    }
}

impl Drop for DialTrace {
    fn drop(&mut self) {
        if let Some(host) = self.host.take() {
            let (src, dst) = (host.log().own(self.src), host.log().addr(self.dst));
            host.record(|| EventKind::DialGivenUp { src, dst });
        }
    }
}

/// The first bytes of `text`, at most `most`, in whole characters.
fn clipped(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
